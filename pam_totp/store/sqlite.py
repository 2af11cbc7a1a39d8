"""The default store: users, authenticators and recovery codes in one SQLite file."""

from __future__ import annotations

from ..errors import SealingError
from .database import create_database, open_database
from .rows import read_group_rules, read_record
from .transactions import DecoyTransaction, Transaction, change_group_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from ..admission import GroupRule
    from ..sealing import Sealer
    from ..verifier import UserRecord
    from .database import Database


class SQLiteStore:
    """See store.Store."""

    connect: Callable[[str], Database] = staticmethod(open_database)

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self.database = database
        self.sealer = sealer

    @classmethod
    def open(cls, path: str, sealer: Sealer) -> SQLiteStore:
        """Open an existing store, migrating it if this release has a newer schema."""
        store = cls(cls.connect(path), sealer)
        try:
            store._check_key()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def create(cls, path: str, sealer: Sealer) -> bool:
        """Create an empty store; False if there is one already."""
        return create_database(path, sealer)

    def load(self, name: str) -> UserRecord | None:
        with Transaction(self, name, "DEFERRED", unseal=False) as snapshot:
            return snapshot.record

    def load_decoy(self, name: str) -> UserRecord:
        with DecoyTransaction(self, name, "DEFERRED") as snapshot:
            return snapshot.record

    def transaction(self, name: str) -> Transaction:
        return Transaction(self, name, "IMMEDIATE", unseal=True)

    def decoy_transaction(self, name: str) -> DecoyTransaction:
        return DecoyTransaction(self, name, "IMMEDIATE")

    def records(self) -> Iterator[UserRecord]:
        for (name,) in self.database.execute("SELECT name FROM users ORDER BY name"):
            record = self.load(name)
            if record is not None:  # removed since
                yield record

    def group_rules(self) -> tuple[GroupRule, ...]:
        return read_group_rules(self.database)

    def save_group_rule(self, rule: GroupRule) -> None:
        change_group_rules(self.database, rule.name, rule)

    def remove_group_rule(self, name: str) -> None:
        change_group_rules(self.database, name, None)

    def confirm_absence(self) -> None:
        problems = self._structure_problems(limit=1)
        if problems:
            raise self.database.corrupt(f"is damaged ({problems[0]})")

    def check(self) -> list[str]:
        path = self.database.path
        problems = [f"{path}: {problem}" for problem in self._structure_problems(limit=20)]
        orphans = len(self.database.execute("PRAGMA foreign_key_check"))
        if orphans:
            problems.append(f"{path}: {orphans} rows belong to no user")
        for (name,) in self.database.execute("SELECT name FROM users ORDER BY name"):
            try:
                read_record(self, name, unseal=True)
            except SealingError as error:
                problems.append(f"{name}: {error}")
        self.group_rules()
        return problems

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> SQLiteStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _structure_problems(self, limit: int) -> list[str]:
        rows = self.database.execute(f"PRAGMA integrity_check({limit})")
        return [str(problem) for (problem,) in rows if problem != "ok"]

    def _check_key(self) -> None:
        rows = self.database.execute("SELECT value FROM meta WHERE key = 'sealing_key_id'")
        if not rows:
            raise self.database.corrupt("names no sealing key")
        if rows != [(self.sealer.key_id,)]:
            raise SealingError(
                self.sealer.path,
                f"is key {self.sealer.key_id.hex()}, but {self.database.path} is sealed with "
                f"another",
                "restore the sealing key from the same backup as the store",
            )
