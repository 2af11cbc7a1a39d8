"""Records of another store become the fleet's: all of them, or none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from .many_rows import (
    AUTHENTICATOR,
    INSERT_AUTHENTICATORS,
    INSERT_CODES,
    INSERT_USERS,
    USER,
    authenticators_as_json,
    users_as_json,
)

if TYPE_CHECKING:
    from ...core.admission import GroupRule
    from ...core.users import UserRecord
    from .admin_connection import AdminConnection

# What was used in the other store since an earlier import is used here as well.
_MERGE_STEPS = f"""
UPDATE totp.authenticators a SET
    last_accepted_step = greatest(a.last_accepted_step, given.last_accepted_step),
    last_used_at = greatest(a.last_used_at, given.last_used_at)
FROM jsonb_to_recordset($1::jsonb) AS given({AUTHENTICATOR})
WHERE a.id = given.id AND a.user_name = given.user_name
    AND a.last_accepted_step < given.last_accepted_step
"""
_MERGE_CODES = f"""
DELETE FROM totp.recovery_codes r
USING totp.users u, jsonb_to_recordset($1::jsonb) AS given({USER})
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
    # The uid stays behind: it is that of one machine's account.
    new = [record._replace(uid=None, bound_at=0) for record in chosen.new]
    # Places of a host by itself: a terminal of its own, or the account that called sudo there.
    connection.execute(INSERT_USERS, (users_as_json(record.without_places() for record in new),))
    connection.execute(INSERT_AUTHENTICATORS, (authenticators_as_json(new), key))
    connection.execute(INSERT_CODES, (users_as_json(new),))
    connection.execute(_MERGE_STEPS, (authenticators_as_json(chosen.there),))
    connection.execute(_MERGE_CODES, (users_as_json(chosen.there),))
    for rule in chosen.rules:
        connection.execute(
            "INSERT INTO totp.group_rules (name, rule, until) VALUES ($1, $2, $3)", rule
        )
