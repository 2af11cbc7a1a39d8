"""Judge which administrators can become root while services ask for a code: for enable and doctor.

It takes a session, by sshd or at the console, and then sudo, or su with root's password; for root
the session is enough. What the login of an account meets is admission.admit()'s to say; here it
meets what the account has to log in with. What other PAM modules refuse (pam_access, pam_time) is
not looked at, nor are the rules of polkit and doas.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from pam_totp.core import admission, users, verifier
from pam_totp.core.admission import Admission
from pam_totp.core.users import UserRecord
from pam_totp.login import identity
from pam_totp.stack import pam_stack
from pam_totp.stack.pam_lines import NotUnderstood
from pam_totp.store import GroupRule
from pam_totp.system.config import Config

from ..errors import CommandFailed
from ..host import accounts, sshd, sudoers
from ..host.accounts import NO, ONE_COMMAND, YES, Shadow
from ..host.sshd import process as sshd_process
from ..host.sshd.access import NOTHING, Access, Ways
from ..host.sshd.drop_in_text import KEY_COMES_FIRST
from ..policy import admit

ROOT = "root"
SSHD, SUDO, SU, CONSOLE = "sshd", "sudo", "su", "login"
SU_PROGRAM = "/usr/bin/su"
_ACROSS = (SSHD, SUDO, SU, CONSOLE)  # whatever one comes across on the way to root
NOT_ENROLLED = "is not enrolled"


class Obstacle(NamedTuple):
    """What is in the way, as "is ..." or "has ...", and the command that fixes it."""

    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.what} ({self.fix})" if self.fix else self.what


class Standing(NamedTuple):
    """Whether a user can become root: they can if there are no ``obstacles``.

    ``certain``: False where it depends on what may not exist, such as a key found by a program.
    """

    name: str
    obstacles: tuple[Obstacle, ...] = ()
    certain: bool = True

    def __str__(self) -> str:
        return f"{self.name} {in_words(self.obstacles)}"

    @property
    def is_sure(self) -> bool:
        return self.certain and not self.obstacles

    def behind(self, more: Iterable[Obstacle]) -> Standing:
        """Return the same standing with the obstacles ``more`` as well."""
        return self._replace(obstacles=tuple(dict.fromkeys((*self.obstacles, *more))))


class LoginRules(NamedTuple):
    """What admission.admit() needs, read once."""

    records: Mapping[str, UserRecord]
    rules: tuple[GroupRule, ...]
    config: Config
    now: int

    def admission(self, entry: pwd.struct_passwd) -> Admission:
        return self._admission(entry, self.records.get(identity.canonical_name(entry)))

    def _admission(self, entry: pwd.struct_passwd, record: UserRecord | None) -> Admission:
        return admit(entry, record, self.rules, self.config, self.now)

    def obstacles(self, entry: pwd.struct_passwd, *, password: bool) -> tuple[Obstacle, ...]:
        """Return all obstacles at the prompt for a code, also those behind the first.

        ``password``: whether one is asked for, and right, before; without it nobody can enroll.
        """
        name, found = entry.pw_name, []
        record = self.records.get(identity.canonical_name(entry))
        if record is not None and record.status == users.SUSPENDED:
            found.append(Obstacle("is suspended", f"totpctl resume {name}"))
            record = record.activated()
        admitted = self._admission(entry, record)
        enrolls = admitted.kind == admission.ENROLL and password and not self.config.quiet
        if admitted.kind == admission.SKIP or enrolls:
            return tuple(found)
        if admitted.reason == admission.OTHER_ACCOUNT:
            found.append(Obstacle("was enrolled under another uid", f"totpctl reset {name}"))
        elif record is None or not record.authenticators:
            found.append(Obstacle(NOT_ENROLLED, f"totpctl enroll {name}"))
        elif record.failures >= verifier.locked_from(self.config.max_failures):
            found.append(Obstacle("is locked after wrong codes", f"totpctl unlock {name}"))
        elif record.throttled_until > self.now:
            wait = f"must wait {record.throttled_until - self.now} s after wrong codes"
            found.append(Obstacle(wait, f"totpctl unlock {name}"))
        return tuple(found)


class Machine(NamedTuple):
    """Accounts, policy and records of everyone, read once."""

    entries: Mapping[str, pwd.struct_passwd]
    shadow: Mapping[str, Shadow]
    sudo: sudoers.Sudo
    policy: LoginRules

    @property
    def administrators(self) -> set[str]:
        """Users whom sudo lets become root, and users who are root."""
        found = sudoers.administrators(self.entries, self.sudo.rules)
        return found | {name for name, entry in self.entries.items() if entry.pw_uid == 0}


class Plan(NamedTuple):
    """What asks for a code. ``keys``: how sshd then treats keys; None: it asks for no code.

    ``remote``: only sshd begins a session: the console may be a thousand miles away.
    """

    asks: frozenset[str]
    keys: str | None = None
    remote: bool = False


def plan(enabled: Iterable[str] = (), keys: str | None = None, *, remote: bool = False) -> Plan:
    """Return what asks for a code now, and what will once ``enabled`` do; ``keys``: for sshd."""
    asks = {*enabled, *filter(_asks, _ACROSS)}
    keys = keys or sshd_keys()
    asks = asks - {SSHD} if keys is None else asks | {SSHD}
    return Plan(frozenset(asks), keys, remote)


def sshd_keys() -> str | None:
    """Return how sshd treats keys, as enable's --keys, or "none"; None: it asks for no code."""
    try:
        keys = sshd.keys_enabled()
        if keys is None and not _asks(SSHD):
            return None
        keys = keys or sshd.keys_in_force(sshd.effective())
    except CommandFailed:
        return None
    # What sshd has in force is the same for both; behind a key PAM may ask for no password.
    return "key+code" if keys == "password+code" and not _asks_password_of_keys(SSHD) else keys


class Judge:
    """Judges for each account whether it can become root under a plan."""

    def __init__(self, machine: Machine, plan: Plan) -> None:
        self._machine = machine
        self._plan = plan

    def standings(self) -> list[Standing]:
        """Return the standing of each administrator, and of users who only need root's password."""
        by_su = self._su_obstacles() == ()
        return [
            self.standing(entry)
            for name, entry in sorted(self._machine.entries.items())
            if self.gets_a_shell(entry) and (by_su or name in self.administrators)
        ]

    def standing(self, entry: pwd.struct_passwd) -> Standing:
        begun, certain = self._session(entry)
        session = Standing(entry.pw_name, begun, certain)
        if entry.pw_uid == 0:
            return session
        risen, sure = self.elevation(entry)
        return session.behind(risen)._replace(certain=certain and sure)

    def gets_a_shell(self, entry: pwd.struct_passwd) -> bool:
        expired = accounts.has_expired(entry, self._machine.shadow)
        return accounts.has_shell(entry) and not expired

    def elevation(self, entry: pwd.struct_passwd) -> tuple[tuple[Obstacle, ...], bool]:
        """Return the obstacles between a session and root."""
        by_sudo = self.sudo_obstacles(entry)
        if by_sudo == ():
            return by_sudo, True
        by_su = self._su_obstacles()
        if by_su == ():
            return by_su, "pam_wheel.so" not in _modules(SU)
        return (by_sudo if by_sudo is not None else (Obstacle("may not use sudo"),)), True

    def sudo_obstacles(self, entry: pwd.struct_passwd) -> tuple[Obstacle, ...] | None:
        """Return the obstacles of sudo; None for a user whom sudo does not let become root."""
        machine = self._machine
        if entry.pw_name not in self.administrators:
            return None
        if not machine.sudo.asks_password(entry):
            return ()
        asked = machine.entries.get(ROOT, entry) if machine.sudo.asks_root else entry
        found: list[Obstacle] = []
        if not accounts.has_password(asked, machine.shadow):
            found.append(_no_password(asked, entry))
        if SUDO in self._plan.asks:
            found += machine.policy.obstacles(asked, password=False)
        return tuple(found)

    def by_ssh(self, entry: pwd.struct_passwd) -> tuple[tuple[Obstacle, ...], bool]:
        """Return the obstacles of a login through sshd, and whether its result is certain."""
        keys, refused = self._plan.keys, (Obstacle("is not let in by sshd"),)
        if self._access is None:
            return refused, True
        ways = self._access.ways(entry)
        if ways.key == ONE_COMMAND:  # which is no session
            ways = ways._replace(key=NO, now=ways.now and ways.password)
        if keys is None:
            return (() if ways.now else refused), ways.password or ways.key == YES
        if ways == NOTHING and accounts.has_password(entry, self._machine.shadow):
            return refused, True
        return ssh_obstacles(entry, ways, keys, self._machine.policy), is_certain(ways, keys)

    @cached_property
    def administrators(self) -> set[str]:
        return self._machine.administrators

    @cached_property
    def _access(self) -> Access | None:
        try:
            return Access(self._machine.shadow)
        except CommandFailed:
            return None

    def _session(self, entry: pwd.struct_passwd) -> tuple[tuple[Obstacle, ...], bool]:
        ways: list[tuple[tuple[Obstacle, ...], bool]] = []
        if self._access is not None:
            ways.append(self.by_ssh(entry))
        elif os.path.exists(sshd_process.program()):
            ways.append(((), False))  # it refuses its configuration: doctor has a finding for that
        if not (self._plan.remote and SSHD in self._plan.asks and ways):
            ways.append((self._console_obstacles(entry), True))
        return min(ways, key=lambda way: (bool(way[0]), not way[1]))

    def _console_obstacles(self, entry: pwd.struct_passwd) -> tuple[Obstacle, ...]:
        found: list[Obstacle] = []
        if not accounts.has_password(entry, self._machine.shadow):
            found.append(_no_password(entry))
        if CONSOLE in self._plan.asks:
            found += self._machine.policy.obstacles(entry, password=True)
        return tuple(found)

    def _su_obstacles(self) -> tuple[Obstacle, ...]:
        root = self._machine.entries.get(ROOT)
        if root is None or not os.access(SU_PROGRAM, os.X_OK):
            return (Obstacle("cannot use su"),)
        if not accounts.has_password(root, self._machine.shadow):
            return (_no_password(root),)
        if SU in self._plan.asks:
            return self._machine.policy.obstacles(root, password=True)
        return ()


def ssh_obstacles(
    entry: pwd.struct_passwd, ways: Ways, keys: str, policy: LoginRules
) -> tuple[Obstacle, ...]:
    """Return the obstacles of a user with ``ways`` at an sshd that asks for a code, and treats
    keys as ``keys`` says.
    """
    if keys == "skip" and ways.key != NO:
        return ()
    found: list[Obstacle] = []
    if not ways.password and ways.key == NO and keys != "key+code":
        fix = "" if keys == "password+code" else f"passwd {entry.pw_name}"
        found.append(Obstacle("has neither a password nor a key", fix))
    elif not ways.may_type:
        found.append(
            Obstacle(
                "cannot answer sshd's prompt for a code "
                "(PermitRootLogin prohibit-password: set it to yes, or log in as another user)"
            )
        )
    elif keys == "password+code" and not ways.password:
        found.append(_no_password(entry))
    elif keys in KEY_COMES_FIRST and ways.key == NO:
        found.append(Obstacle("has no key"))
    elif keys == "none" and not ways.password:
        found.append(_no_password(entry))
    asks_password = ways.password and keys != "key+code"
    return (*found, *policy.obstacles(entry, password=asks_password))


def is_certain(ways: Ways, keys: str) -> bool:
    """Return whether what they need surely exists, unlike a key that a program may find."""
    if keys == "password+code":
        return ways.password and ways.key == YES
    if keys == "key+code":
        return ways.key == YES
    if keys == "none":
        return ways.password
    return ways.password or ways.key == YES


def in_words(obstacles: Iterable[Obstacle]) -> str:
    return " and ".join(map(str, obstacles))


def fixes(obstacles: Iterable[Obstacle]) -> list[str]:
    """Return the commands that remove all obstacles, in their order."""
    return list(dict.fromkeys(obstacle.fix for obstacle in obstacles if obstacle.fix))


def way_out(stranded: Iterable[Standing]) -> str:
    """Return the commands after which one of ``stranded`` can become root: the fewest.

    Root comes last: few administrators want a password for it.
    """
    ways = [
        fixes(standing.obstacles)
        for standing in sorted(stranded, key=lambda standing: standing.name == ROOT)
        if standing.obstacles and all(obstacle.fix for obstacle in standing.obstacles)
    ]
    if not ways:
        return "give a user sudo rights: adduser NAME sudo; then run: totpctl enroll NAME"
    others = [way for way in ways if way != [f"passwd {ROOT}"]] or ways
    fewest = min(others, key=len)
    return f"run: {'; '.join(fewest)}"


def _no_password(asked: pwd.struct_passwd, entry: pwd.struct_passwd | None = None) -> Obstacle:
    whose = f", which sudo asks for: {asked.pw_name}'s" if entry not in (None, asked) else ""
    return Obstacle(f"has no password{whose}", f"passwd {asked.pw_name}")


def _asks(service: str) -> bool:
    try:
        return pam_stack.judge(pam_stack.auth_stack(service)).asks
    except NotUnderstood:
        return False


def _asks_password_of_keys(service: str) -> bool:
    try:
        return pam_stack.asks_password_of_keys(pam_stack.auth_stack(service))
    except NotUnderstood:
        return True


def _modules(service: str) -> set[str]:
    """Return the modules that the auth stack of a service comes to."""
    try:
        return {entry.line.module_name for entry in pam_stack.auth_stack(service).entries}
    except NotUnderstood:
        return set()
