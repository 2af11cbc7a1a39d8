"""The critical sections of the SQLite store: records in, what changed out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ...core.users import UserRecord, write_authenticators
from . import reserve
from .reading import read
from .rows import AUTHENTICATOR_COLUMNS, USER_COLUMNS, binding, user_row

if TYPE_CHECKING:
    from ...core.admission import GroupRule
    from ...core.users import Authenticator
    from .batch import Batch
    from .database import Database
    from .reading import Found
    from .sealed import SealedDatabase


class _CriticalSection:
    """BEGIN on entry, COMMIT or ROLLBACK on exit. BEGIN IMMEDIATE serialises writers.

    Inside a batch, it is a part of that one's transaction.
    """

    record: UserRecord | None
    found: Found

    def __init__(self, store: SealedDatabase, name: str, mode: str) -> None:
        self._database = store.database
        self._store = store
        self._name = name
        self._mode = mode
        self._batch: Batch | None = None
        self._has_enrolled = False

    def __enter__(self) -> Self:
        self._batch = self._store.joined if self._store.joined.is_open else None
        if self._batch is None:
            self._database.begin(self._mode)
        else:
            self._batch.join()
        try:
            self.found, self.record = self._read()
        except BaseException as error:
            self._undo(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if error is not None:
            self._undo(error)
        elif self._batch is not None:
            self._batch.leave(has_enrolled=self._has_enrolled)
        else:
            self._database.commit()
            if self._has_enrolled:
                reserve.keep(self._database)

    def _undo(self, error: BaseException) -> None:
        if self._batch is None:
            self._database.roll_back()
        else:
            self._batch.fail(error)

    def _read(self) -> tuple[Found, UserRecord | None]:
        raise NotImplementedError

    def _touch_key_page(self) -> None:
        if self._batch is None:
            self._database.touch_key_page()
        else:
            self._batch.touch_key_page()


class Transaction(_CriticalSection):
    """See Transaction of store/__init__.py."""

    def __init__(self, store: SealedDatabase, name: str, mode: str, *, unseal: bool) -> None:
        super().__init__(store, name, mode)
        self._unseal = unseal
        self.record = None

    def _read(self) -> tuple[Found, UserRecord | None]:
        found = read(self._store, self._name, unseal=self._unseal)
        return found, found.record

    def save(self, record: UserRecord | None) -> None:
        self._touch_key_page()
        if record is None:
            self._database.execute("DELETE FROM users WHERE name = ?", (self._name,))
        elif record.name != self._name:
            raise ValueError("a transaction saves the user it was opened for")
        else:
            self._save_user(record)
            write_authenticators(self.record, record, self)
            self._save_recovery_codes(record)
        self.record = record

    def _save_user(self, record: UserRecord) -> None:
        before = self.record
        if before is not None and user_row(before) == user_row(record):
            return
        self._database.execute(
            f"INSERT INTO users (name, {USER_COLUMNS}) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET status = excluded.status, "
            "failures = excluded.failures, throttled_until = excluded.throttled_until, "
            "recovery_salt = excluded.recovery_salt, updated_at = excluded.updated_at, "
            "exempt_until = excluded.exempt_until, uid = excluded.uid, "
            "bound_at = excluded.bound_at, untold = excluded.untold, "
            "guesses_until = excluded.guesses_until, known_places = excluded.known_places, "
            "remembered = excluded.remembered, own_changes = excluded.own_changes",
            (record.name, *user_row(record)),
        )

    def delete_authenticator(self, known: Authenticator) -> None:
        self._database.execute("DELETE FROM authenticators WHERE id = ?", (known.id,))

    def insert_authenticator(self, authenticator: Authenticator) -> None:
        if authenticator.secret is None:
            raise ValueError("an authenticator cannot be saved without its secret")
        bound_to = binding(self._name, authenticator)
        sealed = self._store.seal(authenticator.secret, *bound_to)
        self._has_enrolled = True
        self._database.execute(
            f"INSERT INTO authenticators (user, {AUTHENTICATOR_COLUMNS}) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._name, *authenticator._replace(secret=sealed)),
        )

    def update_authenticator(self, known: Authenticator, changed: Authenticator) -> None:
        self._database.execute(
            "UPDATE authenticators SET drift = ?, last_accepted_step = ?, last_used_at = ?, "
            "clock_offset = ?, clock_sightings = ?, learned = ? WHERE id = ?",
            (
                changed.drift,
                changed.last_accepted_step,
                changed.last_used_at,
                changed.clock_offset,
                changed.clock_sightings,
                changed.learned,
                changed.id,
            ),
        )
        if changed.label != known.label:  # in an index, which a login need not write
            self._database.execute(
                "UPDATE authenticators SET label = ? WHERE id = ?", (changed.label, changed.id)
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


class DecoyTransaction(_CriticalSection):
    """The same reads, write and fsync for a user without a record.

    Failures are counted in one of reading.DECOY_BUCKETS rows, chosen by the name and a key, so
    that an unenrolled user is throttled as an enrolled one is, and the table cannot grow.
    """

    record: UserRecord

    def __init__(self, store: SealedDatabase, name: str) -> None:
        super().__init__(store, name, "IMMEDIATE")
        self.record = UserRecord(name)

    def _read(self) -> tuple[Found, UserRecord]:
        found = read(self._store, self._name, unseal=False)
        self._store.open_decoy_key()  # as a secret of a record is
        return found, found.decoy

    def save(self, record: UserRecord | None) -> None:
        if record is None:
            raise ValueError("a decoy cannot be removed")
        self._touch_key_page()
        self._database.execute(
            "INSERT OR REPLACE INTO decoys (bucket, failures, throttled_until, guesses_until) "
            "VALUES (?, ?, ?, ?)",
            (self.found.bucket, record.failures, record.throttled_until, record.guesses_until),
        )


def change_group_rules(database: Database, name: str, rule: GroupRule | None) -> None:
    """Make ``rule`` the one of the group ``name``; None: take its rule away. Durable on return."""
    database.begin("IMMEDIATE")
    try:
        database.touch_key_page()
        if rule is None:
            database.execute("DELETE FROM group_rules WHERE name = ?", (name,))
        else:
            database.execute(
                "INSERT OR REPLACE INTO group_rules (name, rule, until) VALUES (?, ?, ?)",
                (name, rule.rule, rule.until),
            )
    except BaseException:
        database.roll_back()
        raise
    database.commit()
