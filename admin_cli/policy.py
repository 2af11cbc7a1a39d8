"""Say in words which policy applies to users and groups when they log in."""

from __future__ import annotations

import pwd
from collections.abc import Iterable

from pam_totp.core import admission, dates, trusted_places, users
from pam_totp.core.admission import Admission, GroupRule
from pam_totp.core.users import UserRecord
from pam_totp.login import identity
from pam_totp.system.config import Config

from .host import directory
from .session import now


def admission_of(
    name: str, record: UserRecord | None, rules: Iterable[GroupRule], settings: Config
) -> Admission | None:
    """Return what a login of ``name`` meets, by the file alone; None where there is no account."""
    entry = directory.person(name)
    if entry is None:
        return None
    return admit(entry, record, tuple(rules), settings, now())


def admit(
    entry: pwd.struct_passwd,
    record: UserRecord | None,
    rules: tuple[GroupRule, ...],
    settings: Config,
    at: int,
    place: str = "",
) -> Admission:
    """Return what a login of an account meets at unix time ``at``, and at ``place``: a rule."""
    groups = directory.groups_among(entry, admission.groups_that_count(rules, settings))
    return admission.admit(record, rules, groups, settings, at, identity.account(entry), place)


def status_in_words(record: UserRecord) -> str:
    """Return a user's status, with the last day of an exemption."""
    if record.status != users.EXEMPT:
        return record.status
    return "exempt" + _end_in_words(record.exempt_until)


def rule_in_words(rule: GroupRule) -> str:
    """Return what holds for a group, and whether there is such a group."""
    words = rule.rule
    if rule.rule == admission.EXEMPT:
        words += _end_in_words(rule.until)
    return words if group_exists(rule.name) else f"{words}; there is no such group"


def not_asked_at(
    name: str, record: UserRecord, rules: Iterable[GroupRule], settings: Config
) -> tuple[str, ...]:
    """Return the rules of skip_from by which ``name`` is not asked for a code."""
    entry = directory.person(name)
    if entry is None:
        return ()
    admitted = (
        (place, admit(entry, record, tuple(rules), settings, now(), place))
        for place in settings.skip_from
        if place == trusted_places.TTY or entry.pw_uid != 0
    )
    return tuple(place for place, there in admitted if there.reason == admission.TRUSTED_PLACE)


def in_words(name: str, admitted: Admission | None) -> str:
    """Say what happens when ``name`` logs in."""
    if admitted is None:
        return f"{name} has no account on this machine"
    kind, reason = admitted.kind, admitted.reason
    if reason == users.SUSPENDED:
        return f"{name} is suspended: denied, whatever the code"
    if kind == admission.ASK:
        return f"{name} is asked for a code"
    if kind == admission.SKIP:
        return f"{name} is not asked for a code{last_day(admitted.until)} ({_why(admitted)})"
    if kind == admission.ENROLL:
        return f"{name} must enroll ({_why(admitted)}), and is denied where that is not possible"
    return f"{name} is denied ({_why(admitted)})"


def last_day(until: int) -> str:
    return f" until {dates.last_day(until)}" if until else ""


def group_exists(name: str) -> bool:
    """Return whether there is such a group, or may be: a directory that hangs does not say."""
    return directory.group(name) is not None or bool(directory.problem())


def _why(admitted: Admission) -> str:
    if admitted.reason == admission.EXEMPT_GROUP:
        return f"the group {admitted.group} is exempt"
    if admitted.reason == admission.REQUIRED_GROUP:
        return f"the group {admitted.group} is required to"
    words = {admission.EXEMPT_USER: "exempt", admission.REQUIRED_USER: "required to"}
    return words.get(admitted.reason, admitted.reason)


def _end_in_words(until: int) -> str:
    if users.has_ended(until, now()):
        return f", ended {dates.last_day(until)}"
    return last_day(until)
