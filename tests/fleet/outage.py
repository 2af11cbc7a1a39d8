"""A host and its kit, and a database of the fleet in memory that can be cut off."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from pam_totp.core import otp, verifier
from pam_totp.core.enrollment import Enrollment
from pam_totp.core.users import SUSPENDED, Authenticator, UserRecord
from pam_totp.core.verifier import Answer, Policy, Verdict
from pam_totp.store import Known, LoginAttempt, sealing
from pam_totp.store.postgresql import codes_ahead
from pam_totp.store.postgresql.codes_ahead import Fetched
from pam_totp.store.postgresql.kept_kit import KeptKit
from pam_totp.store.postgresql.offline import OfflineStore
from pam_totp.system.audit import Source
from pam_totp.system.errors import StoreUnreachable
from tests.support.place import SECRET

SOURCE = Source("sshd:auth", "alice", rhost="192.0.2.1")
POLICY = Policy()
HOURS = 4
ALICE = UserRecord("alice", authenticators=(Authenticator("id", "phone", SECRET),))
UNREACHABLE = StoreUnreachable("store", "no server answers", "run: ping db1")


class FakeFleet:
    """See offline.FleetStore. ``trouble``: raised by each question; ``asked``: the questions."""

    def __init__(self, *records: UserRecord, hours: int = HOURS) -> None:
        self.records = {record.name: record for record in records}
        self.hours = hours
        self.trouble: Exception | None = None
        self.refuses_reports: Exception | None = None
        self.asked: list[str] = []
        self.reported: list[dict[str, Any]] = []
        self.told = 0

    def admission(self, name: str, place: str = "") -> Known:
        self._ask("admission")
        return Known(self.records.get(name), (), UserRecord(name), int(time.time()), policy=POLICY)

    def verify(self, attempt: LoginAttempt) -> Verdict | None:
        self._ask("verify")
        assert not attempt.is_decoy
        verdict, record = verifier.verify(
            self.records[attempt.name],
            attempt.answer,
            int(time.time()),
            attempt.policy,
            place=attempt.source.place,
        )
        self.records[attempt.name] = record
        return verdict

    def enroll_first(self, name: str, enrollment: Enrollment, before: UserRecord | None) -> bool:
        self._ask("enroll_first")
        return True

    def have_told(self, name: str, count: int) -> None:
        self._ask("have_told")
        self.told += count

    def batch(self) -> AbstractContextManager[None]:
        return nullcontext()

    def checkpoint(self) -> None: ...

    def confirm_absence(self) -> None:
        self._ask("confirm_absence")

    def codes_ahead(self, names: Collection[str]) -> Fetched:
        self._ask("codes_ahead")
        now = int(time.time())
        found = [self.records[name] for name in sorted(names) if name in self.records]
        kept = [
            with_codes(record, now, self.hours) for record in found if record.status == "active"
        ]
        return Fetched(now, self.hours, self.last, POLICY, tuple(kept if self.hours else ()))

    def report(self, entries: list[dict[str, Any]]) -> int:
        self._ask("report")
        if self.refuses_reports is not None:
            raise self.refuses_reports
        self.reported += [entry for entry in entries if entry["number"] > self.last]
        return self.last

    def close(self) -> None: ...

    @property
    def last(self) -> int:
        return self.reported[-1]["number"] if self.reported else 0

    def _ask(self, question: str) -> None:
        self.asked.append(question)
        if self.trouble is not None:
            raise self.trouble


class Host:
    """A host that keeps the codes of everybody in ``fleet``, which is then cut off."""

    def __init__(self, folder: Path, fleet: FakeFleet, *, may_answer: bool = True) -> None:
        folder.chmod(0o755)
        self.folder = folder / "store"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.path = str(self.folder / "offline.db")
        self.key_path = str(folder / "key")
        if not os.path.exists(self.key_path):
            descriptor = os.open(self.key_path, os.O_CREAT | os.O_WRONLY, 0o600)
            os.write(descriptor, sealing.generate_key_file())
            os.close(descriptor)
        self.fleet = fleet
        self.kit = KeptKit(self.path, self.key_path, may_answer=may_answer)
        self.store = OfflineStore(fleet, self.kit)

    def fill(self) -> None:
        """Fetch the codes of everybody, and cut the fleet off."""
        self.fleet.trouble = None
        self.store.refresh(self.fleet.records, at_once=True)
        self.fleet.trouble = UNREACHABLE

    def give(
        self,
        code: str,
        user: str = "alice",
        *,
        is_decoy: bool = False,
        rhost: str = SOURCE.rhost,
    ) -> Verdict:
        verdict = self.store.verify(
            LoginAttempt(
                user,
                Answer(verifier.CODE, code),
                POLICY,
                is_decoy=is_decoy,
                source=SOURCE._replace(user=user, rhost=rhost),
            )
        )
        assert verdict is not None
        return verdict

    def outcome(self, code: str, user: str = "alice") -> str:
        return self.give(code, user).outcome

    def entries(self) -> list[dict[str, Any]]:
        return self.kit.ask(lambda kit: kit.entries(10_000))


class NewHost(Protocol):
    def __call__(self, fleet: FakeFleet, *, may_answer: bool = True) -> Host: ...


def with_codes(record: UserRecord, now: int, hours: int) -> UserRecord:
    """Return ``record`` as the database gives it out: codes in place of secrets."""
    kept = []
    for one in record.authenticators:
        assert one.secret is not None
        first = min(one.base_step(now), one.current_step(now)) - 1
        last = one.latest_step(now + hours * 3600, 0)
        kept.append(one._replace(secret=run_of(one, first, last)))
    return record._replace(authenticators=tuple(kept))


def run_of(one: Authenticator, first: int, last: int) -> bytes:
    assert one.secret is not None
    codes = otp.hotps(one.secret, range(first, last + 1), one.algorithm, one.digits)
    return codes_ahead.run(first, b"".join(int(code).to_bytes(4, "big") for code in codes))


def suspended(record: UserRecord) -> UserRecord:
    return record._replace(status=SUSPENDED)
