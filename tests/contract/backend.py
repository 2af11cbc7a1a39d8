"""What the tests of a store need from a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from hypothesis import HealthCheck

from pam_totp.core.users import UserRecord
from pam_totp.store.sealing import Sealer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pam_totp.store import Store

# One contract for several stores, each with a fixture of its own; older hypothesis knows not all.
SHARED = [c for c in HealthCheck if c.name in ("function_scoped_fixture", "differing_executors")]


class Backend(ABC):
    """One empty store of the backend under test, in a place of its own."""

    sealer: Sealer

    @abstractmethod
    def open(self, *, patience: float | None = None) -> Store:
        """Open the store once more, over a connection of its own: see store.open_store."""

    @abstractmethod
    def failing_commits(self) -> AbstractContextManager[None]:
        """Have every commit fail meanwhile, as on a disk that gives errors."""

    @abstractmethod
    def tamper(self, statement: str) -> None:
        """Run ``statement`` behind the program's back, without the checks of a foreign key."""

    @abstractmethod
    def count(self, table: str) -> int:
        """Return the number of rows of ``table``."""

    def save(self, record: UserRecord) -> None:
        with self.open() as store, store.transaction(record.name) as transaction:
            transaction.save(record)

    def load(self, name: str) -> UserRecord | None:
        with self.open() as store:
            return store.load(name)

    def load_with_secrets(self, name: str) -> UserRecord | None:
        with self.open() as store, store.transaction(name) as transaction:
            return transaction.record
