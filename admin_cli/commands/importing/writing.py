"""Write what was planned, in one transaction: all of it, or nothing whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pam_totp.core.users import SUSPENDED, UserRecord

from ...session import Session, now
from .. import asked_again
from . import plan
from .plan import ImportPlan, Planned

if TYPE_CHECKING:
    from pam_totp.store import RecordStore


def write(
    session: Session,
    store: RecordStore,
    wanted: ImportPlan,
    new_codes: Callable[[str], tuple[bytes, frozenset[bytes]]] | None = None,
) -> tuple[Planned, ...]:
    """Return what was done. What stops it is raised with a note that nothing was imported.

    ``new_codes`` hands recovery codes to a person who is new and had some in the file, and returns
    their salt and digests. Without it nobody gets any.
    """
    by_person = wanted.tokens_by_person()
    if not by_person:
        return wanted.planned
    done: dict[str, tuple[Planned, ...]] = {}
    suspended: list[str] = []
    is_complete = False
    try:
        store.check_key()
        codes = {  # which take long, before others have to wait
            name: new_codes(name)
            for name, tokens in by_person.items()
            if new_codes
            and any(token.recovery_codes for token in tokens)
            and store.load(name) is None
        }
        with store.joint_transaction(list(by_person), unseal=True) as transaction:
            for name, tokens in by_person.items():
                record = transaction.records.get(name) or UserRecord(name, created_at=now())
                record = session.bound(session.same_account(record, name))
                record, done[name] = plan.merged(record, tokens, wanted.carried.get(name), now())
                if name in codes:
                    record = record.with_recovery_codes(*codes[name])
                transaction.save(record.changed_at(now()))
                if record.status == SUSPENDED:
                    suspended.append(name)
            is_complete = True
    except BaseException as error:
        # A database that is lost while it commits may have done so.
        is_open = "to see who was imported, run: totpctl list"
        error.add_note(is_open if is_complete else "nothing was imported")
        raise
    for name, planned in done.items():
        for each in planned:
            if each.result == plan.NEW:
                session.log("enrolled", name, authenticator=each.authenticator.label)
    with asked_again.by_sshd(session, suspended):
        pass
    unchanged = tuple(p for p in wanted.planned if p.name not in done)
    return (*(p for planned in done.values() for p in planned), *unchanged)
