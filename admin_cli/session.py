"""Configuration, key and store of one run of totpctl, and the administrator who runs it."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

import click

from pam_totp.core.users import Account, UserRecord
from pam_totp.system import config
from pam_totp.system.errors import Unavailable

from . import output
from .errors import CommandFailed, NoSuchUser, need_root
from .host import directory

# What a command needs once it runs is imported there: at Tab its options are all that is asked for.
if TYPE_CHECKING:
    from pam_totp.core.verifier import Policy
    from pam_totp.store import RecordStore, Store

_NO_LOGIN = 2**32 - 1  # what the kernel says where nobody logged in


class Session:
    """What a command works on. Nothing is read before it is needed: --help works anywhere."""

    def __init__(self, config_path: str) -> None:
        self.config_path = config_path
        self._loaded: config.Loaded | None = None
        self._is_local = False
        self._policy: Policy | None = None

    @property
    def config(self) -> config.Config:
        """Read the configuration, once, with a warning for each thing that is wrong with it."""
        if self._loaded is None:
            if self.config_path == config.DEFAULT_PATH:
                need_root("read the store")
            _leave_control_group()
            if self.config_path != config.DEFAULT_PATH and not os.path.lexists(self.config_path):
                # A mistyped path must not mean the built-in defaults, and with them another store.
                raise Unavailable(self.config_path, "there is no such file", "check --config")
            self._loaded = config.load(self.config_path)
            for problem in self._loaded.problems:
                output.warning(problem)
        return self._loaded.config

    @property
    def issuer(self) -> str:
        """The name an app shows above the code: from the configuration, or that of the place."""
        return self.config.issuer or self.place

    @property
    def place(self) -> str:
        """What an app shows people to be at: this host, or their fleet by its first server."""
        return (self.config.place if self.is_of_fleet else "") or os.uname().nodename

    def use_store_on_disk(self) -> None:
        """From now on, work on this machine's own store: in a fleet, that of its local accounts."""
        self._is_local = True

    def open_store(self) -> RecordStore:
        """Open where people are: a store of this machine, or the fleet's database."""
        from pam_totp import store

        if self._is_local:
            return self.open_on_disk()
        self._say_that_no_fleet_is_named()
        opened = store.open_for_administrator(self.config, _administrator())
        try:
            self._policy = opened.policy()
        except BaseException:
            opened.close()
            raise
        return opened

    def _say_that_no_fleet_is_named(self) -> None:
        """Warn, once, where an administrator of a fleet is about to work on another store."""
        if self.config.is_fleet or not os.path.lexists(self.config.fleet_admin):
            return
        self.use_store_on_disk()
        output.warning(
            f"store in {self.config_path} is no fleet's: this is about people of this machine alone"
        )

    @property
    def is_of_fleet(self) -> bool:
        """Return whether the people of a fleet are worked on, and not this machine's own."""
        return self.config.is_fleet and not self._is_local

    @property
    def policy(self) -> Policy:
        """What counts at a login: of the store that was opened last, or of the configuration."""
        return self._policy or self.config.policy()

    def open_on_disk(self) -> Store:
        """Open the store of this machine: in a fleet, that of its local accounts."""
        from pam_totp import store

        return store.open_on_disk(self.config)

    def load(self, user: str, *, to_enroll: bool = False) -> UserRecord:
        """Return the record of an enrolled user. Raises NoSuchUser.

        ``to_enroll``: raises Unavailable where no new secret can be sealed from here.
        """
        name = known_name(user)
        with self.open_store() as opened:
            if to_enroll:
                opened.check_key()
            record = opened.load(name)
        return self.enrolled(record, name)

    def enrolled(self, record: UserRecord | None, name: str) -> UserRecord:
        if record is None:
            self.person(name)  # a mistyped name is not to be enrolled
            raise NoSuchUser(f"{name} is not enrolled", f"run: totpctl enroll {name}")
        return record

    def person(self, user: str) -> str:
        """Return the canonical name of a user who may have no record yet: see account_name().

        The people of a fleet need no account on the machine of their administrator.
        """
        if not self.is_of_fleet or directory.person(user) is not None:
            return account_name(user)
        output.warning(f"there is no user {user} on this machine")
        return user

    def account_of(self, name: str) -> Account | None:
        """Return what ties a record to the account ``name``; None where nothing does.

        There is no such account; or it is of a fleet, and has another uid on each host.
        """
        entry = None if self.is_of_fleet else directory.person(name)
        if entry is None:
            return None
        from pam_totp.login import identity

        return identity.account(entry)

    def bound(self, record: UserRecord, *, again: bool = False) -> UserRecord:
        """Return ``record`` as one of the account that has its name now, if there is one.

        ``again``: bind it as of now, even if the uid is the same.
        """
        account = self.account_of(record.name)
        if account is None:
            return record
        return record.bound_to(account, now(), force=again)

    def same_account(self, record: UserRecord, name: str) -> UserRecord:
        """Return ``record``. Raises CommandFailed where it grants another account something.

        Whatever is added to such a record would be added to what the old account left.
        """
        account = self.account_of(name)
        if account is None or not record.is_of_another_account(account):
            return record
        raise CommandFailed(
            f"{name} was enrolled as uid {record.uid}, but the account now has uid {account.uid}",
            f"if it is the same person: totpctl rebind {name}; else: totpctl reset {name}",
        )

    def log(self, event: str, user: str, **fields: object) -> None:
        from pam_totp.system import audit

        audit.record(event, audit.Source("totpctl", user=user), by=_administrator(), **fields)


pass_session = click.make_pass_decorator(Session)


def account_name(user: str) -> str:
    """Return the canonical name of an account of this machine.

    Raises NoSuchUser; CommandFailed where the directory does not say.
    """
    entry = directory.person(user)
    if entry is not None:
        return entry.pw_name
    if directory.problem():
        raise CommandFailed(f"{user} is not known: {directory.problem()}", directory.HINT)
    raise NoSuchUser(
        f"there is no user {user} on this machine",
        "check the spelling with: totpctl list; getent passwd",
    )


def existing_group(name: str) -> directory.GroupEntry:
    """Return a group of this machine. Raises as account_name() does."""
    found = directory.group(name)
    if found is not None:
        return found
    if directory.problem():
        raise CommandFailed(f"{name} is not known: {directory.problem()}", directory.HINT)
    raise NoSuchUser(
        f"there is no group {name} on this machine", "check the spelling with: getent group"
    )


def known_name(user: str) -> str:
    """Like account_name, but an account that is not known may still have its record."""
    entry = directory.person(user)
    return user if entry is None else entry.pw_name


def who_ran_sudo() -> str | None:
    """Name the person whom sudo let run this; None where it was not sudo, or root."""
    uid = os.environ.get("SUDO_UID", "")
    entry = directory.person_of_uid(int(uid)) if uid.isdecimal() and int(uid) else None
    return entry.pw_name if entry else None


def now() -> int:
    return int(time.time())


def _leave_control_group() -> None:
    """Keep a user from freezing this process, which sudo may have started among their programs.

    Where that cannot be done it goes on: totpctl is the way back.
    """
    if os.geteuid() == 0:
        from pam_totp.service import control_group

        with contextlib.suppress(control_group.CannotLeave):
            control_group.leave_if_not_roots()


def _administrator() -> str:
    """Name who ran the command: the login user that the kernel remembers through sudo and su."""
    try:
        with open("/proc/self/loginuid", encoding="ascii") as file:
            uid = int(file.read())
    except (OSError, ValueError):
        uid = _NO_LOGIN
    entry = directory.person_of_uid(uid) if uid != _NO_LOGIN else None
    return entry.pw_name if entry else os.environ.get("SUDO_USER") or str(os.getuid())
