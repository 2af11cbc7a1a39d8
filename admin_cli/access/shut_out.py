"""Find the users who would be shut out once a service asks for codes, and the administrators left.

This file judges who gets in through the service; becoming_root.py, who then becomes root.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterable
from typing import NamedTuple

from pam_totp.system.errors import PamTotpError

from .. import recorded, session
from ..host import accounts, directory, sudoers
from ..host.accounts import NO
from ..host.sshd.access import Access
from . import becoming_root
from .becoming_root import ROOT, Judge, LoginRules, Machine, Obstacle, Standing, in_words


class AffectedUser(NamedTuple):
    """A user who gets in now; ``obstacles``: why they no longer will, () if they still will."""

    name: str
    obstacles: tuple[Obstacle, ...] = ()

    @property
    def denied(self) -> str:
        return in_words(self.obstacles)


class Impact(NamedTuple):
    """``people``: users who get in now. ``notes``: what is unknown, or what else will change.

    ``administrators_left``: administrators who can certainly still become root.
    ``stranded``: the other administrators, with all their obstacles.
    """

    people: tuple[AffectedUser, ...]
    administrators_left: tuple[str, ...]
    notes: tuple[str, ...] = ()
    stranded: tuple[Standing, ...] = ()

    @property
    def denied(self) -> tuple[AffectedUser, ...]:
        return tuple(person for person in self.people if person.denied)


def shut_out(
    service: str, keys: str | None, machine: Machine, together: Iterable[str] = ()
) -> Impact:
    """Return the users who no longer get in once ``service`` asks for codes.

    ``keys``: how sshd will treat keys, for sshd and the services that are enabled together with it;
    None: sshd stays as it is. ``machine``: what look() returned. ``together``: all services that
    are enabled at once. Raises CommandFailed where sshd does not accept its own configuration.
    """
    notes: list[str] = []
    remote = service == becoming_root.SSHD
    judge = Judge(machine, becoming_root.plan({service, *together}, keys, remote=remote))
    if remote:
        assert keys is not None
        people, more = _by_ssh(keys, machine)
        notes += more
    elif service in ("sudo", "sudo-i"):
        people = _by_sudo(judge, machine)
    else:
        people = _by_password(judge, machine)
    denied = {person.name: person.obstacles for person in people}
    standings = [
        standing if standing.name == ROOT else standing.behind(denied.get(standing.name, ()))
        for standing in judge.standings()
    ]
    left = [standing.name for standing in standings if standing.is_sure]
    stranded = [standing for standing in standings if not standing.is_sure]
    return Impact(tuple(people), tuple(left), tuple(notes), tuple(stranded))


def look(opened: session.Session, notes: list[str]) -> Machine:
    """Return what is known of everybody; ``notes`` gets what is not.

    Raises errors.Unavailable without a store.
    """
    known = recorded.read(opened.config)
    records = {record.name: record for record in known.records}
    policy = LoginRules(records, known.group_rules, known.settings(opened.config), session.now())
    sudo = sudoers.Sudo()
    try:
        sudo = sudoers.sudo_of(sudoers.read())
    except PamTotpError as error:
        groups = ", ".join(accounts.ADMIN_GROUPS)
        notes.append(f"{error}; root and the members of {groups} are taken as administrators")
    named = (user for rule in sudo.rules for user in rule.users if user[:1] not in "%#+")
    entries = accounts.everybody((ROOT, *records, *named))
    if directory.problem():
        notes.append(f"{directory.problem()}: only local users and groups were checked")
    return Machine(entries, accounts.read_shadow(), sudo, policy)


def _by_ssh(keys: str, machine: Machine) -> tuple[list[AffectedUser], list[str]]:
    access = Access(machine.shadow)
    people, enrolling, notes = [], [], []
    for name, entry in sorted(machine.entries.items()):
        ways = access.ways(entry)
        why = becoming_root.ssh_obstacles(entry, ways, keys, machine.policy)
        if ways.now:
            people.append(AffectedUser(name, why))
        has_choice = keys == "code" and ways.now and ways.key != NO and not why
        if has_choice and machine.policy.obstacles(entry, password=False):
            enrolling.append(name)
    if enrolling:
        notes.append(
            "users cannot enroll in a key login, but they can in a password login "
            f"(ssh -o PubkeyAuthentication=no): {', '.join(enrolling)}"
        )
    return people, [*notes, *access.notes(keys)]


def _by_sudo(judge: Judge, machine: Machine) -> list[AffectedUser]:
    people = []
    for name, entry in sorted(machine.entries.items()):
        listed = name in judge.administrators or _is_named(entry, machine.sudo.rules)
        asked = machine.sudo.asks_password(entry)
        if entry.pw_uid == 0 or not listed or not judge.gets_a_shell(entry):
            continue
        if asked and not accounts.has_password(entry, machine.shadow):
            continue
        why = machine.policy.obstacles(entry, password=False) if asked else ()
        people.append(AffectedUser(name, why))
    return people


def _by_password(judge: Judge, machine: Machine) -> list[AffectedUser]:
    """Any other service: taken to be one that asks everybody for a password."""
    return [
        AffectedUser(name, machine.policy.obstacles(entry, password=True))
        for name, entry in sorted(machine.entries.items())
        if judge.gets_a_shell(entry) and accounts.has_password(entry, machine.shadow)
    ]


def _is_named(entry: pwd.struct_passwd, rules: Iterable[sudoers.Rule]) -> bool:
    return any(rule.grants and rule.users != ("ALL",) and rule.is_for(entry) for rule in rules)
