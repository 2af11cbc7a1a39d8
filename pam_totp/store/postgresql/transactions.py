"""The critical section of one user in the fleet's database; only what has changed is written.

The row of the user is locked, as every login locks it. A user who is not known gets a row that
nobody else sees before it is committed: who would add the same one waits for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ...core.users import CHANGING, MUST_ENROLL, UserRecord, write_authenticators
from .rows import (
    AUTHENTICATOR_COLUMNS,
    BINDING,
    USER_COLUMNS,
    column_mark,
    column_value,
    is_storable,
    read,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.users import Authenticator
    from .admin_connection import AdminConnection


class UserTransaction:
    """See Transaction of store/__init__.py. ``key``: the administrators'; None: no secrets."""

    record: UserRecord | None = None

    def __init__(
        self, connection: AdminConnection, name: str, key: bytes | None, *, unseal: bool
    ) -> None:
        self._connection = connection
        self._name = name
        self._key = key
        self._unseal = unseal
        self._has_saved = False

    def __enter__(self) -> Self:
        self._connection.begin()
        try:
            self.record = self._locked() if is_storable(self._name) else None
        except BaseException:
            self._connection.roll_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if error is None and self._has_saved:
            self._connection.commit()
        else:  # the row of a user who was not known
            self._connection.roll_back()

    def save(self, record: UserRecord | None) -> None:
        if record is not None and record.name != self._name:
            raise ValueError("a transaction saves the user it was opened for")
        if record is not None and min(record.failures, record.untold) < 0:
            raise ValueError("nobody has less than no failures")
        if record is None:
            self._connection.execute("DELETE FROM totp.users WHERE name = $1", (self._name,))
        else:
            self._save_user(record)
            write_authenticators(self.record, record, self)
            self._save_recovery_codes(record)
        self.record = record
        self._has_saved = True

    def _locked(self) -> UserRecord | None:
        """Return the record, whose row nobody changes until the end; None: nobody adds one."""
        while not self._connection.execute(
            "SELECT name FROM totp.users WHERE name = $1 FOR NO KEY UPDATE", (self._name,)
        ):
            if not self._may_add():
                return None
            if self._connection.execute(
                "INSERT INTO totp.users (name, status) VALUES ($1, $2) "
                "ON CONFLICT (name) DO NOTHING RETURNING name",
                (self._name, MUST_ENROLL),
            ):
                return None
        # In a statement of its own: it sees what was committed while the row was waited for.
        key = self._key if self._unseal else None
        return next(read(self._connection, [self._name], key), None)

    def _may_add(self) -> bool:
        """Return whether this login adds users; the help desk's does not."""
        ((may_add,),) = self._connection.execute(
            "SELECT has_table_privilege('totp.users', 'INSERT')"
        )
        return bool(may_add)

    def _save_user(self, record: UserRecord) -> None:
        before = self.record
        if before is None:
            columns = ("name", *USER_COLUMNS)
            self._connection.execute(
                f"INSERT INTO totp.users ({', '.join(columns)}) VALUES ({_marks(columns)}) "
                "ON CONFLICT (name) DO UPDATE SET "
                + ", ".join(f"{column} = excluded.{column}" for column in USER_COLUMNS),
                [column_value(record, column) for column in columns],
            )
            return
        changed = [
            column
            for column in USER_COLUMNS
            if column != "created_at" and getattr(before, column) != getattr(record, column)
        ]
        if changed:
            self._connection.execute(
                f"UPDATE totp.users SET {_assignments(changed)} WHERE name = $1",
                (self._name, *(column_value(record, column) for column in changed)),
            )

    def delete_authenticator(self, known: Authenticator) -> None:
        self._connection.execute("DELETE FROM totp.authenticators WHERE id = $1", (known.id,))

    def insert_authenticator(self, new: Authenticator) -> None:
        if new.secret is None or self._key is None:
            raise ValueError("an authenticator cannot be saved without its secret and a key")
        columns = [column for column in AUTHENTICATOR_COLUMNS if column != "secret"]
        self._connection.execute(
            f"INSERT INTO totp.authenticators (user_name, sealed_secret, {', '.join(columns)}) "
            "VALUES ($1, totp.seal_secret($2, $3, $4, $5, $6, $7, $8, $9), "
            f"{_marks(columns, first=10)})",
            (
                *(self._name, self._key, new.secret, self._name),
                *(getattr(new, field) for field in BINDING),
                *(getattr(new, column) for column in columns),
            ),
        )

    def update_authenticator(self, known: Authenticator, after: Authenticator) -> None:
        changed = [c for c in CHANGING if getattr(known, c) != getattr(after, c)]
        self._connection.execute(
            f"UPDATE totp.authenticators SET {_assignments(changed)} WHERE id = $1",
            (after.id, *(getattr(after, column) for column in changed)),
        )

    def _save_recovery_codes(self, record: UserRecord) -> None:
        before = self.record.recovery_digests if self.record else frozenset()
        used, new = before - record.recovery_digests, record.recovery_digests - before
        if used:
            self._connection.execute(
                "DELETE FROM totp.recovery_codes WHERE user_name = $1 AND digest = ANY ($2)",
                (self._name, list(used)),
            )
        if new:
            self._connection.execute(
                "INSERT INTO totp.recovery_codes (user_name, digest) "
                "SELECT $1, unnest($2::bytea[])",
                (self._name, list(new)),
            )


def _marks(columns: Sequence[str], first: int = 1) -> str:
    return ", ".join(column_mark(column, n) for n, column in enumerate(columns, first))


def _assignments(columns: Sequence[str]) -> str:
    """After the parameter that says of which row."""
    return ", ".join(f"{column} = {column_mark(column, n)}" for n, column in enumerate(columns, 2))
