"""What the store holds of a name, by one statement: record and decoy, schema and key.

One statement is a snapshot, and costs a fifth of one each. It is the same one, with the same work
around it, for everybody: how long it takes must not tell who is enrolled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.otp import TOTP
from ...core.recovery import CODES_IN_A_SET, DIGEST_BYTES
from ...core.users import ACTIVE, SUSPENDED, Authenticator, UserRecord
from .rows import (
    AUTHENTICATOR_COLUMNS,
    USER_COLUMNS,
    are_integers,
    binding,
    is_sound,
    is_sound_user,
    places_of,
    remembered_of,
)
from .schema import MIGRATIONS

if TYPE_CHECKING:
    from .sealed import SealedDatabase

DECOY_BUCKETS = 65536

_NO_BLOB = "?"  # in place of a digest that is none
# Digests come in one field, so that an authenticator is one row. A row without its table's key
# is none: of a left join without a match.
_READ = f"""
SELECT (SELECT value FROM meta WHERE key = 'sealing_key_id'),
       (SELECT value FROM meta WHERE key = 'decoy_key'),
       (SELECT user_version FROM pragma_user_version),
       EXISTS (SELECT 1 FROM group_rules),
       (SELECT group_concat(CASE typeof(digest) WHEN 'blob' THEN hex(digest) ELSE '{_NO_BLOB}' END)
          FROM recovery_codes WHERE user = ?1),
       d.bucket, d.failures, d.throttled_until, d.guesses_until,
       u.name, {", ".join(f"u.{column}" for column in USER_COLUMNS.split(", "))},
       a.user, {", ".join(f"a.{column}" for column in AUTHENTICATOR_COLUMNS.split(", "))}
  FROM (SELECT 1)
  LEFT JOIN decoys AS d ON d.bucket = ?2
  LEFT JOIN users AS u ON u.name = ?1
  LEFT JOIN authenticators AS a ON a.user = ?1
"""
_DECOY_AT = 5
_USER_AT = _DECOY_AT + 4
_AUTHENTICATOR_AT = _USER_AT + 1 + len(USER_COLUMNS.split(", "))

_A_PLACE = "0000000000 000 0000000000 0000000000 by nobody"
# What is gone through for a name without a row, and thrown away.
_NOBODY: list[tuple[Any, ...]] = [
    (
        *(None,) * _USER_AT,
        *("", ACTIVE, 0, 0, bytes(16), 0, 0, 0, 0, 0, 0, 0, _A_PLACE, "", ""),
        *("", "", "", bytes(80), "SHA1", 6, 30, 0, 0, 0, 0, 0, 0, TOTP, "", 0),
    )
]
_NO_CODES = ",".join(["00" * DIGEST_BYTES] * CODES_IN_A_SET)


class Found(NamedTuple):
    """What was read. ``bucket``: where the failures of ``decoy`` are counted."""

    record: UserRecord | None
    decoy: UserRecord
    bucket: int
    has_group_rules: bool


def read(store: SealedDatabase, name: str, *, unseal: bool) -> Found:
    """Read one user, with secrets where ``unseal``, and the decoy of that name.

    Raises StoreCorrupt for what no save wrote. No row holds a name that is not UTF-8; it has a
    decoy as any other.
    """
    text = storable(name)
    is_current = False
    while not is_current:
        bucket = _bucket(store, name)
        rows = store.database.execute(_READ, (text, bucket))
        key_id, decoy_key, version, has_group_rules, digests = rows[0][:_DECOY_AT]
        if version == len(MIGRATIONS):
            is_current = store.is_sealed_by(key_id, decoy_key)
        else:
            store.database.follow_schema()
    is_known = text == name and rows[0][_USER_AT] is not None
    if is_known:
        record = _record(store, name, rows, digests, unseal=unseal)
    else:
        record = _record(store, text, _NOBODY, _NO_CODES, unseal=False)
    stand_in = _decoy(store, name, rows[0][_DECOY_AT:_USER_AT])
    return Found(record if is_known else None, stand_in, bucket, bool(has_group_rules))


def storable(name: str) -> str:
    """Return ``name`` as text that a row can hold: another one where it is not UTF-8."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _bucket(store: SealedDatabase, name: str) -> int:
    return int.from_bytes(store.decoy(b"bucket", name)[:4], "big") % DECOY_BUCKETS


def _record(
    store: SealedDatabase,
    name: str,
    rows: list[tuple[Any, ...]],
    digests: str | None,
    *,
    unseal: bool,
) -> UserRecord:
    """``digests``: in hexadecimal digits, with commas between; None: no row."""
    columns = rows[0][_USER_AT + 1 : _AUTHENTICATOR_AT]
    try:
        codes = [] if digests is None else [bytes.fromhex(code) for code in digests.split(",")]
        if not is_sound_user(columns):
            raise ValueError("a row of users")
        known_places, remembered = places_of(columns[-3]), remembered_of(columns[-2])
    except ValueError:
        raise store.database.not_ours() from None
    found = []
    for row in rows:
        if row[_AUTHENTICATOR_AT] is not None:
            found.append(Authenticator(*row[_AUTHENTICATOR_AT + 1 :]))
    if not all(map(is_sound, found)):
        raise store.database.not_ours()
    if len(found) > 1:
        found.sort(key=_label)
    status, failures, throttled_until, salt, *later = columns[:-3]
    record = UserRecord(
        name,
        status,
        failures,
        throttled_until,
        salt,
        frozenset(codes),
        tuple(_with_secret(store, name, row, unseal=unseal) for row in found),
        *later,
    )
    return record._replace(
        known_places=known_places, remembered=remembered, own_changes=columns[-1]
    )


def _label(authenticator: Authenticator) -> str:
    return authenticator.label


def _with_secret(
    store: SealedDatabase, user: str, row: Authenticator, *, unseal: bool
) -> Authenticator:
    if not unseal or row.secret is None:
        return row._replace(secret=None)
    return row._replace(secret=store.unseal(row.secret, *binding(user, row)))


def _decoy(store: SealedDatabase, name: str, row: tuple[Any, ...]) -> UserRecord:
    """Return what stands in for a user without a record."""
    bucket, *counts = row
    failures, throttled_until, guesses_until = (0, 0, 0) if bucket is None else counts
    if not are_integers(failures, throttled_until, guesses_until):
        raise store.database.not_ours()
    return UserRecord(
        name,
        status=SUSPENDED,  # whatever matches, it is rejected
        failures=failures,
        throttled_until=throttled_until,
        guesses_until=guesses_until,
        recovery_salt=store.decoy(b"salt", name)[:16],
        recovery_digests=frozenset((store.decoy(b"digest", name),)),
        authenticators=(Authenticator(id="", label="", secret=store.decoy(b"secret", name)),),
    )
