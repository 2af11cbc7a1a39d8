"""Whom sudo lets become root, and which rules ask for no password, as cvtsudoers reads them.

cvtsudoers comes with sudo, follows the includes and expands the aliases. Rules that a directory
holds (sudo's LDAP or sssd source) are not seen.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pam_totp.system.errors import PamTotpError

from . import accounts, directory, programs

MAIN = "/etc/sudoers"


class NotRead(PamTotpError):
    """The rules of sudo are there, and cannot be read."""


class Rule(NamedTuple):
    """What some may run, and whether sudo asks for a password first."""

    users: tuple[str, ...]  # as sudoers has them: alice, #1000, %sudo, %#27, +netgroup, ALL
    refused: tuple[str, ...]  # the same with "!" before them
    commands: tuple[str, ...]
    asks: bool
    grants: bool = True  # False: a line of Defaults, which lets nobody run anything by itself

    def is_for(self, entry: pwd.struct_passwd) -> bool:
        return any(_means(user, entry) for user in self.users) and not any(
            _means(user, entry) for user in self.refused
        )

    @property
    def for_everything(self) -> bool:
        return self.grants and "ALL" in self.commands


class Sudo(NamedTuple):
    """The rules, and what Defaults say of the password that sudo asks for."""

    rules: tuple[Rule, ...] = ()
    exempt_groups: frozenset[str] = frozenset()  # sudo asks their members for nothing
    asks_root: bool = False  # for root's password, and root's code: rootpw, targetpw, runaspw

    def asks_password(self, entry: pwd.struct_passwd) -> bool:
        """Return whether sudo asks the account for a password before it runs everything."""
        if self.exempt_groups & directory.group_names(entry):
            return False
        return asks_password(entry, self.rules)

    def with_every_password(self) -> Sudo:
        """Return the same without a rule or an option that spares anybody the password."""
        asking = tuple(rule._replace(asks=True) for rule in self.rules if rule.grants)
        return Sudo(asking, asks_root=self.asks_root)


def rules() -> list[Rule]:
    """Return the rules, of which there are none without sudo. Raises NotRead."""
    return rules_of(read())


def sudo_of(document: Any) -> Sudo:
    """Return what read() gave, as far as it decides who becomes root, and by whose password."""
    options = [
        option
        for default in document.get("Defaults", [])
        if "Binding" not in default
        for option in default.get("Options", [])
    ]
    groups = {str(option["exempt_group"]) for option in options if option.get("exempt_group")}
    asks_root = any(
        option.get(name) is True for option in options for name in ("rootpw", "targetpw", "runaspw")
    )
    return Sudo(tuple(_rules(document)), frozenset(groups), asks_root)


def rules_of(document: Any) -> list[Rule]:
    """Return the rules in what read() gave."""
    return list(_rules(document))


def read() -> Any:
    """Return what cvtsudoers(1) makes of sudoers; {} without sudo. Raises NotRead."""
    if not os.path.exists(MAIN):
        return {}
    try:
        done = programs.run(["cvtsudoers", "-e", "-f", "json", MAIN], path=programs.PATH_WITH_LOCAL)
        if done.returncode == 0:
            return json.loads(done.stdout or "{}")  # it writes nothing where no rule stands
        words = " ".join(done.stderr.split())
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        words = str(getattr(error, "strerror", "") or type(error).__name__)
    raise NotRead(MAIN, f"cvtsudoers cannot read it: {words}", "run: visudo -c")


def administrators(entries: Mapping[str, pwd.struct_passwd], known: Sequence[Rule]) -> set[str]:
    """Return who may become root by sudo: members of its usual groups, and those rules name.

    A rule for single commands makes nobody an administrator, nor does one for ALL people.
    """
    found = {
        name
        for name, entry in entries.items()
        if directory.group_names(entry).intersection(accounts.ADMIN_GROUPS)
    }
    for rule in known:
        if rule.for_everything and rule.users != ("ALL",):
            found |= {name for name, entry in entries.items() if rule.is_for(entry)}
    return found


def asks_password(entry: pwd.struct_passwd, known: Sequence[Rule]) -> bool:
    """Return whether sudo asks the account for a password before it runs everything.

    The last rule that fits counts, as in sudo; Defaults are for rules that say nothing of it,
    and are taken to be for all.
    """
    fitting = [rule for rule in known if rule.is_for(entry)]
    if any(not rule.grants for rule in fitting):
        return False
    return all(rule.asks for rule in [rule for rule in fitting if rule.for_everything][-1:])


def _rules(document: Any) -> Iterator[Rule]:
    unasked = [
        default
        for default in document.get("Defaults", [])
        if _option(default, "authenticate") is False
    ]
    for default in unasked:
        users, refused = _names(default.get("Binding", [{"username": "ALL"}]))
        commands = ("everything they may run (Defaults !authenticate)",)
        yield Rule(users, refused, commands, asks=False, grants=False)
    for spec in document.get("User_Specs", []):
        users, refused = _names(spec.get("User_List", []))
        for part in spec.get("Cmnd_Specs", []):
            listed = tuple(
                str(command.get("command", "sudoedit"))
                for command in part.get("Commands", [])
                if not command.get("negated")
            )
            if users and listed:
                asks = _option(part, "authenticate") is not False
                yield Rule(users, refused, listed, asks)


def _option(document: Any, name: str) -> object:
    found: object = None
    for option in document.get("Options", []):
        found = option.get(name, found)
    return found


_PREFIXES = {
    "username": "",
    "userid": "#",
    "usergroup": "%",
    "usergid": "%#",
    "netgroup": "+",
    "nonunixgroup": "%:",
    "nonunixgid": "%:#",
}


def _names(members: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    users: list[str] = []
    refused: list[str] = []
    for member in members:
        for kind, prefix in _PREFIXES.items():
            if kind in member:
                (refused if member.get("negated") else users).append(f"{prefix}{member[kind]}")
    return tuple(users), tuple(refused)


def _means(user: str, entry: pwd.struct_passwd) -> bool:
    """Return whether ``user`` of a rule is the account. Netgroups and plugins are not looked up."""
    if user == "ALL":
        return True
    if user.startswith("%#"):
        return user[2:].isdecimal() and int(user[2:]) in directory.group_ids(entry)
    if user.startswith("%"):
        return user[1:] in directory.group_names(entry)
    if user.startswith("#"):
        return user[1:] == str(entry.pw_uid)
    return user == entry.pw_name
