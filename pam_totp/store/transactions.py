"""The critical sections of the SQLite store: records in, what changed out."""

from __future__ import annotations

from ..otp import ALGORITHMS, DIGITS
from ..sealing import Sealer
from ..verifier import STATUSES, SUSPENDED, Authenticator, UserRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from .database import Database
    from .sqlite import SQLiteStore

DECOY_BUCKETS = 65536

_USER_COLUMNS = "status, failures, throttled_until, recovery_salt, created_at, updated_at"
_AUTHENTICATOR_COLUMNS = (
    "id, label, sealed_secret, algorithm, digits, period, drift, last_accepted_step, "
    "created_at, last_used_at"
)


class Transaction:
    """See store.Transaction. BEGIN IMMEDIATE serialises writers across processes."""

    def __init__(self, store: SQLiteStore, name: str, mode: str, *, unseal: bool) -> None:
        self._database = store.database
        self._store = store
        self._name = name
        self._mode = mode
        self._unseal = unseal
        self.record: UserRecord | None = None

    def __enter__(self) -> Transaction:
        self._database.execute(f"BEGIN {self._mode}")
        try:
            self.record = read_record(self._store, self._name, unseal=self._unseal)
        except BaseException:
            self._database.roll_back()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._database.commit()
        else:
            self._database.roll_back()

    def save(self, record: UserRecord | None) -> None:
        _pass_by_the_key(self._database)
        if record is None:
            self._database.execute("DELETE FROM users WHERE name = ?", (self._name,))
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
        self._database.execute(
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
            self._database.execute("DELETE FROM authenticators WHERE id = ?", (gone,))
        for known_id in before.keys() & after.keys():
            if (
                before[known_id].label != after[known_id].label
            ):  # make way: two may exchange their labels
                self._database.execute(
                    "UPDATE authenticators SET label = id WHERE id = ?", (known_id,)
                )
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
        self._database.execute(
            f"INSERT INTO authenticators (user, {_AUTHENTICATOR_COLUMNS}) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._name, *authenticator._replace(secret=sealed)),
        )

    def _update_authenticator(self, known: Authenticator, changed: Authenticator) -> None:
        fixed = (known.secret, *_binding(self._name, known), known.created_at)
        if fixed != (changed.secret, *_binding(self._name, changed), changed.created_at):
            raise ValueError("a secret and its parameters never change: use a new id")
        self._database.execute(
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
            self._database.execute(
                "DELETE FROM recovery_codes WHERE user = ? AND digest = ?", (record.name, digest)
            )
        for digest in record.recovery_digests - before:
            self._database.execute(
                "INSERT INTO recovery_codes (user, digest) VALUES (?, ?)", (record.name, digest)
            )


class DecoyTransaction:
    """The same reads, the same write and the same fsync for a user who has no record.

    Failures are counted in one of DECOY_BUCKETS rows, chosen by the name and the sealing key, so
    that an unenrolled user is throttled as an enrolled one is, and the table cannot grow.
    """

    def __init__(self, store: SQLiteStore, name: str, mode: str) -> None:
        self._database = store.database
        self._store = store
        self._name = name
        self._mode = mode
        token = store.sealer.decoy(b"bucket", name)
        self._bucket = int.from_bytes(token[:4], "big") % DECOY_BUCKETS
        self.record = UserRecord(name)

    def __enter__(self) -> DecoyTransaction:
        sealer = self._store.sealer
        self._database.execute(f"BEGIN {self._mode}")
        try:
            rows = self._database.execute(
                "SELECT failures, throttled_until FROM decoys WHERE bucket = ?", (self._bucket,)
            )
        except BaseException:
            self._database.roll_back()
            raise
        failures, throttled_until = rows[0] if rows else (0, 0)
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
        if kind is None:
            self._database.commit()
        else:
            self._database.roll_back()

    def save(self, record: UserRecord | None) -> None:
        if record is None:
            raise ValueError("a decoy cannot be removed")
        _pass_by_the_key(self._database)
        self._database.execute(
            "INSERT OR REPLACE INTO decoys (bucket, failures, throttled_until) VALUES (?, ?, ?)",
            (self._bucket, record.failures, record.throttled_until),
        )


def _pass_by_the_key(database: Database) -> None:
    """Have every commit rewrite the page that names the sealing key.

    SQLite plays a write-ahead log into whatever store it lies beside. Of a log that another
    store left behind, this page then tells that it does not belong here.
    """
    database.execute("UPDATE meta SET value = randomblob(8) WHERE key = 'last_write'")


def read_record(store: SQLiteStore, name: str, *, unseal: bool) -> UserRecord | None:
    """Read one user inside the caller's transaction. Raises StoreCorrupt for what no save wrote."""
    execute = store.database.execute
    rows = execute(f"SELECT {_USER_COLUMNS} FROM users WHERE name = ?", (name,))
    if not rows:
        return None
    status, failures, throttled_until, recovery_salt, created_at, updated_at = rows[0]
    digests = execute("SELECT digest FROM recovery_codes WHERE user = ?", (name,))
    authenticators = execute(
        f"SELECT {_AUTHENTICATOR_COLUMNS} FROM authenticators WHERE user = ? ORDER BY label",
        (name,),
    )
    sound = (
        status in STATUSES
        and _are_integers(failures, throttled_until, created_at, updated_at)
        and failures >= 0
        and (recovery_salt is None or isinstance(recovery_salt, bytes))
        and all(isinstance(digest, bytes) for (digest,) in digests)
        and all(_is_sound(Authenticator(*row)) for row in authenticators)
    )
    if not sound:
        raise store.database.corrupt("holds a row that pam_totp did not write")
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


def _is_sound(row: Authenticator) -> bool:
    """Tell whether a damaged page could not have made this row: its types, and ranges."""
    return (
        isinstance(row.id, str)
        and isinstance(row.label, str)
        and isinstance(row.secret, bytes)
        and row.algorithm in ALGORITHMS
        and row.digits in DIGITS
        and _are_integers(row.period, row.drift, row.last_accepted_step, row.created_at)
        and row.period > 0
        and (row.last_used_at is None or isinstance(row.last_used_at, int))
    )


def _are_integers(*values: object) -> bool:
    return all(isinstance(value, int) for value in values)


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
