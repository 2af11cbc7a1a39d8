"""Write what was planned: one transaction a person, so that each is imported whole or not at all.

After an interruption, the same command again imports the rest, and changes nobody who is there.
"""

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
    """Return what was done. What stops it is raised with a note that says how far it came.

    ``new_codes`` hands recovery codes to a person who is new and had some in the file, and returns
    their salt and digests. Without it nobody gets any.
    """
    by_person = wanted.tokens_by_person()
    done: dict[str, tuple[Planned, ...]] = {}
    try:
        for name, tokens in by_person.items():
            codes = None
            if new_codes and any(token.recovery_codes for token in tokens):
                codes = new_codes(name) if store.load(name) is None else None
            with store.transaction(name) as transaction:
                record = transaction.record or UserRecord(name, created_at=now())
                record = session.bound(session.same_account(record, name))
                record, planned = plan.merged(record, tokens, wanted.carried.get(name), now())
                record = record.with_recovery_codes(*codes) if codes else record
                transaction.save(record.changed_at(now()))
            if record.status == SUSPENDED:
                with asked_again.by_sshd(session, [name]):
                    pass
            done[name] = planned
            for each in planned:
                if each.result == plan.NEW:
                    session.log("enrolled", name, authenticator=each.authenticator.label)
    except BaseException as error:
        error.add_note(
            f"{len(done)} of {len(by_person)} people were imported; the same command imports the "
            "rest and changes nothing of these"
        )
        raise
    unchanged = tuple(p for p in wanted.planned if p.name not in done)
    return (*(p for planned in done.values() for p in planned), *unchanged)
