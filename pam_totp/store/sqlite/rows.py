"""Between the rows of the tables and the records of the verifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.admission import RULES, GroupRule
from ...core.otp import ALGORITHMS, DIGITS
from ...core.users import STATUSES, Authenticator, UserRecord

if TYPE_CHECKING:
    from .database import Database
    from .sealed import SealedDatabase

USER_COLUMNS = (
    "status, failures, throttled_until, recovery_salt, created_at, updated_at, exempt_until, "
    "uid, bound_at, untold, guesses_until"
)
AUTHENTICATOR_COLUMNS = (
    "id, label, sealed_secret, algorithm, digits, period, drift, last_accepted_step, "
    "created_at, last_used_at, clock_offset, clock_sightings"
)


def storable(name: str) -> str:
    """Return ``name`` as text that a row can hold: another one where it is not UTF-8."""
    return name.encode("utf-8", "replace").decode("utf-8")


def read_record(store: SealedDatabase, name: str, *, unseal: bool) -> UserRecord | None:
    """Read one user inside the caller's transaction. Raises StoreCorrupt for what no save wrote.

    As many questions where there is no such user: how long it takes must not tell.
    """
    execute = store.database.execute
    rows = execute(f"SELECT {USER_COLUMNS} FROM users WHERE name = ?", (name,))
    digests = execute("SELECT digest FROM recovery_codes WHERE user = ?", (name,))
    found = execute(
        f"SELECT {AUTHENTICATOR_COLUMNS} FROM authenticators WHERE user = ? ORDER BY label",
        (name,),
    )
    if not rows:
        return None
    status, failures, throttled_until, recovery_salt, created_at, updated_at, *later = rows[0]
    exempt_until, uid, bound_at, untold, guesses_until = later
    authenticators = [Authenticator(*row) for row in found]
    sound = (
        status in STATUSES
        and _are_integers(failures, throttled_until, created_at, updated_at, exempt_until)
        and _are_integers(bound_at, untold, guesses_until)
        and failures >= 0
        and untold >= 0
        and (uid is None or isinstance(uid, int))
        and (recovery_salt is None or isinstance(recovery_salt, bytes))
        and all(isinstance(digest, bytes) for (digest,) in digests)
        and all(is_sound(row) for row in authenticators)
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
        authenticators=tuple(_unsealed(store, name, row, unseal=unseal) for row in authenticators),
        created_at=created_at,
        updated_at=updated_at,
        exempt_until=exempt_until,
        uid=uid,
        bound_at=bound_at,
        untold=untold,
        guesses_until=guesses_until,
    )


def read_group_rules(database: Database) -> tuple[GroupRule, ...]:
    """Read all rules, by name. Raises StoreCorrupt for what no save wrote."""
    rows = database.execute("SELECT name, rule, until FROM group_rules ORDER BY name")
    rules = tuple(GroupRule(*row) for row in rows)
    for name, rule, until in rules:
        if not (isinstance(name, str) and rule in RULES and _are_integers(until)):
            raise database.corrupt("holds a row that pam_totp did not write")
    return rules


def is_sound(row: Authenticator) -> bool:
    """Return whether the row has the types and ranges that we write."""
    return (
        isinstance(row.id, str)
        and isinstance(row.label, str)
        and isinstance(row.secret, bytes)
        and row.algorithm in ALGORITHMS
        and row.digits in DIGITS
        and _are_integers(row.period, row.drift, row.last_accepted_step, row.created_at)
        and _are_integers(row.clock_offset, row.clock_sightings)
        and row.period > 0
        and (row.last_used_at is None or isinstance(row.last_used_at, int))
    )


def _are_integers(*values: object) -> bool:
    return all(isinstance(value, int) for value in values)


def _unsealed(
    store: SealedDatabase, user: str, row: Authenticator, *, unseal: bool
) -> Authenticator:
    sealed = row.secret
    if not unseal or sealed is None:
        return row._replace(secret=None)
    return row._replace(secret=store.unseal(sealed, *binding(user, row)))


def binding(user: str, authenticator: Authenticator) -> tuple[str, ...]:
    """Name the fields that a sealed secret is bound to."""
    return (
        user,
        authenticator.id,
        authenticator.algorithm,
        str(authenticator.digits),
        str(authenticator.period),
    )


def user_row(record: UserRecord) -> tuple[Any, ...]:
    return (
        record.status,
        record.failures,
        record.throttled_until,
        record.recovery_salt,
        record.created_at,
        record.updated_at,
        record.exempt_until,
        record.uid,
        record.bound_at,
        record.untold,
        record.guesses_until,
    )
