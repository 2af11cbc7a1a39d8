"""The rows of many records, written by one statement a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ...core.users import CHANGING
from .rows import USER_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...core.users import Authenticator, UserRecord

USER = """
    name text, status text, exempt_until bigint, failures int, untold int, throttled_until bigint,
    guesses_until bigint, recovery_salt text, uid bigint, bound_at bigint, created_at bigint,
    updated_at bigint, digests text[], known_places totp.place[],
    remembered totp.remembered[]
"""
AUTHENTICATOR = """
    user_name text, id text, label text, secret text, algorithm text, digits int, period int,
    drift int, last_accepted_step bigint, created_at bigint, last_used_at bigint, clock_offset int,
    clock_sightings int, kind text, serial text, learned int
"""
_SALT = "recovery_salt"  # bytes, which JSON has in hexadecimal
_COLUMNS = ", ".join(USER_COLUMNS)
_GIVEN = ", ".join(
    f"decode(given.{column}, 'hex')" if column == _SALT else f"given.{column}"
    for column in USER_COLUMNS
)
_STATE = ", ".join(CHANGING)
_GIVEN_STATE = ", ".join(f"given.{column}" for column in CHANGING)
# Each takes users_as_json() as its parameter; those of authenticators take theirs and the key, or
# states_as_json().
INSERT_USERS = f"""
INSERT INTO totp.users (name, {_COLUMNS})
SELECT given.name, {_GIVEN} FROM jsonb_to_recordset($1::jsonb) AS given({USER})
"""
UPDATE_USERS = f"""
UPDATE totp.users u SET ({_COLUMNS}) = ({_GIVEN})
FROM jsonb_to_recordset($1::jsonb) AS given({USER}) WHERE u.name = given.name
"""
INSERT_AUTHENTICATORS = f"""
INSERT INTO totp.authenticators (user_name, id, label, algorithm, digits, period, drift,
    last_accepted_step, sealed_secret, created_at, last_used_at, clock_offset, clock_sightings,
    kind, serial, learned)
SELECT user_name, id, label, algorithm, digits, period, drift, last_accepted_step,
    totp.seal_secret($2, decode(secret, 'hex'), user_name, id, algorithm, digits, period, kind),
    created_at, last_used_at, clock_offset, clock_sightings, kind, serial, learned
FROM jsonb_to_recordset($1::jsonb) AS given({AUTHENTICATOR})
"""
UPDATE_AUTHENTICATORS = f"""
UPDATE totp.authenticators a SET ({_STATE}) = ({_GIVEN_STATE})
FROM jsonb_to_recordset($1::jsonb) AS given({AUTHENTICATOR}) WHERE a.id = given.id
"""
INSERT_CODES = f"""
INSERT INTO totp.recovery_codes (user_name, digest)
SELECT name, decode(digest, 'hex')
FROM jsonb_to_recordset($1::jsonb) AS given({USER}), unnest(digests) AS digest
"""


def users_as_json(records: Iterable[UserRecord]) -> str:
    return json.dumps([_user(record) for record in records])


def authenticators_as_json(records: Iterable[UserRecord]) -> str:
    """Return those of ``records``, which have secrets."""
    rows = []
    for record in records:
        for authenticator in record.authenticators:
            assert authenticator.secret is not None
            row = authenticator._asdict() | {"secret": authenticator.secret.hex()}
            rows.append({"user_name": record.name, **row})
    return json.dumps(rows)


def states_as_json(authenticators: Iterable[Authenticator]) -> str:
    """Return what may change of authenticators, without their secrets."""
    columns = ("id", *CHANGING)
    return json.dumps([{c: getattr(each, c) for c in columns} for each in authenticators])


def _user(record: UserRecord) -> dict[str, object]:
    columns = {column: getattr(record, column) for column in USER_COLUMNS}
    return {
        "name": record.name,
        **columns,
        _SALT: record.recovery_salt.hex() if record.recovery_salt else None,
        "digests": sorted(digest.hex() for digest in record.recovery_digests),
        "known_places": [place._asdict() for place in record.known_places],
        "remembered": [one._asdict() for one in record.remembered],
    }
