"""HostStore: a login's questions, as a host asks them of the fleet's database.

Each is one call of a function that does it all; hosts touch no table: see sql/rights.sql.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from ...core import verifier
from ...system.errors import StoreRefused
from .answers import fetched_of, known_of, record_as_told, verdict_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractContextManager
    from typing import Any

    from ...core.enrollment import Enrollment
    from ...core.own_changes import OwnChange
    from ...core.users import UserRecord
    from ...core.verifier import Verdict
    from ..questions import Known, LoginAttempt
    from .client import Client
    from .codes_ahead import Fetched
    from .connection import Value

PATIENCE = 12.0  # seconds for one question; a login has more than one
_REQUEST_BYTES = 16


class HostStore:
    """See questions.LoginStore. ``patience``: seconds that are left for what is asked of it."""

    def __init__(self, client: Client, patience: float = PATIENCE) -> None:
        self._client = client
        self._deadline = time.monotonic() + min(patience, PATIENCE)
        self._host: tuple[Value, ...] = (client.identity.host, client.identity.key)

    def admission(self, name: str, place: str = "") -> Known:
        in_store, is_odd = _name_in_store(name)
        (told,) = self._client.call(
            "admission", (*self._host, in_store, place), deadline=self._deadline
        )
        known = known_of(name, told, place)
        return known._replace(record=None) if is_odd else known

    def verify(self, attempt: LoginAttempt) -> Verdict | None:
        """Asked again after a lost answer, the database gives the same verdict.

        The account is left alone: uids differ between hosts.
        """
        in_store, is_odd = _name_in_store(attempt.name)
        is_decoy = attempt.is_decoy or is_odd
        answer, source, remember = attempt.answer, attempt.source, attempt.remember
        is_code = answer.kind == verifier.CODE
        row = self._client.call(
            "verify",
            (
                *self._host,
                os.urandom(_REQUEST_BYTES),
                in_store,
                answer.code if is_code else None,
                answer.salt if answer.digest else None,
                answer.digest or None,
                is_decoy,
                attempt.policy.window,
                source.module,
                _printable(source.rhost),
                source.place,
                None if remember is None else remember._asdict(),
            ),
            results=len(verifier.Verdict._fields) - 1,  # is_offline is the host's own
            deadline=self._deadline,
        )
        return verdict_of(row, answer, is_decoy=is_decoy)

    def enroll_first(self, name: str, enrollment: Enrollment, before: UserRecord | None) -> bool:
        in_store, is_odd = _name_in_store(name)
        if is_odd:
            return False
        new = enrollment.authenticator
        (is_kept,) = self._client.call(
            "enroll_first",
            (
                *self._host,
                os.urandom(_REQUEST_BYTES),
                in_store,
                None if before is None else record_as_told(before),
                new.label,
                new.algorithm,
                new.digits,
                new.period,
                new.secret,
                new.last_accepted_step,
                enrollment.salt,
                sorted(enrollment.digests),
            ),
            deadline=self._deadline,
        )
        return is_kept is True

    def change_own(
        self,
        name: str,  # noqa: ARG002
        change: OwnChange,  # noqa: ARG002
        before: UserRecord,  # noqa: ARG002
    ) -> bool:
        """A host may change no record: its rights are for logins alone."""
        raise StoreRefused(
            "the database of the fleet",
            "leaves changes of an enrollment to the administrators of the fleet",
            "ask one of them",
        )

    def have_told(self, name: str, count: int) -> None:
        """Not repeated: a second time would take ``count`` away twice."""
        in_store, is_odd = _name_in_store(name)
        if not is_odd:
            self._client.call(
                "have_told",
                (*self._host, in_store, count),
                results=0,
                deadline=self._deadline,
                repeatable=False,
            )

    def batch(self) -> AbstractContextManager[None]:
        """Each question is durable by itself: the database has a commit of its own for each."""
        return nullcontext()

    def checkpoint(self) -> None:
        """Leave that to the server."""

    def confirm_absence(self) -> None:
        """Nothing to do: PostgreSQL reads no damaged page as an empty one."""

    # What a host asks for itself: see offline.FleetStore

    def codes_ahead(self, names: Collection[str]) -> Fetched:
        (told,) = self._client.call(
            "codes_ahead", (*self._host, sorted(names)), deadline=self._deadline
        )
        return fetched_of(told)

    def report(self, entries: list[dict[str, Any]]) -> int:
        """Asked again after a lost answer, the database takes each entry once."""
        (last,) = self._client.call(
            "merge_offline", (*self._host, json.dumps(entries)), deadline=self._deadline
        )
        return int(last)

    def join(self, one_time_key: bytes) -> None:
        """Let the key of this host's identity replace that of a token, which is good once."""
        host, new_key = self._host
        self._client.call(
            "join", (host, one_time_key, new_key), results=0, deadline=self._deadline,
            repeatable=False,
        )  # fmt: skip

    def close(self) -> None:
        """Leave the connections to the client."""

    def __enter__(self) -> HostStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _name_in_store(name: str) -> tuple[str, bool]:
    """Return what to ask for, and whether no store can hold ``name``: PostgreSQL's text is UTF-8.

    Such a name is asked for in an escaped form, as a decoy: with the same work, and in no case
    with the record of another.
    """
    printable = _printable(name)
    return printable, printable != name


def _printable(text: str) -> str:
    is_text = "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        is_text = False
    return text if is_text else text.encode("unicode_escape").decode("ascii")
