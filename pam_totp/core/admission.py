"""Decide which accounts are asked for a code, skipped, enrolled first, or denied: admit().

Pure: the record, the rules and the time come in as arguments. What counts, the first that says
something: a record of another account, which denies; a user's own status; the rules of the groups
they are in, of which one that requires beats all that exempt; ``exempt_groups``; ``skip_from``,
which counts for enrolled people alone; an enrollment; ``unenrolled``. An exemption that has ended
counts as none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from . import users

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .users import Account, UserRecord

    class Settings(Protocol):
        """What of the configuration counts here: see config.Config."""

        @property
        def unenrolled(self) -> str: ...
        @property
        def unenrolled_until(self) -> int: ...
        @property
        def exempt_groups(self) -> tuple[str, ...]: ...


# What happens at a login. SKIP, ENROLL and DENY are values of ``unenrolled`` as well.
ASK = "ask"  # compare the answer with the record, which may be a suspended one
SKIP = "skip"  # ask nothing
ENROLL = "enroll"  # enroll now, where that is possible; else like DENY
DENY = "deny"  # ask, and refuse whatever comes

# group_rules.rule
REQUIRED = "required"
EXEMPT = users.EXEMPT
RULES = (EXEMPT, REQUIRED)

# Why. Asking an enrolled user for a code needs no reason.
EXEMPT_USER = "exempt user"
EXEMPT_GROUP = "exempt group"
TRUSTED_PLACE = "trusted place"
REQUIRED_USER = "must enroll"
REQUIRED_GROUP = "required group"
NOT_ENROLLED = "not enrolled"
DEADLINE_PASSED = "not enrolled in time"
OTHER_ACCOUNT = "enrolled under another uid"
UNKNOWN_GROUP = "not enrolled, and a required group cannot be looked up"
LOCAL_STORE_UNKNOWN = "not asked for a code, but local_store cannot be used"
NO_CODES_KEPT = "the store cannot be reached, and this host keeps no codes of this user"


class GroupRule(NamedTuple):
    """What holds for the members of the Unix group ``name``: one of RULES.

    ``until``: the unix time from which on an exemption has ended; 0: it does not end.
    """

    name: str
    rule: str
    until: int = 0


class Groups(NamedTuple):
    """Of some names: whose member an account is, and which are no group.

    ``problem``: why the directory did not answer; "" where it did. Then the account may be a
    member of any of the other names as well.
    """

    member_of: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    problem: str = ""


class Admission(NamedTuple):
    """What happens, why, and because of which group or, of ``skip_from``, which ``rule``.

    ``until``: a skip ends at this unix time; 0: it has no end.

    ``by_absence``: somebody is let in, or may enroll, because the store does not hold something.
    Damage may be why it does not: Store.confirm_absence() comes before acting on it.
    """

    kind: str
    reason: str = ""
    group: str = ""
    until: int = 0
    by_absence: bool = False
    rule: str = ""


def groups_that_count(rules: Iterable[GroupRule], settings: Settings) -> tuple[str, ...]:
    """Return the names of all groups that membership has to be known of."""
    return (*(rule.name for rule in rules), *settings.exempt_groups)


def is_settled(
    rules: Iterable[GroupRule], member_of: Collection[str], settings: Settings, now: int
) -> bool:
    """Tell whether further groups would change nothing for a member of ``member_of``.

    Whatever the record says: a member of a required group stays one. An exempt user may at most be
    a member of a required group as well, where there is one.
    """
    found = _admit_by_groups(rules, member_of, settings.exempt_groups, now)
    if found is None or found.kind == ENROLL:
        return found is not None
    return all(rule.rule != REQUIRED for rule in rules)


def admit(
    record: UserRecord | None,
    rules: Iterable[GroupRule],
    groups: Groups,
    settings: Settings,
    now: int,
    account: Account | None = None,
    place: str = "",
) -> Admission:
    """Say what happens to an account of this machine that logs in at unix time ``now``.

    ``account`` None: it is the one that was enrolled. ``place``: the rule of ``skip_from`` for
    where they are; "": they are asked there.
    """
    if record is not None and account is not None and record.is_of_another_account(account):
        return Admission(DENY, OTHER_ACCOUNT)
    enrolled = record is not None and bool(record.authenticators)
    status = record.status if record is not None else users.ACTIVE
    if record is not None and record.is_exempt(now):
        return Admission(SKIP, EXEMPT_USER, until=record.exempt_until)
    if status == users.SUSPENDED:
        return Admission(ASK if enrolled else DENY, users.SUSPENDED)
    if status == users.MUST_ENROLL:
        return Admission(ASK, REQUIRED_USER) if enrolled else _must_enrol(REQUIRED_USER)
    of_groups = _admit_by_groups(rules, groups.member_of, settings.exempt_groups, now)
    perhaps = _perhaps_required(rules, groups)
    may_be_beaten = perhaps is not None and groups.problem  # by a required group, which beats it
    if of_groups is not None and of_groups.kind == SKIP and not may_be_beaten:
        return of_groups
    if enrolled and place and of_groups is None and perhaps is None:
        return Admission(SKIP, TRUSTED_PLACE, rule=place, by_absence=True)  # of a required group
    if enrolled:
        return Admission(ASK)
    if of_groups is not None and of_groups.kind != SKIP:
        return of_groups
    unenrolled = _admit_unenrolled(settings, now)
    if perhaps and (unenrolled.kind == SKIP or (unenrolled.kind == DENY and of_groups is not None)):
        return Admission(DENY, UNKNOWN_GROUP, group=perhaps.name)
    return unenrolled


def admit_uncertain(admitted: Admission) -> Admission:
    """Say what happens where a store that comes first may hold the account, and cannot be asked.

    It may suspend it, so nobody gets in without a code. With one, administrators can repair it.
    """
    return admitted if admitted.kind == ASK else Admission(DENY, LOCAL_STORE_UNKNOWN)


def admit_offline(record: UserRecord | None) -> Admission:
    """Say what happens while the store of many hosts cannot be reached.

    ``record``: what this host keeps of the account, which is no more than codes. What it does not
    keep exempts nobody, and lets nobody enroll: it may stand in the store.
    """
    return Admission(DENY, NO_CODES_KEPT) if record is None else Admission(ASK)


def _perhaps_required(rules: Iterable[GroupRule], groups: Groups) -> GroupRule | None:
    """Return the first rule that may require them, for nobody could say whose group it is."""
    for rule in rules:
        if rule.rule != REQUIRED or rule.name in groups.member_of:
            continue
        if groups.problem or rule.name in groups.unknown:
            return rule
    return None


def _must_enrol(reason: str, group: str = "") -> Admission:
    return Admission(ENROLL, reason, group=group, by_absence=True)


def _admit_by_groups(
    rules: Iterable[GroupRule], member_of: Collection[str], exempt_groups: Iterable[str], now: int
) -> Admission | None:
    exempt: GroupRule | None = None
    for rule in rules:
        if rule.name not in member_of:
            continue
        if rule.rule == REQUIRED:
            return _must_enrol(REQUIRED_GROUP, rule.name)
        if not users.has_ended(rule.until, now):
            exempt = _longer(exempt, rule)
    for name in exempt_groups:
        if name in member_of:
            exempt = _longer(exempt, GroupRule(name, EXEMPT))
    if exempt is None:
        return None
    return Admission(SKIP, EXEMPT_GROUP, group=exempt.name, until=exempt.until, by_absence=True)


def _longer(one: GroupRule | None, other: GroupRule) -> GroupRule:
    """Return the exemption that ends later; of two alike, the first."""
    if one is None or (one.until and (other.until == 0 or other.until > one.until)):
        return other
    return one


def _admit_unenrolled(settings: Settings, now: int) -> Admission:
    until = settings.unenrolled_until
    if settings.unenrolled == ENROLL:
        return _must_enrol(NOT_ENROLLED)
    if settings.unenrolled != SKIP:
        return Admission(DENY, NOT_ENROLLED)
    if users.has_ended(until, now):
        return Admission(DENY, DEADLINE_PASSED)
    return Admission(SKIP, NOT_ENROLLED, until=until, by_absence=True)
