"""The critical section of several users, in as many statements as for one.

Rows are locked in the order of their names: two administrators who enroll the same people wait for
each other, and neither for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ...core.users import (
    MUST_ENROLL,
    UserRecord,
    authenticator_changes,
    refuse_another_secret,
)
from .. import joint
from . import many_rows
from .rows import USER_COLUMNS, is_storable, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...core.users import Authenticator
    from .admin_connection import AdminConnection

_AT_ONCE = 500  # users that are written by one statement

# A user who is not known gets a row that nobody else sees before it is committed.
_ADD = f"""
INSERT INTO totp.users (name, status) SELECT name, '{MUST_ENROLL}' FROM unnest($1::text[]) AS name
ON CONFLICT (name) DO NOTHING RETURNING name
"""
_LOCK = "SELECT name FROM totp.users WHERE name = ANY ($1) ORDER BY name FOR NO KEY UPDATE"
_REMOVE_OTHER_CODES = f"""
DELETE FROM totp.recovery_codes r USING jsonb_to_recordset($1::jsonb) AS given({many_rows.USER})
WHERE r.user_name = given.name AND NOT encode(r.digest, 'hex') = ANY (given.digests)
"""

# The row of the new name is there, as that of a user who is not known. What is no part of a record
# goes along: the groups of hosts. What was answered to a host last does not.
_ROW = ", ".join((*USER_COLUMNS, "groups"))
_RENAME = (
    f"UPDATE totp.users n SET ({_ROW}) = (SELECT {_ROW} FROM totp.users WHERE name = $1) "
    "WHERE n.name = $2",
    "UPDATE totp.recovery_codes SET user_name = $2 WHERE user_name = $1",
)
_RESEAL = """
UPDATE totp.authenticators a SET user_name = $2::text, sealed_secret = totp.seal_secret($3,
    totp.open_secret($3, a.sealed_secret, $1::text, a.id, a.algorithm, a.digits, a.period, a.kind),
    $2::text, a.id, a.algorithm, a.digits, a.period, a.kind)
WHERE a.user_name = $1::text
"""


class JointUserTransaction:
    """See JointTransaction of store/__init__.py. ``key``: the administrators'."""

    def __init__(
        self, connection: AdminConnection, names: Sequence[str], key: bytes, *, unseal: bool
    ) -> None:
        self.records: dict[str, UserRecord] = {}
        self._connection = connection
        self._names = sorted({name for name in names if is_storable(name)}, key=str.encode)
        self._key = key
        self._unseal = unseal
        self._before: dict[str, UserRecord] = {}
        self._saved: dict[str, UserRecord] = {}

    def __enter__(self) -> Self:
        self._connection.begin()
        try:
            added = {name for (name,) in self._connection.execute(_ADD, (self._names,))}
            self._connection.execute(_LOCK, (self._names,))
            # In a statement of its own: it sees what was committed while a row was waited for.
            known = [name for name in self._names if name not in added]
            key = self._key if self._unseal else None
            self._before = {record.name: record for record in read(self._connection, known, key)}
            self.records = dict(self._before)
        except BaseException:
            self._connection.roll_back()
            raise
        return self

    def save(self, record: UserRecord) -> None:
        joint.check(record, self._names, self._before, may_change=self._unseal)
        for known, after in self._changed(record):
            refuse_another_secret(known, after)
        if min(record.failures, record.untold) < 0:
            raise ValueError("nobody has less than no failures")
        self._saved[record.name] = self.records[record.name] = record

    def rename(self, old: str, new: str) -> None:
        joint.check_rename(old, new, self._names, self.records, may=self._unseal)
        if old in self._saved or old not in self._before:
            raise ValueError("a user is renamed before anything else is saved")
        for statement in _RENAME:
            self._connection.execute(statement, (old, new))
        self._connection.execute(_RESEAL, (old, new, self._key))
        self._connection.execute("DELETE FROM totp.users WHERE name = $1", (old,))
        del self.records[old]
        self._before[new] = self._before.pop(old).renamed(new)
        self.records[new] = self._saved[new] = self._before[new]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if error is not None or not self._saved:
            self._connection.roll_back()
            return
        try:
            self._remove_what_was_added()
            saved = list(self._saved.values())
            for at in range(0, len(saved), _AT_ONCE):
                self._write(saved[at : at + _AT_ONCE])
        except BaseException:
            self._connection.roll_back()
            raise
        self._connection.commit()

    def _remove_what_was_added(self) -> None:
        """Remove the rows of users whom nobody wanted."""
        added = [name for name in self._names if name not in self.records]
        if added:
            self._connection.execute("DELETE FROM totp.users WHERE name = ANY ($1)", (added,))

    def _write(self, saved: Sequence[UserRecord]) -> None:
        users = many_rows.users_as_json(saved)
        new = many_rows.authenticators_as_json(map(self._with_what_is_new, saved))
        self._connection.execute(many_rows.UPDATE_USERS, (users,))
        changed = [after for record in saved for _, after in self._changed(record)]
        if changed:
            states = many_rows.states_as_json(changed)
            self._connection.execute(many_rows.UPDATE_AUTHENTICATORS, (states,))
        self._connection.execute(many_rows.INSERT_AUTHENTICATORS, (new, self._key))
        self._connection.execute(_REMOVE_OTHER_CODES, (users,))
        self._connection.execute(f"{many_rows.INSERT_CODES} ON CONFLICT DO NOTHING", (users,))

    def _changed(self, record: UserRecord) -> list[tuple[Authenticator, Authenticator]]:
        """Return each authenticator that was there and has changed, as it was and as it is."""
        changes = authenticator_changes(self._before.get(record.name), record)
        return [(known, after) for known, after in changes if known and after]

    def _with_what_is_new(self, record: UserRecord) -> UserRecord:
        before = self._before.get(record.name)
        there = {authenticator.id for authenticator in before.authenticators} if before else set()
        new = tuple(a for a in record.authenticators if a.id not in there)
        return record._replace(authenticators=new)
