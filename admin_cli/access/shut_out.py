"""Who would be shut out when a service begins to ask for codes, and which administrators are left.

What a login does about somebody is admission.admit()'s to say; here it meets what each account has
to log in with: a password, keys, sudo's rules, and what sshd lets in. What other PAM modules
refuse (pam_access, pam_time) is not looked at.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pam_totp import admission, identity, verifier
from pam_totp.config import Config
from pam_totp.errors import PamTotpError
from pam_totp.store import GroupRule
from pam_totp.verifier import UserRecord

from .. import session, sshd, ui
from ..policy import admit
from ..sshd.access import Access, Ways
from . import accounts, sudoers
from .accounts import NO, YES, Shadow

ROOT = "root"


class Person(NamedTuple):
    """Somebody who gets in now. ``denied``: why they will not, as "is ..."; "" if they will."""

    name: str
    administrator: bool
    denied: str = ""


class Verdict(NamedTuple):
    """``people``: who gets in now. ``notes``: what is not known, or what else will change.

    ``administrators_left``: who can become root then: nobody of whom it is not certain.
    """

    people: tuple[Person, ...]
    administrators_left: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def denied(self) -> tuple[Person, ...]:
        return tuple(person for person in self.people if person.denied)


class Policy(NamedTuple):
    """What admission.admit() needs, read once."""

    records: Mapping[str, UserRecord]
    rules: tuple[GroupRule, ...]
    config: Config
    now: int

    def admission(self, entry: pwd.struct_passwd) -> admission.Admission:
        record = self.records.get(identity.canonical_name(entry))
        return admit(entry, record, self.rules, self.config, self.now)

    def why_denied(self, entry: pwd.struct_passwd, *, password: bool) -> str:
        """Say why a login will end at the question for a code; "" if it will not.

        ``password``: whether one is asked for, and right, before; without it nobody can enrol.
        """
        admitted = self.admission(entry)
        if admitted.kind == admission.SKIP:
            return ""
        if admitted.kind == admission.ENROLL and password and not self.config.quiet:
            return ""
        name = entry.pw_name
        record = self.records.get(identity.canonical_name(entry))
        if admitted.reason == admission.OTHER_ACCOUNT:
            return f"was enrolled under another uid (totpctl show {name})"
        if record is not None and record.status == verifier.SUSPENDED:
            return f"is suspended (totpctl resume {name})"
        if record is None or not record.authenticators:
            return f"is not enrolled (totpctl enroll {name})"
        if record.failures >= self.config.max_failures:
            return f"is locked after wrong codes (totpctl unlock {name})"
        if record.throttled_until > self.now:
            wait = record.throttled_until - self.now
            return f"must wait {wait} s after wrong codes (totpctl unlock {name})"
        return ""


class _Machine(NamedTuple):
    """What is known of everybody."""

    entries: Mapping[str, pwd.struct_passwd]
    shadow: Mapping[str, Shadow]
    sudo_rules: list[sudoers.Rule]
    administrators: set[str]
    policy: Policy


def shut_out(service: str, keys: str | None, opened: session.Session) -> Verdict:
    """Say who will not get in any more once ``service`` asks for codes.

    ``keys``: how sshd is to treat keys then, for sshd itself, and for other services that are
    enabled together with it; None: sshd stays as it is. Raises errors.Unavailable without a store,
    ui.CommandFailed where sshd does not accept its own configuration.
    """
    notes: list[str] = []
    machine = _look(opened, notes)
    if service == "sshd":
        assert keys is not None
        return _by_ssh(keys, machine, notes)
    if service in ("sudo", "sudo-i"):
        return _by_sudo(keys, machine, notes)
    return _by_password(keys, machine, notes)


def _look(opened: session.Session, notes: list[str]) -> _Machine:
    with opened.open_store() as store:
        records = {record.name: record for record in store.records()}
        policy = Policy(records, store.group_rules(), opened.config, session.now())
    rules: list[sudoers.Rule] = []
    try:
        rules = sudoers.rules()
    except PamTotpError as error:
        groups = ", ".join(accounts.ADMIN_GROUPS)
        notes.append(f"{error}; as administrators count root and the members of {groups}")
    named = (user for rule in rules for user in rule.users if user[:1] not in "%#+")
    entries = accounts.everybody((ROOT, *records, *named))
    administrators = sudoers.administrators(entries, rules)
    administrators |= {name for name, entry in entries.items() if entry.pw_uid == 0}
    return _Machine(entries, accounts.read_shadow(), rules, administrators, policy)


def _by_ssh(keys: str, machine: _Machine, notes: list[str]) -> Verdict:
    access = Access(machine.shadow)
    people, left, enrolling = [], [], []
    for name, entry in sorted(machine.entries.items()):
        ways = access.ways(entry)
        why = why_not_by_ssh(entry, ways, keys, machine.policy)
        administrator = name in machine.administrators
        if ways.now:
            people.append(Person(name, administrator, why))
        if administrator and not why and _is_certain(ways, keys):
            left.append(name)
        has_choice = keys == "code" and ways.now and ways.key != NO and not why
        if has_choice and machine.policy.why_denied(entry, password=False):
            enrolling.append(name)
    if enrolling:
        notes.append(
            "with a key nobody can enroll at a login, by password they can "
            f"(ssh -o PubkeyAuthentication=no): {', '.join(enrolling)}"
        )
    return Verdict(tuple(people), tuple(left), (*notes, *access.notes(keys)))


def why_not_by_ssh(entry: pwd.struct_passwd, ways: Ways, keys: str, policy: Policy) -> str:
    """Say why somebody with ``ways`` will not get in by sshd; "" if they will, or may."""
    if keys == "skip" and ways.key != NO:
        return ""
    if not ways.password and ways.key == NO:
        return "has neither password nor key"
    if not ways.may_type:
        return (
            "may not answer sshd's question for a code "
            "(PermitRootLogin prohibit-password: set it to yes, or log in as somebody else)"
        )
    if keys == "password+code" and not ways.password:
        return f"has no password (passwd {entry.pw_name})"
    if keys == "password+code" and ways.key == NO:
        return "has no key"
    return policy.why_denied(entry, password=ways.password)


def _is_certain(ways: Ways, keys: str) -> bool:
    """Tell whether what they need is there, and not just may be: a key that a program finds."""
    if keys == "password+code":
        return ways.password and ways.key == YES
    return ways.password or ways.key == YES


def _by_sudo(keys: str | None, machine: _Machine, notes: list[str]) -> Verdict:
    people = []
    for name, entry in sorted(machine.entries.items()):
        listed = name in machine.administrators or _is_named(entry, machine.sudo_rules)
        asked = sudoers.asks_password(entry, machine.sudo_rules)
        if entry.pw_uid == 0 or not listed or not _gets_a_shell(entry, machine):
            continue
        if asked and not accounts.has_password(entry, machine.shadow):
            continue
        why = machine.policy.why_denied(entry, password=False) if asked else ""
        people.append(Person(name, name in machine.administrators, why))
    return Verdict(tuple(people), _left(people, keys, machine, by_password=True), tuple(notes))


def _by_password(keys: str | None, machine: _Machine, notes: list[str]) -> Verdict:
    """Any other service: taken to be one that asks everybody for a password."""
    people = [
        Person(
            name, name in machine.administrators, machine.policy.why_denied(entry, password=True)
        )
        for name, entry in sorted(machine.entries.items())
        if _gets_a_shell(entry, machine) and accounts.has_password(entry, machine.shadow)
    ]
    return Verdict(tuple(people), _left(people, keys, machine, by_password=False), tuple(notes))


def _left(
    people: Iterable[Person], keys: str | None, machine: _Machine, *, by_password: bool
) -> tuple[str, ...]:
    """Return the administrators who get in, and root, if another way than the service is open."""
    left = [person.name for person in people if person.administrator and not person.denied]
    root = machine.entries.get(ROOT)
    if root is not None and ROOT not in left:
        has_password = by_password and accounts.has_password(root, machine.shadow)
        if has_password or _root_comes_by_ssh(root, keys, machine):
            left.append(ROOT)
    return tuple(left)


def _root_comes_by_ssh(root: pwd.struct_passwd, keys: str | None, machine: _Machine) -> bool:
    try:
        ways = Access(machine.shadow).ways(root)
    except ui.CommandFailed:  # no sshd here
        return False
    if keys is None and ways.now:
        keys = sshd.keys_enabled()
        if keys is None:
            return _is_certain(ways, "code")
    if keys is None or not _is_certain(ways, keys):
        return False
    return not why_not_by_ssh(root, ways, keys, machine.policy)


def _gets_a_shell(entry: pwd.struct_passwd, machine: _Machine) -> bool:
    return accounts.has_shell(entry) and not accounts.has_expired(entry, machine.shadow)


def _is_named(entry: pwd.struct_passwd, rules: list[sudoers.Rule]) -> bool:
    return any(rule.grants and rule.users != ("ALL",) and rule.is_for(entry) for rule in rules)
