"""Where users, authenticators and recovery codes are kept.

It has two faces. A login asks it three questions (LoginStore), each of which an engine can answer
in one step. To an administrator it hands out records (users.UserRecord), and takes them back inside
a transaction (RecordStore); what changed between the two is written. A store on this machine has
both (Store). Of a fleet, hosts have the first, and machines of administrators the second. Every
backend inherits tests/contract.

    questions.py  what a login asks, and what it is told
    joint.py      what a transaction of several users takes
    sealing.py    authenticated encryption of secrets at rest
    sqlite/       the default backend: one file, local to the machine
    postgresql/   a database for many hosts, which judges itself
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from ..core.admission import GroupRule as GroupRule
from ..system.config_values import split_store_url
from .questions import Known as Known
from .questions import LoginAttempt as LoginAttempt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..core.users import UserRecord
    from ..core.verifier import Policy
    from ..system.config import Config
    from .questions import LoginStore as LoginStore
    from .sealing import Sealer

    class Transaction(Protocol):
        """One user's critical section, a context manager.

        Entering it waits for every other transaction on that user, or on the store; leaving it
        makes the saved record durable before it returns, and by an exception writes nothing.
        """

        @property
        def record(self) -> UserRecord | None:
            """What the store held on entry, with secrets; None for a user it does not know."""

        def save(self, record: UserRecord | None) -> None:
            """Replace the user by ``record``; None removes the user and all that is theirs."""

        def __enter__(self) -> Transaction: ...

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, _: object, /
        ) -> None: ...

    class JointTransaction(Protocol):
        """The critical section of several users, a context manager: what is saved is one commit.

        It is for many enrollments: of a user whom the store knows it takes new authenticators and
        other recovery codes. It removes no authenticator, and changes one only if it was opened
        with secrets. Then it may also give all that is one user's to another.
        """

        @property
        def records(self) -> dict[str, UserRecord]:
            """What the store held on entry, of those of the names it knows, and what was saved."""

        def save(self, record: UserRecord) -> None:
            """Replace one of the users by ``record``."""

        def rename(self, old: str, new: str) -> None:
            """Make all that is ``old``'s that of ``new``, with secrets sealed for that name.

            Both are among the names, and the store knows ``old`` alone; ``new`` may be saved then.
            """

        def __enter__(self) -> JointTransaction: ...

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, _: object, /
        ) -> None: ...

    class RecordStore(Protocol):
        """What an administrator asks; a context manager."""

        def load(self, name: str) -> UserRecord | None:
            """Return a snapshot without secrets, or None."""

        def load_all(self, names: Sequence[str]) -> dict[str, UserRecord]:
            """Return such a snapshot of each of ``names`` that the store knows."""

        def records(self) -> Iterator[UserRecord]:
            """Yield every record without secrets, by name."""

        def transaction(self, name: str, *, unseal: bool = True) -> Transaction:
            """Open the critical section of ``name``; without secrets where ``unseal`` is False."""

        def joint_transaction(
            self, names: Sequence[str], *, unseal: bool = False
        ) -> JointTransaction:
            """Open one critical section of all ``names``; with secrets where ``unseal`` is True."""

        def policy(self) -> Policy | None:
            """Return the store's own policy; None where the configuration's counts."""

        def check_key(self) -> None:
            """Raise Unavailable where no new secret can be sealed, for want of a key."""

        def group_rules(self) -> tuple[GroupRule, ...]:
            """Return the rules for groups, by name."""

        def save_group_rule(self, rule: GroupRule) -> None:
            """Make ``rule`` the one of its group; durable when it returns."""

        def remove_group_rule(self, name: str) -> None:
            """Take away the rule of the group ``name``, if there is one; durable as well."""

        def check(self) -> list[str]:
            """Return what is wrong with the store as a whole, in words; [] when all is well."""

        def close(self) -> None: ...

        def __enter__(self) -> RecordStore: ...

        def __exit__(self, *_: object) -> None: ...

    class Store(LoginStore, RecordStore, Protocol):
        """Both faces, of a store on this machine's disk."""

        def decoy_transaction(self, name: str) -> Transaction:
            """The same work on the decoy of ``name``: it counts failures and never accepts."""

        def reseal(self, sealer: Sealer) -> int:
            """Seal every secret again, with ``sealer``'s key, and name it as the store's.

            Return how many there are. Raises SealingError, and has changed nothing, where one
            does not open: its subject is the user. StoreUnavailable may come after the change.
            When it returns, that is durable, and nothing sealed before is left in the store.
            Processes that have it open continue if the key file holds both keys meanwhile.
            """

        def is_current(self) -> bool:
            """Tell whether this still is the store that its URL leads to, as this release knows it.

            Where it lies is checked as when it was opened. Raises Unavailable.
            """

        def __enter__(self) -> Store: ...


def open_store(
    url: str,
    sealer: Sealer,
    *,
    administers: bool = False,
    patience: float | None = None,
    any_thread: bool = False,
) -> Store:
    """Open the store that ``url`` names, checking that its files may be trusted.

    ``administers``: set aside all the room that logins will need, which may take seconds. A login
    sets aside some of it at most. ``patience``: how many seconds to wait for another process that
    writes, before errors.StoreBusy; 0 for whoever comes back later, None for the usual.
    ``any_thread``: more than this one will use it, one at a time.
    """
    scheme, path = split_store_url(url)
    assert scheme == "sqlite"
    from .sqlite.opening import open_database
    from .sqlite.store import SQLiteStore

    database = open_database(
        path, administers=administers, patience=patience, any_thread=any_thread
    )
    return SQLiteStore.over(database, sealer)


def open_for_administrator(settings: Config, administrator: str = "") -> RecordStore:
    """Open the store that ``settings`` name, with their key. Raises Unavailable.

    ``administrator``: who runs the command, which a fleet's database notes with what they change.
    """
    if settings.is_fleet:
        from .postgresql.admin_store import open_admin_store

        return open_admin_store(settings.store, settings.fleet_admin, administrator=administrator)
    return open_on_disk(settings)


def open_on_disk(settings: Config) -> Store:
    """Open the store on this machine's disk: in a fleet, that of the local accounts."""
    from . import sealing  # with libsodium, which not every command needs

    sealer = sealing.read_sealer(settings.sealing_key)
    return open_store(settings.of_this_machine().store, sealer, administers=True)


def create_store(url: str, sealer: Sealer) -> bool:
    """Create the store that ``url`` names; False if it is there already, and then untouched."""
    scheme, path = split_store_url(url)
    assert scheme == "sqlite"
    from .sqlite.store import SQLiteStore

    return SQLiteStore.create(path, sealer)


def is_missing(url: str) -> bool:
    """Tell whether no store lies there at all, rather than one that is no use now."""
    _, path = split_store_url(url)
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False
