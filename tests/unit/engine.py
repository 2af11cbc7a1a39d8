"""A fleet's database in memory: judges by verifier.py, and can be slow, away, or refuse.

``asked`` keeps what was asked, by which thread, and how many seconds were left for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pam_totp.core import verifier
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.core.verifier import Policy
from pam_totp.login import fleet
from pam_totp.service import kept_fleet
from pam_totp.store import Known, LoginAttempt
from pam_totp.system import fleet_file
from pam_totp.system.errors import StoreUnreachable
from tests.support.place import SECRET, Place

if TYPE_CHECKING:
    from pam_totp.core.admission import GroupRule
    from pam_totp.core.verifier import Answer, Verdict

URL = "postgresql://db1,db2/totp"


class Question(NamedTuple):
    name: str
    patience: float
    thread: str


class Engine:
    """Stands in for the client as well as for the database behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.people: dict[str, UserRecord] = {}
        self.rules: tuple[GroupRule, ...] = ()
        self.policy = Policy()
        self.asked: list[Question] = []
        self.answered: list[Answer] = []  # what was to be judged
        self.problem: Exception | None = None  # what every question raises
        self.clients: list[fleet_file.Identity] = []  # who each of them was made for
        self.closed = 0
        self.answered_lately = False
        self.at_once = 0  # most questions that there were at any time
        self._now = 0
        self._lock = threading.Lock()
        self.answers = threading.Event()  # clear: it is a black hole
        self.answers.set()
        for module in (fleet, kept_fleet):
            monkeypatch.setattr(module, "Client", self._client)
        monkeypatch.setattr(fleet, "HostStore", lambda _, left: _Store(self, left))

    def _client(self, _url: str, identity: fleet_file.Identity) -> Engine:
        self.clients.append(identity)
        return self

    def close(self) -> None:
        self.closed += 1

    def has_answered_lately(self) -> bool:
        return self.answered_lately

    def enroll(self, name: str, **fields: Any) -> None:
        self.people[name] = UserRecord(
            name, authenticators=(Authenticator("1", "phone", SECRET),), **fields
        )

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self._now += 1
            self.at_once = max(self.at_once, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1

    def names(self) -> list[str]:
        return [question.name for question in self.asked]


class _Store:
    """See LoginStore."""

    def __init__(self, engine: Engine, patience: float) -> None:
        self._engine = engine
        self._patience = patience

    def admission(self, name: str, place: str = "") -> Known:
        self._ask("admission")
        record = self._engine.people.get(name)
        decoy = UserRecord(name, recovery_salt=bytes(16))
        now = int(time.time())
        return Known(record, self._engine.rules, decoy, now, policy=self._engine.policy)

    def verify(self, attempt: LoginAttempt) -> Verdict | None:
        self._ask("verify")
        self._engine.answered.append(attempt.answer)
        if attempt.is_decoy:
            return verifier.Verdict(verifier.REJECTED)
        name, now = attempt.name, int(time.time())
        verdict, self._engine.people[name] = verifier.verify(
            self._engine.people[name], attempt.answer, now, attempt.policy
        )
        return verdict

    def have_told(self, name: str, count: int) -> None:
        self._ask("have_told")
        self._engine.people[name] = self._engine.people[name].told(count)

    def batch(self) -> nullcontext[None]:
        raise AssertionError("there is nothing to batch")

    def _ask(self, name: str) -> None:
        engine = self._engine
        engine.asked.append(Question(name, self._patience, threading.current_thread().name))
        with engine.counted():
            if not engine.answers.wait(self._patience):
                raise StoreUnreachable(URL, "does not answer in time")
        if engine.problem is not None:
            raise engine.problem


def join(place: Place, **settings: object) -> Path:
    """Make ``place`` a host of the fleet: its store is the local one. Return the identity file."""
    path = place.folder / "fleet"
    path.touch(mode=0o600)
    path.write_bytes(fleet_file.content(fleet_file.Identity("web1", bytes(32), "totp_login")))
    place.configure(store=URL, local_store=place.store_path, fleet_host=path, **settings)
    return path
