"""Where users, authenticators and recovery codes are kept.

A store hands out records (users.UserRecord) and takes them back inside a transaction; what
changed between the two is written. Every backend inherits tests/contract.

    sealing.py  authenticated encryption of secrets at rest
    sqlite/     the default backend: one file, local to the machine
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from ..core.admission import GroupRule as GroupRule
from ..system.config_values import split_store_url
from .sealing import Sealer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from ..core.users import UserRecord
    from .sqlite.pool import Pool

    class Transaction(Protocol):
        """One user's critical section, a context manager.

        Entering it waits for every other transaction on the store; leaving it makes the saved
        record durable before it returns, and leaving it by an exception writes nothing.
        """

        @property
        def record(self) -> UserRecord | None:
            """What the store held on entry, with secrets; None for a user it does not know."""

        def save(self, record: UserRecord | None) -> None:
            """Replace the user by ``record``; None removes the user and all that is theirs."""

        def __enter__(self) -> Transaction: ...

        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            traceback: TracebackType | None,
        ) -> None: ...

    class Store(Protocol):
        """A context manager. Every method raises errors.Unavailable where the store is no use."""

        def load(self, name: str) -> UserRecord | None:
            """Return a snapshot without secrets, or None."""

        def load_decoy(self, name: str) -> UserRecord:
            """Return the record that stands in for a user without one, without secrets."""

        def records(self) -> Iterator[UserRecord]:
            """Yield every record without secrets, by name."""

        def transaction(self, name: str, *, unseal: bool = True) -> Transaction:
            """Open the critical section of ``name``; without secrets where ``unseal`` is False."""

        def decoy_transaction(self, name: str) -> Transaction:
            """The same work on the decoy of ``name``: it counts failures and never accepts."""

        def reseal(self, sealer: Sealer) -> int:
            """Seal every secret anew with ``sealer``'s key, and name it as the store's.

            Return how many there are. Raises SealingError, and has changed nothing, where one
            does not open: its subject is the user. StoreUnavailable may come after the change.
            When it returns, that is durable, and nothing sealed before is left in the store.
            Whoever has it open goes on if the key file holds both keys meanwhile.
            """

        def group_rules(self) -> tuple[GroupRule, ...]:
            """Return the rules for groups, by name."""

        def save_group_rule(self, rule: GroupRule) -> None:
            """Make ``rule`` the one of its group; durable when it returns."""

        def remove_group_rule(self, name: str) -> None:
            """Take away the rule of the group ``name``, if there is one; durable as well."""

        def confirm_absence(self) -> None:
            """Raise StoreCorrupt if damage could be why a user was not found.

            Takes time that grows with the store: for when absence lets somebody in.
            """

        def check(self) -> list[str]:
            """Return what is wrong with the store as a whole, in words; [] when all is well."""

        def close(self) -> None: ...

        def __enter__(self) -> Store: ...

        def __exit__(
            self,
            kind: type[BaseException] | None,
            error: BaseException | None,
            traceback: TracebackType | None,
        ) -> None: ...


def open_store(url: str, sealer: Sealer, *, administers: bool = False) -> Store:
    """Open the store that ``url`` names, checking that its files may be believed.

    ``administers``: set aside all the room that logins will need, which may take seconds. A login
    sets aside some of it at most.
    """
    scheme, path = split_store_url(url)
    assert scheme == "sqlite"
    from .sqlite.store import SQLiteStore

    return SQLiteStore.open(path, sealer, administers=administers)


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


def keep_connections() -> Pool:
    """Have open_store() lend connections that stay open, for a process of many logins."""
    from .sqlite.pool import Pool
    from .sqlite.store import SQLiteStore

    pool = Pool()
    SQLiteStore.connect = pool.open
    return pool
