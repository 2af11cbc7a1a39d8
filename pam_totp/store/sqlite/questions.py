"""The questions of a login, answered: see ../questions.py."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...core import verifier
from ...core.users import UserRecord
from ..questions import Known
from . import reserve
from .reading import read
from .rows import read_group_rules
from .sealed import SealedDatabase
from .transactions import DecoyTransaction, Transaction

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ...core.enrollment import Enrollment
    from ...core.own_changes import OwnChange
    from ...core.verifier import Verdict
    from ..questions import LoginAttempt
    from .database import Database


def affordable(database: Database, before: UserRecord, after: UserRecord) -> UserRecord:
    """Return ``after``, without a new place where the file has no page to spare for it.

    A login must not be denied, on a full disk, for what is a comfort of later ones.
    """
    names = {place.name for place in before.known_places}
    known = tuple(place for place in after.known_places if place.name in names)
    remembered = tuple(one for one in after.remembered if one in before.remembered)
    kept = after._replace(known_places=known, remembered=remembered)
    return after if kept == after or reserve.has_room(database) else kept


class Questions(SealedDatabase):
    """LoginStore in SQLite: read the record, judge, commit."""

    _has_group_rules = False

    def admission(self, name: str, place: str = "") -> Known:  # noqa: ARG002  # of all of them
        if not (self._has_group_rules or self.joined.is_open):
            found = read(self, name, unseal=False)
            if not found.has_group_rules:
                return Known(found.record, (), found.decoy, int(time.time()))
        # Rules that are as old as the record: who was moved from one to the other has either.
        with Transaction(self, name, "DEFERRED", unseal=False) as snapshot:
            found = snapshot.found
            self._has_group_rules = found.has_group_rules
            rules = read_group_rules(self.database)
            return Known(found.record, rules, found.decoy, int(time.time()))

    def verify(self, attempt: LoginAttempt) -> Verdict | None:
        opened: Transaction | DecoyTransaction
        if attempt.is_decoy:
            opened = DecoyTransaction(self, attempt.name)
        else:
            opened = Transaction(self, attempt.name, "IMMEDIATE", unseal=True)
        answer, policy = attempt.answer, attempt.policy
        with opened as transaction:
            record = transaction.record
            if record is None or not record.authenticators:  # removed since the prompt
                return verifier.Verdict(verifier.REJECTED)
            now, place = int(time.time()), attempt.source.place
            kind = verifier.RECOVERY_CODE
            has_to_be_hashed = answer.kind == kind and not answer.digest
            if has_to_be_hashed and verifier.standing(record, now, policy, kind, place) is None:
                return None
            verdict, changed = verifier.verify(
                record, answer, now, policy, place=place, remember=attempt.remember
            )
            accepted = verdict.outcome in (verifier.ACCEPTED, verifier.RECOVERY_USED)
            if accepted and attempt.account is not None and changed.uid is None:
                changed = changed.bound_to(attempt.account, now)
            if changed != record:
                transaction.save(affordable(self.database, record, changed))
        return verdict

    def enroll_first(self, name: str, enrollment: Enrollment, before: UserRecord | None) -> bool:
        now = int(time.time())
        with Transaction(self, name, "IMMEDIATE", unseal=True) as transaction:
            # A record without authenticators has no secrets, so that the two can be compared.
            if transaction.record != before:
                return False
            authenticator, salt, digests, account = enrollment
            record = before or UserRecord(name, created_at=now)
            record = record.enrolled(authenticator, salt, digests, now).changed_at(now)
            if account is not None:
                record = record.bound_to(account, now)
            transaction.save(record)
        return True

    def change_own(self, name: str, change: OwnChange, before: UserRecord) -> bool:
        from ...core import own_changes  # no login needs it

        now = int(time.time())
        with Transaction(self, name, "IMMEDIATE", unseal=False) as transaction:
            record = transaction.record
            if record is None or not own_changes.is_still(record, before):
                return False
            if own_changes.refusal(record, change.kind, change.label):
                return False
            transaction.save(own_changes.changed(record, change, now))
        return True

    def have_told(self, name: str, count: int) -> None:
        with Transaction(self, name, "IMMEDIATE", unseal=False) as transaction:
            record = transaction.record
            if record is not None and record.untold:
                transaction.save(record.told(count))

    def batch(self) -> AbstractContextManager[None]:
        return self.joined

    def checkpoint(self) -> None:
        self.database.checkpoint()

    def confirm_absence(self) -> None:
        problems = self._structure_problems(limit=1)
        if problems:
            raise self.database.corrupt(f"is damaged ({problems[0]})")

    def _structure_problems(self, limit: int) -> list[str]:
        rows = self.database.execute(f"PRAGMA integrity_check({limit})")
        return [str(problem) for (problem,) in rows if problem != "ok"]
