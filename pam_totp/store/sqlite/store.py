"""The default store: users, authenticators and recovery codes in one SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...system.errors import SealingError
from . import schema
from .database import check_files
from .questions import Questions
from .reading import read
from .rows import read_group_rules
from .transactions import DecoyTransaction, Transaction, change_group_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...core.admission import GroupRule
    from ...core.users import UserRecord
    from ..sealing import Sealer
    from .joint import JointTransaction


class SQLiteStore(Questions):
    """See Store of store/__init__.py."""

    @classmethod
    def create(cls, path: str, sealer: Sealer) -> bool:
        """Create an empty store; False if there is one already."""
        from .creation import create_database  # no login makes one

        return create_database(path, sealer)

    def load(self, name: str) -> UserRecord | None:
        with Transaction(self, name, "DEFERRED", unseal=False) as snapshot:
            return snapshot.record

    def load_all(self, names: Sequence[str]) -> dict[str, UserRecord]:
        return {record.name: record for name in names if (record := self.load(name))}

    def transaction(self, name: str, *, unseal: bool = True) -> Transaction:
        return Transaction(self, name, "IMMEDIATE", unseal=unseal)

    def joint_transaction(self, names: Sequence[str], *, unseal: bool = False) -> JointTransaction:
        from .joint import JointTransaction  # no login needs it

        return JointTransaction(self, names, unseal=unseal)

    def decoy_transaction(self, name: str) -> DecoyTransaction:
        return DecoyTransaction(self, name)

    def records(self) -> Iterator[UserRecord]:
        for name in self._names():
            record = self.load(name)
            if record is not None:  # removed since
                yield record

    def policy(self) -> None:
        """The configuration's counts."""

    def check_key(self) -> None:
        """It has one: without, it does not open."""

    def reseal(self, sealer: Sealer) -> int:
        from .resealing import reseal  # no login needs it

        return reseal(self, sealer)

    def group_rules(self) -> tuple[GroupRule, ...]:
        return read_group_rules(self.database)

    def save_group_rule(self, rule: GroupRule) -> None:
        change_group_rules(self.database, rule.name, rule)

    def remove_group_rule(self, name: str) -> None:
        change_group_rules(self.database, name, None)

    def is_current(self) -> bool:
        database = self.database
        return check_files(database.path) == database.files and self._is_of_this_release()

    def _is_of_this_release(self) -> bool:
        return self.database.execute("PRAGMA user_version") == [(len(schema.MIGRATIONS),)]

    def check(self) -> list[str]:
        path = self.database.path
        problems = [f"{path}: {problem}" for problem in self._structure_problems(limit=20)]
        orphans = len(self.database.execute("PRAGMA foreign_key_check"))
        if orphans:
            problems.append(f"{path}: {orphans} rows belong to no user")
        for name in self._names():
            try:
                read(self, name, unseal=True)
            except SealingError as error:
                problems.append(f"{name}: {error}")
        self.group_rules()
        return problems

    def _names(self) -> Iterator[str]:
        for (name,) in self.database.execute("SELECT name FROM users ORDER BY name"):
            if not isinstance(name, str):
                raise self.database.not_ours()
            yield name

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> SQLiteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
