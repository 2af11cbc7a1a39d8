"""Accounts that a trial exempts and lets in by a key alone; if it is undone, that ends.

The record of the trial has what their records said before. One that somebody has changed since is
left as it is.
"""

from __future__ import annotations

from pam_totp.core import users
from pam_totp.core.users import UserRecord

from .. import policy
from ..host import key_only
from ..session import Session, now
from .trial_record import Trial


def before(record: UserRecord | None) -> str:
    """Return what forget() needs to know of a record: its status, and when an exemption ends."""
    if record is None:
        return users.ACTIVE
    return f"{record.status} {record.exempt_until}"


def forget(session: Session, trial: Trial) -> list[str]:
    """Undo the exemptions of ``trial``; return notes. Raises Unavailable without a store.

    Doing it again changes nothing.
    """
    if not trial.exempted:
        return []
    changed: dict[str, str] = {}
    with session.open_on_disk() as store:
        for name, said in trial.exempted.items():
            status, _, day = said.partition(" ")
            with store.transaction(name, unseal=False) as transaction:
                record = transaction.record
                if record is None or record.status != users.EXEMPT or record.exempt_until != 0:
                    continue
                after = _as_before(record, status, int(day or 0))
                if after == record:
                    continue
                transaction.save(after and after.changed_at(now()))
            until = after.exempt_until if after is not None else 0
            changed[name] = f"is exempt{policy.last_day(until)}" if until else "is no longer exempt"
    for name in changed:
        session.log("exempted", name, reason="removed")
    return [f"{name} {said}" for name, said in changed.items()]


def named() -> frozenset[str]:
    """Return whom the file of key-only accounts names."""
    return frozenset(account.name for account in key_only.accounts() or ())


def notes_without_a_record(before: frozenset[str]) -> list[str]:
    """Say of those of ``before`` whom that file no longer names that they may still be exempt.

    Without its record, nobody knows whether a trial has exempted them; and a password alone lets
    them in by then.
    """
    return [
        f"{name} may still be exempt; to end that, run: totpctl exempt {name} --remove"
        for name in sorted(before - named())
    ]


def _as_before(record: UserRecord, status: str, until: int) -> UserRecord | None:
    if status == users.EXEMPT:
        return record.exempted(until)
    if status == users.MUST_ENROLL:
        return record.required()
    return record.without_status(users.EXEMPT)
