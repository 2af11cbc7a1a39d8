"""The default store: users, authenticators and recovery codes in one SQLite file."""

from __future__ import annotations

from .. import sealing
from ..errors import SealingError
from ..sealing import DECOY_KEY
from .database import open_database
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


_KEY_READS = 5  # each after a rotation that was finished since the one before


class SQLiteStore:
    """See store.Store.

    At any moment the key file holds the key that the store names, and that of each secret: so
    whoever meets another key than those of the file reads the file again. Inside a transaction
    that writes, no rotation can overtake that.
    """

    connect: Callable[..., Database] = staticmethod(open_database)

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self.database = database
        self.sealer = sealer
        self._at_first, self._sealed_decoy_key = self._key_in_force()
        self._decoy_key = b""  # opened when it is needed; it is the same under every sealing key

    @classmethod
    def open(cls, path: str, sealer: Sealer, *, administers: bool = False) -> SQLiteStore:
        """Open an existing store, migrating it if this release has a newer schema."""
        database = cls.connect(path, administers=administers)
        try:
            return cls(database, sealer)
        except BaseException:
            database.close()
            raise

    @classmethod
    def create(cls, path: str, sealer: Sealer) -> bool:
        """Create an empty store; False if there is one already."""
        from .creation import create_database  # no login makes one

        return create_database(path, sealer)

    def load(self, name: str) -> UserRecord | None:
        with Transaction(self, name, "DEFERRED", unseal=False) as snapshot:
            return snapshot.record

    def load_decoy(self, name: str) -> UserRecord:
        with DecoyTransaction(self, name, "DEFERRED") as snapshot:
            return snapshot.record

    def transaction(self, name: str, *, unseal: bool = True) -> Transaction:
        return Transaction(self, name, "IMMEDIATE", unseal=unseal)

    def decoy_transaction(self, name: str) -> DecoyTransaction:
        return DecoyTransaction(self, name, "IMMEDIATE")

    def records(self) -> Iterator[UserRecord]:
        for (name,) in self.database.execute("SELECT name FROM users ORDER BY name"):
            record = self.load(name)
            if record is not None:  # removed since
                yield record

    def seal(self, secret: bytes, *fields: str) -> bytes:
        """Seal with the key that the store names. Inside a transaction that writes, that stays."""
        sealer, _ = self._key_in_force()
        return sealer.seal(secret, *fields)

    def unseal(self, envelope: bytes, *fields: str) -> bytes:
        """See Sealer.open: with the keys of the file as it is now."""
        if self.sealer.named(sealing.key_id_of(envelope)) is None:
            self._read_key_file_again()
        return self.sealer.open(envelope, *fields)

    def decoy(self, purpose: bytes, name: str) -> bytes:
        """Return 32 bytes for a name without a record. They outlast every sealing key."""
        return sealing.decoy(self.decoy_key(), purpose, name)

    def decoy_key(self) -> bytes:
        """Return the key of the decoys, opened once."""
        if not self._decoy_key:
            self._decoy_key = self.open_decoy_key()
        return self._decoy_key

    def open_decoy_key(self) -> bytes:
        """Open the key of the decoys. Nobody is denied because it does not open."""
        try:
            return self._at_first.open(self._sealed_decoy_key, *DECOY_KEY)
        except SealingError:
            return self._at_first.decoy_key()

    def reseal(self, sealer: Sealer) -> int:
        from .resealing import reseal  # no login needs it

        return reseal(self, sealer)

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

    def _key_in_force(self) -> tuple[Sealer, bytes]:
        """Return the key that the store names, and its sealed key of decoys, b"" without one."""
        for _ in range(_KEY_READS):
            meta = dict(self.database.execute("SELECT key, value FROM meta"))
            if "sealing_key_id" not in meta:
                raise self.database.corrupt("names no sealing key")
            found = self.sealer.named(meta["sealing_key_id"])
            if found is not None:
                return found, meta.get("decoy_key", b"")
            if not self._read_key_file_again():
                break
        raise SealingError(
            self.sealer.path,
            f"is key {self.sealer.key_id.hex()}, but {self.database.path} is sealed with another: "
            f"key {meta['sealing_key_id'].hex()}",
            "restore the sealing key from the same backup as the store",
        )

    def _read_key_file_again(self) -> bool:
        """Tell whether it holds other keys now."""
        before, self.sealer = self.sealer, sealing.read_sealer(self.sealer.path)
        return before.key_file() != self.sealer.key_file()
