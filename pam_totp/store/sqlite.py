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
from ..verifier import SUSPENDED, Authenticator, UserRecord
from . import schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any

BUSY_TIMEOUT = 5.0  # seconds
DECOY_BUCKETS = 4096

_USER_COLUMNS = "status, failures, throttled_until, recovery_salt, created_at, updated_at"
_AUTHENTICATOR_COLUMNS = (
    "id, label, sealed_secret, algorithm, digits, period, drift, last_accepted_step, "
    "created_at, last_used_at"
)
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
        for suffix in ("-wal", "-shm"):
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
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o700)
        trusted_files.check_folder(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # two at once: the second finds the store
            if os.path.lexists(path):
                return False
            unfinished = f"{path}.new"
            for leftover in (unfinished, f"{unfinished}-journal", f"{unfinished}-wal"):
                if os.path.lexists(leftover):
                    os.unlink(leftover)
            os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
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


class Transaction:
    """See store.Transaction. BEGIN IMMEDIATE serialises writers across processes."""

    def __init__(self, store: SQLiteStore, name: str, mode: str, *, unseal: bool) -> None:
        self._store = store
        self._name = name
        self._mode = mode
        self._unseal = unseal
        self.record: UserRecord | None = None

    def __enter__(self) -> Transaction:
        self._store.execute(f"BEGIN {self._mode}")
        try:
            self.record = read_record(self._store, self._name, unseal=self._unseal)
        except BaseException:
            _rollback(self._store)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _end(self._store, commit=kind is None)

    def save(self, record: UserRecord | None) -> None:
        if record is None:
            self._store.execute("DELETE FROM users WHERE name = ?", (self._name,))
        elif record.name != self._name:
            raise ValueError("a transaction saves the user it was opened for")
        else:
            self._save_user(record)
            self._save_authenticators(record)
            self._save_recovery_codes(record)
        self.record = record

    def _save_user(self, record: UserRecord) -> None:
        before = self.record
        if before is not None and _user_row(before) == _user_row(record):
            return
        self._store.execute(
            f"INSERT INTO users (name, {_USER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET status = excluded.status, "
            "failures = excluded.failures, throttled_until = excluded.throttled_until, "
            "recovery_salt = excluded.recovery_salt, updated_at = excluded.updated_at",
            (record.name, *_user_row(record)),
        )

    def _save_authenticators(self, record: UserRecord) -> None:
        before = {a.id: a for a in self.record.authenticators} if self.record else {}
        after = {a.id: a for a in record.authenticators}
        for gone in before.keys() - after.keys():
            self._store.execute("DELETE FROM authenticators WHERE id = ?", (gone,))
        for authenticator in after.values():
            known = before.get(authenticator.id)
            if known is None:
                self._insert_authenticator(authenticator)
            elif authenticator != known:
                self._update_authenticator(known, authenticator)

    def _insert_authenticator(self, authenticator: Authenticator) -> None:
        if authenticator.secret is None:
            raise ValueError("an authenticator cannot be saved without its secret")
        binding = _binding(self._name, authenticator)
        sealed = self._store.sealer.seal(authenticator.secret, *binding)
        self._store.execute(
            f"INSERT INTO authenticators (user, {_AUTHENTICATOR_COLUMNS}) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._name, *authenticator._replace(secret=sealed)),
        )

    def _update_authenticator(self, known: Authenticator, changed: Authenticator) -> None:
        fixed = (known.secret, *_binding(self._name, known), known.created_at)
        if fixed != (changed.secret, *_binding(self._name, changed), changed.created_at):
            raise ValueError("a secret and its parameters never change: use a new id")
        self._store.execute(
            "UPDATE authenticators SET label = ?, drift = ?, last_accepted_step = ?, "
            "last_used_at = ? WHERE id = ?",
            (
                changed.label,
                changed.drift,
                changed.last_accepted_step,
                changed.last_used_at,
                changed.id,
            ),
        )

    def _save_recovery_codes(self, record: UserRecord) -> None:
        before = self.record.recovery_digests if self.record else frozenset()
        for digest in before - record.recovery_digests:
            self._store.execute(
                "DELETE FROM recovery_codes WHERE user = ? AND digest = ?", (record.name, digest)
            )
        for digest in record.recovery_digests - before:
            self._store.execute(
                "INSERT INTO recovery_codes (user, digest) VALUES (?, ?)", (record.name, digest)
            )


class DecoyTransaction:
    """The same reads, the same write and the same fsync for a user who has no record.

    Failures are counted in one of DECOY_BUCKETS rows, chosen by the name and the sealing key, so
    that an unenrolled user is throttled as an enrolled one is, and the table cannot grow.
    """

    def __init__(self, store: SQLiteStore, name: str, mode: str) -> None:
        self._store = store
        self._name = name
        self._mode = mode
        token = store.sealer.decoy(b"bucket", name)
        self._bucket = int.from_bytes(token[:4], "big") % DECOY_BUCKETS
        self.record = UserRecord(name)

    def __enter__(self) -> DecoyTransaction:
        sealer = self._store.sealer
        self._store.execute(f"BEGIN {self._mode}")
        try:
            row = self._store.execute(
                "SELECT failures, throttled_until FROM decoys WHERE bucket = ?", (self._bucket,)
            ).fetchone()
        except BaseException:
            _rollback(self._store)
            raise
        failures, throttled_until = row or (0, 0)
        self.record = UserRecord(
            self._name,
            status=SUSPENDED,  # whatever matches, it is rejected
            failures=failures,
            throttled_until=throttled_until,
            recovery_salt=sealer.decoy(b"salt", self._name)[:16],
            recovery_digests=frozenset((sealer.decoy(b"digest", self._name),)),
            authenticators=(
                Authenticator(id="", label="", secret=sealer.decoy(b"secret", self._name)),
            ),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _end(self._store, commit=kind is None)

    def save(self, record: UserRecord | None) -> None:
        if record is None:
            raise ValueError("a decoy cannot be removed")
        self._store.execute(
            "INSERT OR REPLACE INTO decoys (bucket, failures, throttled_until) VALUES (?, ?, ?)",
            (self._bucket, record.failures, record.throttled_until),
        )


def read_record(store: SQLiteStore, name: str, *, unseal: bool) -> UserRecord | None:
    """Read one user inside the caller's transaction."""
    row = store.execute(f"SELECT {_USER_COLUMNS} FROM users WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    status, failures, throttled_until, recovery_salt, created_at, updated_at = row
    digests = store.execute("SELECT digest FROM recovery_codes WHERE user = ?", (name,))
    authenticators = store.execute(
        f"SELECT {_AUTHENTICATOR_COLUMNS} FROM authenticators WHERE user = ? ORDER BY label",
        (name,),
    )
    return UserRecord(
        name=name,
        status=status,
        failures=failures,
        throttled_until=throttled_until,
        recovery_salt=recovery_salt,
        recovery_digests=frozenset(digest for (digest,) in digests),
        authenticators=tuple(
            _unsealed(store.sealer, name, Authenticator(*row), unseal=unseal)
            for row in authenticators
        ),
        created_at=created_at,
        updated_at=updated_at,
    )


def _unsealed(sealer: Sealer, user: str, row: Authenticator, *, unseal: bool) -> Authenticator:
    sealed, authenticator = row.secret, row._replace(secret=None)
    if not unseal or sealed is None:
        return authenticator
    return authenticator._replace(secret=sealer.open(sealed, *_binding(user, authenticator)))


def _binding(user: str, authenticator: Authenticator) -> tuple[str, ...]:
    """Name the fields that a sealed secret is bound to."""
    return (
        user,
        authenticator.id,
        authenticator.algorithm,
        str(authenticator.digits),
        str(authenticator.period),
    )


def _user_row(record: UserRecord) -> tuple[Any, ...]:
    return (
        record.status,
        record.failures,
        record.throttled_until,
        record.recovery_salt,
        record.created_at,
        record.updated_at,
    )


def _end(store: SQLiteStore, *, commit: bool) -> None:
    if not commit:
        _rollback(store)
        return
    try:
        store.execute("COMMIT")
    except PamTotpError:
        _rollback(store)
        raise


def _rollback(store: SQLiteStore) -> None:
    if store.connection.in_transaction:
        store.execute("ROLLBACK")


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
