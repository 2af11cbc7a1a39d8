"""The critical section of several users: a batch of those of one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from .. import joint
from .transactions import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.users import UserRecord
    from .sealed import SealedDatabase


class JointTransaction:
    """See JointTransaction of store/__init__.py."""

    def __init__(self, store: SealedDatabase, names: Sequence[str], *, unseal: bool) -> None:
        self.records: dict[str, UserRecord] = {}
        self._store = store
        self._names = names
        self._unseal = unseal
        self._batch = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as batch:
            batch.enter_context(self._store.joined)
            for name in self._names:
                with self._part(name) as part:
                    if part.record is not None:
                        self.records[name] = part.record
            self._batch = batch.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        self._batch.__exit__(kind, error, traceback)  # type: ignore[arg-type]

    def save(self, record: UserRecord) -> None:
        joint.check(record, self._names, self.records, may_change=self._unseal)
        with self._part(record.name) as part:
            part.save(record)
        self.records[record.name] = record

    def rename(self, old: str, new: str) -> None:
        joint.check_rename(old, new, self._names, self.records, may=self._unseal)
        record = self.records[old].renamed(new)
        with self._part(old) as part:  # first: its authenticators keep their ids
            part.save(None)
        with self._part(new) as part:
            part.save(record)
        del self.records[old]
        self.records[new] = record

    def _part(self, name: str) -> Transaction:
        return Transaction(self._store, name, "IMMEDIATE", unseal=self._unseal)
