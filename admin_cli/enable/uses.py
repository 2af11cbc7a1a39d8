"""Whether somebody has used a code since a trial began: what confirm asks about.

What enrolling asks for is no use: the store notes a time for later codes alone. It notes none for
recovery codes, but a set that has lost one since was used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pam_totp.core import recovery
from pam_totp.core.hashes import sha256
from pam_totp.core.users import UserRecord

from .. import recorded
from ..session import Session

MOST_SETS = 5_000  # the record of a trial is small; with more of them no recovery code is counted


def partly_used_sets(session: Session) -> dict[str, int] | None:
    """Return how many recovery codes are left of each set that is not whole; None: too many sets.

    A set is named by a digest of its salt. Raises Unavailable.
    """
    sets = _partly_used(_records(session))
    return sets if len(sets) <= MOST_SETS else None


def somebody_used_a_code(
    session: Session, since: int, sets_before: Mapping[str, int] | None
) -> bool:
    """Return whether a code was used at or after ``since`` (unix time), or a recovery code.

    ``sets_before``: what partly_used_sets() returned then. Raises Unavailable.
    """
    records = _records(session)
    if any((a.last_used_at or 0) >= since for r in records for a in r.authenticators):
        return True
    if sets_before is None:
        return False
    sets = _partly_used(records)
    return any(left < sets_before.get(name, recovery.CODES_IN_A_SET) for name, left in sets.items())


def _records(session: Session) -> list[UserRecord]:
    return list(recorded.read(session.config).records)


def _partly_used(records: Iterable[UserRecord]) -> dict[str, int]:
    return {
        sha256(record.recovery_salt).hexdigest()[:16]: len(record.recovery_digests)
        for record in records
        if record.recovery_salt and len(record.recovery_digests) < recovery.CODES_IN_A_SET
    }
