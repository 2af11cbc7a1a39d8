"""Users as the store knows them: the record, its authenticators, what a status means. Pure."""

from __future__ import annotations

from typing import NamedTuple

# users.status
ACTIVE = "active"
SUSPENDED = "suspended"
EXEMPT = "exempt"
MUST_ENROLL = "must_enroll"
STATUSES = (ACTIVE, SUSPENDED, EXEMPT, MUST_ENROLL)
ACCEPTABLE = (ACTIVE, EXEMPT)  # a good code lets these in: an exemption may have ended


class Authenticator(NamedTuple):
    """One app on one device. ``secret`` is None where a record was read without opening secrets."""

    id: str
    label: str
    secret: bytes | None
    algorithm: str = "SHA1"
    digits: int = 6
    period: int = 30  # seconds
    drift: int = 0  # steps that the device's clock is ahead of ours
    last_accepted_step: int = -1
    created_at: int = 0  # unix time, like every *_at and *_until
    last_used_at: int | None = None
    clock_offset: int = 0  # steps that codes outside the window were ahead when last seen; 0: none
    clock_sightings: int = 0  # how many in a row told about that offset

    def __repr__(self) -> str:
        return f"<Authenticator {self.label!r} {self.algorithm}/{self.digits}/{self.period}>"


class UserRecord(NamedTuple):
    """Everything the store knows of one user."""

    name: str
    status: str = ACTIVE
    failures: int = 0  # consecutive
    throttled_until: int = 0
    recovery_salt: bytes | None = None
    recovery_digests: frozenset[bytes] = frozenset()
    authenticators: tuple[Authenticator, ...] = ()
    created_at: int = 0
    updated_at: int = 0
    exempt_until: int = 0  # with EXEMPT: it has ended from then on; 0: it does not end
    uid: int | None = None  # of the account that was enrolled; None: not known
    bound_at: int = 0  # when uid was noted
    untold: int = 0  # wrong codes that the person has not been told of
    guesses_until: int = 0  # the slow budget: when all wrong codes will be forgiven

    def __repr__(self) -> str:
        return f"<UserRecord {self.name!r} {self.status}>"
