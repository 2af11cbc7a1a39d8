"""The default store: one SQLite file, WAL, every commit on the disk before it returns."""

from __future__ import annotations

import fcntl
import os
import sqlite3

from .. import trusted_files
from ..errors import (
    PamTotpError,
    SealingError,
    StoreCorrupt,
    StoreMissing,
    StoreUnavailable,
)
from ..sealing import Sealer
from . import schema
from .transactions import DecoyTransaction, Transaction, read_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any

    from ..verifier import UserRecord

BUSY_TIMEOUT = 5.0  # seconds

_SUFFIXES = ("-wal", "-shm", "-journal")  # of the files that SQLite keeps beside a database

_PRIMARY_CODES = {  # https://www.sqlite.org/rescode.html: the low byte of an extended code
    5: ("is locked by another process for too long", "try again; then look for: fuser {path}"),
    8: ("is read-only", "make its file system writable: mount -o remount,rw"),
    10: ("cannot be read or written", "look at the disk: dmesg; df {folder}"),
    13: ("cannot be written: no space left", "make room on the disk: df {folder}"),
    14: ("cannot be opened", "look at: ls -l {folder}; df {folder}"),
}
_RESTORE_HINT = "restore {path} from a backup, or run: totpctl init, after moving it away"


class SQLiteStore:
    """See store.Store. One connection; not to be shared between threads."""

    def __init__(self, connection: sqlite3.Connection, path: str, sealer: Sealer) -> None:
        self.connection = connection
        self.path = path
        self.sealer = sealer

    @classmethod
    def open(cls, path: str, sealer: Sealer) -> SQLiteStore:
        """Open an existing store, migrating it if this release has a newer schema."""
        trusted_files.check_folder(os.path.dirname(path))
        try:
            trusted_files.check_file(path)
        except FileNotFoundError:
            raise StoreMissing(path, "there is no store", "run: totpctl init") from None
        for suffix in _SUFFIXES:
            try:
                trusted_files.check_file(path + suffix)
            except FileNotFoundError:
                pass
        store = cls(_connect(path), path, sealer)
        try:
            store._prepare()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def create(cls, path: str, sealer: Sealer) -> bool:
        """Create folder (0700) and file (0600); a crash leaves a whole store or none."""
        folder = os.path.dirname(path)
        _make_folder(folder)
        trusted_files.check_folder(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # two at once: the second finds the store
            if os.path.lexists(path):
                return False
            _refuse_files_of_another_store(path)
            unfinished = f"{path}.new"
            for suffix in ("", *_SUFFIXES):
                if os.path.lexists(unfinished + suffix):
                    os.unlink(unfinished + suffix)
            _make_empty_file(unfinished)
            _fill_new(unfinished, sealer)
            os.rename(unfinished, path)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True

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
        for (name,) in self.execute("SELECT name FROM users ORDER BY name").fetchall():
            record = self.load(name)
            if record is not None:  # removed since
                yield record

    def check(self) -> list[str]:
        problems = [str(row[0]) for row in self.execute("PRAGMA integrity_check")]
        problems = [] if problems == ["ok"] else [f"{self.path}: {p}" for p in problems]
        rows = self.execute("SELECT count(*) FROM pragma_foreign_key_check").fetchone()
        if rows[0]:
            problems.append(f"{self.path}: {rows[0]} rows belong to no user")
        for (name,) in self.execute("SELECT name FROM users ORDER BY name").fetchall():
            try:
                read_record(self, name, unseal=True)
            except SealingError as error:
                problems.append(f"{name}: {error}")
        return problems

    def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run one statement. Raises StoreUnavailable or StoreCorrupt, never sqlite3.Error."""
        try:
            return self.connection.execute(statement, parameters)
        except sqlite3.Error as error:
            raise _explain(error, self.path) from None

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> SQLiteStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _prepare(self) -> None:
        try:
            if schema.version(self.connection) == 0:
                raise StoreCorrupt(self.path, "is empty", _hint(_RESTORE_HINT, self.path))
            schema.migrate(self.connection, self.path)
            # Of a copy made with VACUUM INTO, say: only with WAL does FULL outlast a power cut.
            self.connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            raise _explain(error, self.path) from None
        row = self.execute("SELECT value FROM meta WHERE key = 'sealing_key_id'").fetchone()
        if row is None:
            raise StoreCorrupt(self.path, "names no sealing key", _hint(_RESTORE_HINT, self.path))
        if row[0] != self.sealer.key_id:
            raise SealingError(
                self.sealer.path,
                f"is key {self.sealer.key_id.hex()}, but {self.path} is sealed with key "
                f"{bytes(row[0]).hex()}",
                "restore the sealing key from the same backup as the store",
            )


def _connect(path: str) -> sqlite3.Connection:
    """Open without creating. FULL: a commit has reached the disk when it returns."""
    escaped = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = None
    try:
        connection = sqlite3.connect(
            f"file:{escaped}?mode=rw", timeout=BUSY_TIMEOUT, isolation_level=None, uri=True
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA trusted_schema = OFF")
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise _explain(error, path) from None
    return connection


def _make_folder(folder: str) -> None:
    """Make it for the owner alone, whatever the umask; leave one that is there as it is."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    os.chmod(folder, 0o700)


def _make_empty_file(path: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _refuse_files_of_another_store(path: str) -> None:
    """SQLite would play the log of a store that was moved away into the new one."""
    for suffix in _SUFFIXES:
        if os.path.lexists(path + suffix):
            raise StoreUnavailable(
                path + suffix,
                "was left behind by another store",
                "move it to where that store went, under that store's name",
            )


def _fill_new(path: str, sealer: Sealer) -> None:
    connection = _connect(path)
    try:
        schema.migrate(connection, path)
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('sealing_key_id', ?)", (sealer.key_id,)
        )
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        raise _explain(error, path) from None
    finally:
        connection.close()


def _explain(error: sqlite3.Error, path: str) -> PamTotpError:
    """Turn SQLite's words, which may quote values, into ours."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _PRIMARY_CODES:
        problem, hint = _PRIMARY_CODES[code]
        return StoreUnavailable(path, problem, _hint(hint, path))
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreCorrupt(path, f"is damaged or not a store ({name})", _hint(_RESTORE_HINT, path))


def _hint(template: str, path: str) -> str:
    return template.format(path=path, folder=os.path.dirname(path))
