"""What the checks look at, each read once: configuration, store, and what enable remembers."""

from __future__ import annotations

import glob
import itertools
import os
import pwd
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from pam_totp import store
from pam_totp.core import admission
from pam_totp.core.admission import Admission, GroupRule
from pam_totp.core.users import UserRecord
from pam_totp.core.verifier import Policy
from pam_totp.stack.pam_lines import Line
from pam_totp.stack.pam_stack import Judgement
from pam_totp.stack.pam_ways import NATIVE_MODULE, PAM_PYTHON_MODULE
from pam_totp.store.sqlite.reserve import Shortage
from pam_totp.system import config
from pam_totp.system.config import Config
from pam_totp.system.config_values import DENY, split_store_url
from pam_totp.system.errors import PamTotpError, Unavailable

from .. import policy, recorded
from ..access import becoming_root
from ..access.becoming_root import Judge, LoginRules, Machine, Plan
from ..enable import enabled
from ..errors import CommandFailed
from ..host import accounts, alternatives, programs, sshd, sudoers, units
from ..host.services import LOGINS, PamService, read_service, read_services
from ..host.sshd import process as sshd_process
from ..host.units import Properties
from ..recorded import Recorded
from ..session import Session
from . import store_room

SSHD = "sshd"
PROGRAMS = "/usr/lib/pam_totp"
WORKER = f"{PROGRAMS}/worker"
SOCKET_UNIT = "pam_totp.socket"
UNITS = (SOCKET_UNIT, "pam_totp-worker.socket", "pam_totp.service")
PEOPLE_TRIED = 50  # sshd -T takes a hundredth of a second each


class CannotTell(Exception):
    """A prerequisite is unavailable; another check reports it, or it is no fault."""


@contextmanager
def _cannot_tell_on(error: type[Exception]) -> Iterator[None]:
    """Raise CannotTell in place of ``error``, which another check reports."""
    try:
        yield
    except error:
        raise CannotTell from None


class Facts:
    """Read when first needed. ``loaded`` raises Unavailable; what needs more raises CannotTell."""

    def __init__(self, session: Session) -> None:
        self.config_path = session.config_path
        self.now = int(time.time())

    @cached_property
    def loaded(self) -> config.Loaded:
        return config.load(self.config_path)

    @property
    def config(self) -> Config:
        with _cannot_tell_on(Unavailable):
            return self.loaded.config

    @cached_property
    def alternatives(self) -> frozenset[str]:
        """The modules that are a second factor; none, while the configuration cannot be read."""
        return alternatives.configured(self.config_path)

    @property
    def store_path(self) -> str:
        """Where the store of this machine lies."""
        return split_store_url(self.config.of_this_machine().store)[1]

    def open_on_disk(self) -> store.Store:
        """Open the store of this machine. In a fleet it is that of its local accounts."""
        return store.open_on_disk(self.config)

    def usable_on_disk(self) -> store.Store:
        """Open it; CannotTell also where a fleet's machine has none: then nobody is local."""
        with _cannot_tell_on(Unavailable):
            return self.open_on_disk()

    @cached_property
    def shortage(self) -> Shortage | None:
        """The room for logins that the store still lacks after it was opened."""
        with _cannot_tell_on(OSError):
            return store_room.restore(self.usable_on_disk, self.store_path)

    @property
    def is_host_of_fleet(self) -> bool:
        """Return whether logins of this machine ask a fleet's database, or are to."""
        settings = self.config
        return settings.is_fleet and (self.any_asks or os.path.lexists(settings.fleet_host))

    def ahead_of_fleet(self) -> int:
        """Ask the database, once, as a login does. Raises Unavailable.

        Return by how many seconds this host's clock is ahead; an answer takes time, too.
        """
        if isinstance(self._ahead_of_fleet, Unavailable):
            raise self._ahead_of_fleet
        return self._ahead_of_fleet

    @cached_property
    def _ahead_of_fleet(self) -> int | Unavailable:
        asked = int(time.time())
        try:
            (known,) = recorded.ask_as_host(self.config)
        except Unavailable as error:
            return error
        return max(0, asked - known.at) or min(0, int(time.time()) - known.at)

    @property
    def recorded(self) -> Recorded:
        """Everybody who may log in here, as the stores know them."""
        with _cannot_tell_on(Unavailable):
            if isinstance(self._recorded, Unavailable):
                raise self._recorded
            return self._recorded

    @cached_property
    def _recorded(self) -> Recorded | Unavailable:
        """What the stores said, also where that was no: a fleet's database may take 12 seconds."""
        try:
            return recorded.read(self.config)
        except Unavailable as error:
            return error

    @property
    def records(self) -> tuple[UserRecord, ...]:
        """Everyone in the stores, without secrets."""
        return self.recorded.records

    @property
    def group_rules(self) -> tuple[GroupRule, ...]:
        return self.recorded.group_rules

    @property
    def login_policy(self) -> Policy:
        """How strict logins are: as the configuration says, or the fleet."""
        return self.recorded.policy

    @cached_property
    def _records_by_name(self) -> dict[str, UserRecord]:
        return {record.name: record for record in self.records}

    def record(self, name: str) -> UserRecord | None:
        return self._records_by_name.get(name)

    def admission(self, name: str) -> Admission:
        """Return what happens to an account of ``people`` at a login now."""
        entry, record = self.people[name], self.record(name)
        return policy.admit(entry, record, self.group_rules, self.config, self.now)

    @property
    def skips_somebody(self) -> bool:
        """Return whether anybody can be let in without a code on purpose."""
        rules = [rule for rule in self.group_rules if rule.rule == admission.EXEMPT]
        exempt = any(record.is_exempt(self.now) for record in self.records)
        of_all = self.config.unenrolled == admission.SKIP or self.config.exempt_groups
        return bool(rules or exempt or of_all or self.config.skip_from)

    @cached_property
    def people(self) -> dict[str, pwd.struct_passwd]:
        """The accounts that may log in: with a shell, and a password or an SSH key."""
        shadow = accounts.read_shadow()
        return {
            name: entry
            for name, entry in sorted(accounts.everybody().items())
            if accounts.has_shell(entry)
            and (accounts.has_password(entry, shadow) or accounts.has_key(entry, {}) != accounts.NO)
        }

    @cached_property
    def sudoers(self) -> Any:
        """What sudoers says, as cvtsudoers explains it, aliases and included files too."""
        try:
            return sudoers.read()
        except sudoers.NotRead:
            raise CannotTell from None

    @cached_property
    def administrators(self) -> list[str]:
        """Whom sudo lets become root."""
        try:
            rules = sudoers.rules_of(self.sudoers)
        except CannotTell:  # a finding of its own; the usual groups are left
            rules = []
        return sorted(sudoers.administrators(self.people, rules) - {"root"})

    @cached_property
    def machine(self) -> Machine:
        """What decides who can become root, without the short waits after wrong codes."""
        records = {r.name: r.throttled(0) for r in self.records}
        try:
            sudo = sudoers.sudo_of(self.sudoers)
        except CannotTell:  # a finding of its own; the usual groups are left
            sudo = sudoers.Sudo()
        named = (user for rule in sudo.rules for user in rule.users if user[:1] not in "%#+")
        entries = accounts.everybody(("root", *records, *named))
        settings = self.recorded.settings(self.config)
        policy = LoginRules(records, self.group_rules, settings, self.now)
        return Machine(entries, accounts.read_shadow(), sudo, policy)

    @property
    def machine_alone(self) -> Machine:
        """The same while no database answers: everybody is denied who is not in the local store."""
        local = {r.name: r.throttled(0) for r in self.recorded.local}
        settings = self.config._replace(unenrolled=DENY, exempt_groups=())
        return self.machine._replace(policy=LoginRules(local, (), settings, self.now))

    def judge(self, machine: Machine | None = None) -> Judge:
        """Return who says who can become root, as things stand, or on ``machine``."""
        return Judge(machine, self._plan) if machine is not None else self._judge

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self.machine, self._plan)

    @cached_property
    def _plan(self) -> Plan:
        return becoming_root.plan(remote=True)

    @property
    def people_to_try(self) -> list[str]:
        """For whom to ask what sshd has in force, where Match blocks tell people apart."""
        return list(dict.fromkeys(["root", *self.administrators, *self.people]))[:PEOPLE_TRIED]

    @cached_property
    def remembered(self) -> dict[str, str | None]:
        """The services that enable switched on, with what it was told about keys."""
        try:
            return enabled.remembered()
        except PamTotpError:
            return {}

    @cached_property
    def services(self) -> dict[str, PamService]:
        """Every PAM service with a file, by name."""
        services = read_services(self.alternatives)
        if SSHD in services and services[SSHD].lines and self.keys_come_first:
            services[SSHD] = read_service(SSHD, key=True, alternatives=self.alternatives)
        return services

    @cached_property
    def keys_come_first(self) -> bool:
        """Whether sshd lets PAM ask only those whose key it has accepted; False if not known."""
        if not os.path.exists(sshd_process.program()):
            return False
        try:
            return sshd.keys_come_first()
        except CommandFailed:
            return False  # another check reports it

    def service(self, name: str) -> PamService:
        return self.services.get(name) or read_service(name, alternatives=self.alternatives)

    def has_service(self, name: str) -> bool:
        return name in self.services

    def asks(self, *names: str) -> bool:
        """Return whether one of these services asks for a code, or was enabled to."""
        return any(name in self.remembered or self.service(name).asks for name in names)

    @property
    def any_asks(self) -> bool:
        return any(service.asks for service in self.services.values())

    @property
    def judged(self) -> Iterator[tuple[PamService, Judgement]]:
        """The services with our lines, and the judgement of each.

        Files that others include are left out, and those without an auth line of their own.
        """
        parts = {part for service in self.services.values() for part in service.parts}
        for service in self.services.values():
            if service.name in parts - {*LOGINS} or not service.authenticates:
                continue
            if service.judgement is not None:
                yield service, service.judgement

    @property
    def lines(self) -> list[Line]:
        """Each of our lines, once, however many services include it."""
        every = (line for service in self.services.values() for line in service.lines)
        return list(dict.fromkeys(every))

    @property
    def modules(self) -> set[str]:
        """The PAM modules that our lines name; pam_totp.so also where an enabled line is gone."""
        found = {line.module_name for line in self.lines}
        return found | ({NATIVE_MODULE} if self.remembered else set())

    def modules_of(self, service: str) -> set[str]:
        return {line.module_name for line in self.service(service).lines}

    @property
    def hooks(self) -> set[str]:
        """The files that lines with pam_python name."""
        return {line.arguments[0] for line in self.lines if line.module_name == PAM_PYTHON_MODULE}

    @property
    def key_path(self) -> str:
        return self.config.sealing_key

    @property
    def has_systemd(self) -> bool:
        return programs.systemd_runs()

    @property
    def needs_units(self) -> bool:
        """Return whether systemd should start the worker that one of our PAM lines connects to."""
        return self.has_systemd and NATIVE_MODULE in self.modules

    @cached_property
    def units(self) -> dict[str, Properties]:
        """The states of our units, as systemd reports them. Raises OSError or TimeoutExpired."""
        return units.show(UNITS)


def module_folders() -> list[str]:
    """Return where libpam looks for modules, this machine's architecture first.

    Beside pam_unix.so; Debian's libpam looks in /lib/security as well.
    """
    triplet = getattr(sys.implementation, "_multiarch", "")
    patterns = (f"/usr/lib/{triplet}", "/usr/lib64", "/usr/lib/*", "/usr/lib", "/lib/*", "/lib")
    beside = (
        os.path.dirname(path)
        for pattern in patterns
        for path in sorted(glob.glob(f"{pattern}/security/pam_unix.so"))
    )
    return list(dict.fromkeys([*itertools.islice(beside, 1), "/lib/security", "/usr/lib/security"]))


def module_path(name: str) -> str | None:
    """Return the file of the PAM module ``name``, or None."""
    if os.path.isabs(name):
        return name if os.path.exists(name) else None
    paths = (os.path.join(folder, name) for folder in module_folders())
    return next((path for path in paths if os.path.exists(path)), None)
