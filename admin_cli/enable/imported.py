"""People whom a trial has imported, and who are not enrolled any more where it is undone.

The record of the trial names their authenticators by label. Only those that were made since it
began are removed, so that nobody loses what they had, or got again in the meantime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pam_totp.core import users
from pam_totp.core.users import UserRecord

from ..session import Session, now
from .trial_record import Trial

if TYPE_CHECKING:
    from collections.abc import Collection

    from pam_totp.store import RecordStore


def forget(session: Session, trial: Trial) -> list[str]:
    """Remove what ``trial`` has imported; return notes. Raises Unavailable without a store.

    Doing it again changes nothing.
    """
    if not trial.imported:
        return []
    with session.open_store() as store:
        removed = [
            name
            for name, labels in trial.imported.items()
            if _forget(store, name, labels, trial.started)
        ]
    for name in removed:
        session.log("removed", name, reason="its import was undone")
    count = len(removed)
    return [f"{count} {'person is' if count == 1 else 'people are'} not enrolled any more"]


def _forget(store: RecordStore, name: str, labels: Collection[str], since: int) -> bool:
    """Return whether anything of ``name`` was there to be removed."""
    record = store.load(name)
    if record is None or not any(_is_new(record, label, since) for label in labels):
        return False
    with store.transaction(name) as transaction:
        record = transaction.record
        assert record is not None
        kept = tuple(
            each
            for each in record.authenticators
            if each.label not in labels or each.created_at < since
        )
        if kept:
            transaction.save(record._replace(authenticators=kept).changed_at(now()))
        elif record.created_at >= since:
            transaction.save(None)
        else:
            left = record._replace(authenticators=())
            # The import ended a duty to enroll, if there was one.
            left = left.required() if left.status == users.ACTIVE else left
            transaction.save(left.changed_at(now()))
    return True


def _is_new(record: UserRecord, label: str, since: int) -> bool:
    return any(a.label == label and a.created_at >= since for a in record.authenticators)
