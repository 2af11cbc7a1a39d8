"""Rules for the members of Unix groups: made and taken away, and what they then mean."""

from __future__ import annotations

import pwd
from collections.abc import Iterable, Iterator, Sequence

from pam_totp import store
from pam_totp.core import admission
from pam_totp.core.admission import GroupRule

from .. import output, policy
from ..host import directory
from ..session import Session, existing_group, now


def change(
    session: Session, groups: Sequence[str], kind: str, *, until: int = 0, remove: bool
) -> Iterator[str]:
    """Give ``groups`` a rule of ``kind``, or take it away; yield whose were changed, once they are.

    No group is changed where there is no such group for one of them. Says what holds from now on.
    Raises NoSuchUser.
    """
    if not groups:
        return
    with session.open_store() as opened:
        before = {rule.name: rule for rule in opened.group_rules()}
        names = list(dict.fromkeys(_name(group, before) for group in groups))
        for name in names:
            known = before.get(name)
            if remove:
                if known is None or known.rule != kind:
                    output.warning(f"this changes nothing: the group {name} is not {kind}")
                    continue
                opened.remove_group_rule(name)
                yield name
                output.message(f"the group {name} is no longer {kind}")
            else:
                rule = GroupRule(name, kind, until)
                if rule != known:
                    opened.save_group_rule(rule)
                    yield name
                _say_what_holds(rule, known)
            _warn(session, opened, name, kind, remove=remove)


def how_to_end(group: str, rules: Iterable[GroupRule]) -> str:
    """Say how the members of ``group`` are no longer exempt."""
    if any(rule.name == group and rule.rule == admission.EXEMPT for rule in rules):
        return f"run: totpctl exempt --group {group} --remove"
    return f"remove {group} from exempt_groups in pam_totp.conf"


def _name(group: str, known: Iterable[str]) -> str:
    """Return the name of a group as the directory writes it; a rule may outlast its group."""
    if group in known and directory.group(group) is None:
        return group
    return existing_group(group).name


def _say_what_holds(rule: GroupRule, before: GroupRule | None) -> None:
    if rule.rule == admission.REQUIRED:
        output.message(f"members of {rule.name} who are not enrolled must enroll")
    else:
        last_day = policy.last_day(rule.until)
        output.message(f"members of {rule.name} are not asked for a code{last_day}")
    if before == rule:
        output.warning(f"this changes nothing: the group {rule.name} is {rule.rule} already")
    elif before is not None and before.rule != rule.rule:
        output.message(f"the group {rule.name} is no longer {before.rule}")


def _warn(
    session: Session, opened: store.RecordStore, name: str, kind: str, *, remove: bool
) -> None:
    """Tell what else counts for the members: exempt_groups, other groups, their own status."""
    configured = name in session.config.exempt_groups
    if kind == admission.REQUIRED and not remove:
        if configured:
            output.warning(f"exempt_groups in pam_totp.conf names {name}: the rule overrides that")
        exempt = ", ".join(_members_with_an_exemption(opened, name))
        if exempt:
            output.warning(f"exempt personally, and not affected: {exempt}")
            output.message("hint: to end it, run: totpctl exempt USER --remove")
    elif configured:
        output.warning(
            f"exempt_groups in pam_totp.conf names {name}: its members are exempt anyway"
        )
    if kind == admission.EXEMPT and not remove:
        required = [r.name for r in opened.group_rules() if r.rule == admission.REQUIRED]
        if required:
            output.warning(
                "this does not apply to members of a required group: " + ", ".join(required)
            )
    if not policy.group_exists(name):
        output.warning(f"there is no group {name} on this machine")


def _members_with_an_exemption(opened: store.RecordStore, group: str) -> Iterator[str]:
    for record in opened.records():
        entry = directory.person(record.name)
        if entry and record.is_exempt(now()) and _is_member(entry, group):
            yield record.name


def _is_member(entry: pwd.struct_passwd, group: str) -> bool:
    return bool(directory.groups_among(entry, (group,)).member_of)
