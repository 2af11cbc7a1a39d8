"""The rows of many records, written by one statement a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...core.users import UserRecord

USER = """
    name text, status text, exempt_until bigint, failures int, untold int, throttled_until bigint,
    guesses_until bigint, recovery_salt text, uid bigint, bound_at bigint, created_at bigint,
    updated_at bigint, digests text[], known_places totp.place[]
"""
AUTHENTICATOR = """
    user_name text, id text, label text, secret text, algorithm text, digits int, period int,
    drift int, last_accepted_step bigint, created_at bigint, last_used_at bigint, clock_offset int,
    clock_sightings int, kind text, serial text, learned int
"""
# Each takes users_as_json() as its parameter; the one of authenticators theirs, and the key.
INSERT_USERS = f"""
INSERT INTO totp.users (name, status, exempt_until, failures, untold, throttled_until,
    guesses_until, recovery_salt, uid, bound_at, created_at, updated_at, known_places)
SELECT name, status, exempt_until, failures, untold, throttled_until, guesses_until,
    decode(recovery_salt, 'hex'), uid, bound_at, created_at, updated_at, known_places
FROM jsonb_to_recordset($1::jsonb) AS given({USER})
"""
UPDATE_USERS = f"""
UPDATE totp.users u SET (status, exempt_until, failures, untold, throttled_until, guesses_until,
    recovery_salt, uid, bound_at, created_at, updated_at, known_places) =
    (given.status, given.exempt_until, given.failures, given.untold, given.throttled_until,
    given.guesses_until, decode(given.recovery_salt, 'hex'), given.uid, given.bound_at,
    given.created_at, given.updated_at, given.known_places)
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


def _user(record: UserRecord) -> dict[str, object]:
    return {
        "name": record.name,
        "status": record.status,
        "exempt_until": record.exempt_until,
        "failures": record.failures,
        "untold": record.untold,
        "throttled_until": record.throttled_until,
        "guesses_until": record.guesses_until,
        "recovery_salt": record.recovery_salt.hex() if record.recovery_salt else None,
        "uid": record.uid,
        "bound_at": record.bound_at,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "digests": sorted(digest.hex() for digest in record.recovery_digests),
        "known_places": [place._asdict() for place in record.known_places],
    }
