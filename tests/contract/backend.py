"""What the tests of a store need from a backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from hypothesis import HealthCheck

from pam_totp.core.remembering import Remembered
from pam_totp.core.users import UserRecord
from pam_totp.store.sealing import Sealer
from tests.contract.sample_records import without_secrets

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Protocol

    from pam_totp.store import LoginStore, RecordStore, Store

    class BothFaces(LoginStore, RecordStore, Protocol):
        """What a login asks, and what an administrator does, over the same store."""

        def __enter__(self) -> BothFaces: ...


# One contract for several stores, each with a fixture of its own; older hypothesis knows not all.
SHARED = [c for c in HealthCheck if c.name in ("function_scoped_fixture", "differing_executors")]


class Backend(ABC):
    """One empty store of the backend under test, in a place of its own.

    ``owner``: the column that says whose an authenticator is.
    """

    owner: str

    @abstractmethod
    def open(self, *, patience: float | None = None) -> BothFaces:
        """Open the store once more, over a connection of its own: see store.open_store."""

    @abstractmethod
    def tamper(self, statement: str) -> None:
        """Run ``statement`` behind the program's back, without the checks of a foreign key."""

    @abstractmethod
    def count(self, table: str) -> int:
        """Return the number of rows of ``table``."""

    def as_kept(self, record: UserRecord) -> UserRecord:
        """Return what the store holds of ``record`` where a login has made it."""
        return record

    def place_name(self, place: str) -> str:
        """Return the name under which the store keeps a known place of this host."""
        return place

    def as_of_a_login(self, remembered: tuple[Remembered, ...]) -> tuple[Remembered, ...]:
        """Return remembered places as those of this host."""
        return remembered

    def as_told(self, record: UserRecord) -> UserRecord:
        """Return what a login is told of ``record``."""
        return without_secrets(record)

    def save(self, record: UserRecord) -> None:
        with self.open() as store, store.transaction(record.name) as transaction:
            transaction.save(record)

    def load(self, name: str) -> UserRecord | None:
        with self.open() as store:
            return store.load(name)

    def load_with_secrets(self, name: str) -> UserRecord | None:
        with self.open() as store, store.transaction(name) as transaction:
            return transaction.record


class BackendOnDisk(Backend):
    """A file of this machine, where both faces are one, and a record is judged by this program."""

    sealer: Sealer

    @abstractmethod
    def open(self, *, patience: float | None = None) -> Store: ...

    @abstractmethod
    def failing_commits(self) -> AbstractContextManager[None]:
        """Have every commit fail meanwhile, as on a disk that gives errors."""
