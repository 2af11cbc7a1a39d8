"""Which columns a record has, and how records are read: with the secrets that a key opens."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ...core import users, verifier
from ...core.places import KnownPlace
from ...core.remembering import Remembered
from ...core.users import Authenticator, UserRecord
from ...system.errors import SealingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .admin_connection import AdminConnection
    from .connection import Value

DOES_NOT_OPEN = "a secret was altered, moved, or sealed by another key: it does not open"

# Columns are named like the fields; created_at is written once.
# There are no own changes here: a host may make none in a fleet.
_ELSEWHERE = ("name", "recovery_digests", "authenticators", "own_changes")
USER_COLUMNS = tuple(field for field in users.UserRecord._fields if field not in _ELSEWHERE)
AUTHENTICATOR_COLUMNS = users.Authenticator._fields
# Arrays of types of their own, which go as JSON.
_COMPOSITE: dict[str, tuple[str, type[Any]]] = {
    "known_places": ("totp.place", KnownPlace),
    "remembered": ("totp.remembered", Remembered),
}
POLICY_COLUMNS = ("code_window", *verifier.Policy._fields[1:])
BINDING = (
    "id",
    "algorithm",
    "digits",
    "period",
    "kind",
)  # with the user: what a secret is bound to

_OPENED = (
    "totp.open_secret($1, a.sealed_secret, a.user_name, a.id, a.algorithm, a.digits, a.period, "
    "a.kind)"
)
_NO_SECRET = "NULL"
_AUTHENTICATOR_AT = 2 + len(USER_COLUMNS)


def read(
    connection: AdminConnection,
    names: Sequence[str] | None = None,
    key: bytes | None = None,
) -> Iterator[UserRecord]:
    """Yield the records by name, or only those of ``names``; with secrets that ``key`` opens.

    One statement, and so one moment. Raises SealingError where a secret does not open.
    """
    values: list[Value] = [value for value in (key, names) if value is not None]
    secret = _NO_SECRET if key is None else _OPENED
    columns = ", ".join(
        secret if column == "secret" else f"a.{column}" for column in AUTHENTICATOR_COLUMNS
    )
    rows = connection.execute(
        f"SELECT u.name, {', '.join(map(_read_column, USER_COLUMNS))}, "
        "(SELECT string_agg(encode(r.digest, 'hex'), ' ')"
        " FROM totp.recovery_codes r WHERE r.user_name = u.name), "
        f"{columns} "
        "FROM totp.users u LEFT JOIN totp.authenticators a ON a.user_name = u.name "
        + ("" if names is None else f"WHERE u.name = ANY (${len(values)}) ")
        + "ORDER BY u.name, a.label",
        values,
    )
    for _, of_one in groupby(rows, key=lambda row: row[0]):
        yield _record(list(of_one), unseal=key is not None)


def is_storable(text: str) -> bool:
    """Return whether a text can stand in a row: UTF-8 without a zero byte."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _record(rows: list[tuple[Any, ...]], *, unseal: bool) -> UserRecord:
    name, *columns = rows[0][: _AUTHENTICATOR_AT - 1]
    found = [Authenticator(*row[_AUTHENTICATOR_AT:]) for row in rows]
    authenticators = tuple(a for a in found if a.id is not None)  # none: of a left join
    if unseal and any(a.secret is None for a in authenticators):
        raise SealingError(name, DOES_NOT_OPEN, f"run: totpctl reset {name}")
    digests = frozenset(map(bytes.fromhex, (rows[0][_AUTHENTICATOR_AT - 1] or "").split()))
    record = UserRecord(name, recovery_digests=digests, authenticators=authenticators)
    fields = zip(USER_COLUMNS, columns, strict=True)
    return record._replace(**{column: _as_field(column, value) for column, value in fields})


def column_value(record: UserRecord, column: str) -> Any:
    """Return what a statement takes for a column of ``record``: see column_mark()."""
    value = getattr(record, column)
    return json.dumps([one._asdict() for one in value]) if column in _COMPOSITE else value


def column_mark(column: str, number: int) -> str:
    """Return what stands in a statement for the parameter of that number."""
    if column not in _COMPOSITE:
        return f"${number}"
    kind, _ = _COMPOSITE[column]
    recordset = f"jsonb_populate_recordset(NULL::{kind}, ${number}::jsonb)"
    return f"(SELECT coalesce(array_agg(x), '{{}}') FROM {recordset} AS x)"


def _read_column(column: str) -> str:
    return f"to_jsonb(u.{column})" if column in _COMPOSITE else f"u.{column}"


def _as_field(column: str, value: Any) -> Any:
    if column not in _COMPOSITE:
        return value
    _, field = _COMPOSITE[column]
    return tuple(field(**one) for one in value)
