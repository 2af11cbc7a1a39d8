"""Records of another store become the fleet's: all of them, or none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ...core.admission import GroupRule
    from ...core.users import UserRecord
    from .admin_connection import AdminConnection

_USER = """
    name text, status text, exempt_until bigint, failures int, untold int, throttled_until bigint,
    guesses_until bigint, recovery_salt text, created_at bigint, updated_at bigint, digests text[]
"""
_AUTHENTICATOR = """
    user_name text, id text, label text, secret text, algorithm text, digits int, period int,
    drift int, last_accepted_step bigint, created_at bigint, last_used_at bigint, clock_offset int,
    clock_sightings int, kind text, serial text, learned int
"""
_INSERT_USERS = f"""
INSERT INTO totp.users (name, status, exempt_until, failures, untold, throttled_until,
    guesses_until, recovery_salt, created_at, updated_at)
SELECT name, status, exempt_until, failures, untold, throttled_until, guesses_until,
    decode(recovery_salt, 'hex'), created_at, updated_at
FROM jsonb_to_recordset($1::jsonb) AS given({_USER})
"""
_INSERT_AUTHENTICATORS = f"""
INSERT INTO totp.authenticators (user_name, id, label, algorithm, digits, period, drift,
    last_accepted_step, sealed_secret, created_at, last_used_at, clock_offset, clock_sightings,
    kind, serial, learned)
SELECT user_name, id, label, algorithm, digits, period, drift, last_accepted_step,
    totp.seal_secret($2, decode(secret, 'hex'), user_name, id, algorithm, digits, period, kind),
    created_at, last_used_at, clock_offset, clock_sightings, kind, serial, learned
FROM jsonb_to_recordset($1::jsonb) AS given({_AUTHENTICATOR})
"""
_INSERT_CODES = f"""
INSERT INTO totp.recovery_codes (user_name, digest)
SELECT name, decode(digest, 'hex')
FROM jsonb_to_recordset($1::jsonb) AS given({_USER}), unnest(digests) AS digest
"""
# What was used in the other store since an earlier import is used here as well.
_MERGE_STEPS = f"""
UPDATE totp.authenticators a SET
    last_accepted_step = greatest(a.last_accepted_step, given.last_accepted_step),
    last_used_at = greatest(a.last_used_at, given.last_used_at)
FROM jsonb_to_recordset($1::jsonb) AS given({_AUTHENTICATOR})
WHERE a.id = given.id AND a.user_name = given.user_name
    AND a.last_accepted_step < given.last_accepted_step
"""
_MERGE_CODES = f"""
DELETE FROM totp.recovery_codes r
USING totp.users u, jsonb_to_recordset($1::jsonb) AS given({_USER})
WHERE r.user_name = u.name AND u.name = given.name
    AND u.recovery_salt = decode(given.recovery_salt, 'hex')
    AND NOT encode(r.digest, 'hex') = ANY (given.digests)
"""


class Sorted(NamedTuple):
    """Records by what an import does to them; the last two by name, with what is in the way."""

    new: tuple[UserRecord, ...]
    there: tuple[UserRecord, ...]  # taken along before
    conflicts: tuple[str, ...]
    rules: tuple[GroupRule, ...]  # that are new
    conflicting_rules: tuple[str, ...]


def sort(
    connection: AdminConnection, records: Iterable[UserRecord], rules: Iterable[GroupRule]
) -> Sorted:
    """Compare ``records`` and ``rules`` with what the fleet has."""
    known: dict[str, tuple[str, frozenset[str]]] = {}
    for name, status, ids in connection.execute(
        "SELECT u.name, u.status, to_jsonb(array_remove(array_agg(a.id), NULL)) FROM totp.users u "
        "LEFT JOIN totp.authenticators a ON a.user_name = u.name GROUP BY u.name, u.status"
    ):
        known[name] = (status, frozenset(ids))
    new: list[UserRecord] = []
    there: list[UserRecord] = []
    conflicts: list[UserRecord] = []
    for record in records:
        if record.name not in known:
            new.append(record)
            continue
        status, ids = known[record.name]
        own = {authenticator.id for authenticator in record.authenticators}
        is_there = own <= ids if own else status == record.status
        (there if is_there else conflicts).append(record)
    stored = {
        name: (rule, until)
        for name, rule, until in connection.execute(
            "SELECT name, rule, until FROM totp.group_rules"
        )
    }
    new_rules = tuple(rule for rule in rules if rule.name not in stored)
    conflicting = [
        rule.name for rule in rules if stored.get(rule.name, rule[1:]) != (rule.rule, rule.until)
    ]
    names = tuple(record.name for record in conflicts)
    return Sorted(tuple(new), tuple(there), names, new_rules, tuple(conflicting))


def take(connection: AdminConnection, key: bytes, chosen: Sorted) -> None:
    """Write the new records and rules of ``chosen``, and what was used of those that are there.

    ``key``: the administrator's. In the transaction of the caller.
    """
    users = json.dumps([_user(record) for record in chosen.new])
    connection.execute(_INSERT_USERS, (users,))
    connection.execute(_INSERT_AUTHENTICATORS, (_authenticators(chosen.new), key))
    connection.execute(_INSERT_CODES, (users,))
    connection.execute(_MERGE_STEPS, (_authenticators(chosen.there),))
    connection.execute(_MERGE_CODES, (json.dumps([_user(record) for record in chosen.there]),))
    for rule in chosen.rules:
        connection.execute(
            "INSERT INTO totp.group_rules (name, rule, until) VALUES ($1, $2, $3)", rule
        )


def _user(record: UserRecord) -> dict[str, object]:
    """The uid stays behind: it is that of one machine's account."""
    return {
        "name": record.name,
        "status": record.status,
        "exempt_until": record.exempt_until,
        "failures": record.failures,
        "untold": record.untold,
        "throttled_until": record.throttled_until,
        "guesses_until": record.guesses_until,
        "recovery_salt": record.recovery_salt.hex() if record.recovery_salt else None,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "digests": sorted(digest.hex() for digest in record.recovery_digests),
    }


def _authenticators(records: Sequence[UserRecord]) -> str:
    rows = []
    for record in records:
        for authenticator in record.authenticators:
            assert authenticator.secret is not None
            row = authenticator._asdict() | {"secret": authenticator.secret.hex()}
            rows.append({"user_name": record.name, **row})
    return json.dumps(rows)
