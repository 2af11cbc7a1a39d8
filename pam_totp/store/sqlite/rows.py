"""Which rows are sound, and what of a record goes into which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.admission import RULES, GroupRule
from ...core.otp import ALGORITHMS, DIGITS, KINDS
from ...core.places import KnownPlace
from ...core.users import MOST_LEARNED, STATUSES

if TYPE_CHECKING:
    from ...core.remembering import Remembered
    from ...core.users import Authenticator, UserRecord
    from .database import Database

USER_COLUMNS = (
    "status, failures, throttled_until, recovery_salt, created_at, updated_at, exempt_until, "
    "uid, bound_at, untold, guesses_until, known_places, remembered, "
    "own_changes"
)
AUTHENTICATOR_COLUMNS = (
    "id, label, sealed_secret, algorithm, digits, period, drift, last_accepted_step, "
    "created_at, last_used_at, clock_offset, clock_sightings, kind, serial, learned"
)
_INTEGERS = {int}


def read_group_rules(database: Database) -> tuple[GroupRule, ...]:
    """Read all rules, by name. Raises StoreCorrupt for what no save wrote."""
    rows = database.execute("SELECT name, rule, until FROM group_rules ORDER BY name")
    rules = tuple(GroupRule(*row) for row in rows)
    for name, rule, until in rules:
        if not (isinstance(name, str) and rule in RULES and are_integers(until)):
            raise database.not_ours()
    return rules


def is_sound_user(columns: tuple[Any, ...]) -> bool:
    """Return whether USER_COLUMNS have the types and ranges that we write."""
    status, failures, throttled_until, recovery_salt, created_at, updated_at, *rest = columns
    exempt_until, uid, bound_at, untold, guesses_until, *texts = rest
    return (
        status in STATUSES
        and are_integers(failures, throttled_until, created_at, updated_at)
        and are_integers(exempt_until, bound_at, untold, guesses_until)
        and failures >= 0
        and untold >= 0
        and (uid is None or isinstance(uid, int))
        and (recovery_salt is None or isinstance(recovery_salt, bytes))
        and all(isinstance(text, str) for text in texts)
    )


def is_sound(row: Authenticator) -> bool:
    """Return whether the row has the types and ranges that we write."""
    return (
        isinstance(row.id, str)
        and isinstance(row.label, str)
        and isinstance(row.secret, bytes)
        and row.algorithm in ALGORITHMS
        and row.digits in DIGITS
        and are_integers(row.period, row.drift, row.last_accepted_step, row.created_at)
        and are_integers(row.clock_offset, row.clock_sightings, row.learned)
        and abs(row.learned) <= MOST_LEARNED
        and row.period > 0
        and row.kind in KINDS
        and isinstance(row.serial, str)
        and (row.last_used_at is None or isinstance(row.last_used_at, int))
    )


def are_integers(*values: object) -> bool:
    return set(map(type, values)) == _INTEGERS


def binding(user: str, authenticator: Authenticator) -> tuple[str, ...]:
    """Name the fields that a sealed secret is bound to."""
    return (
        user,
        authenticator.id,
        authenticator.algorithm,
        str(authenticator.digits),
        str(authenticator.period),
        authenticator.kind,
    )


def places_as_text(known: tuple[KnownPlace, ...]) -> str:
    """Return known places as a column holds them: a line each, which ends with the name.

    They are in the row of their user, so that no answer writes more rows than another. Numbers
    have a width: no wrong answer makes a row longer.
    """
    return "\n".join(
        f"{p.used_at:010} {p.failures:03} {p.throttled_until:010} {p.guesses_until:010} {p.name}"
        for p in known
    )


def places_of(text: str) -> tuple[KnownPlace, ...]:
    """Return the known places of a column. Raises ValueError for what no save wrote."""
    return tuple(map(_place_of, text.split("\n"))) if text else ()


def _place_of(line: str) -> KnownPlace:
    used_at, failures, throttled_until, guesses_until, name = line.split(" ", 4)
    if not name:
        raise ValueError("a place has a name")
    return KnownPlace(name, int(used_at), int(failures), int(throttled_until), int(guesses_until))


def remembered_as_text(remembered: tuple[Remembered, ...]) -> str:
    """Return remembered places as a column holds them: a line each."""
    return "\n".join(
        f"{one.since} {one.until} {one.service} {one.kind} {one.password} {one.place}"
        for one in remembered
    )


def remembered_of(text: str) -> tuple[Remembered, ...]:
    """Return the remembered places of a column. Raises ValueError for what no save wrote."""
    if not text:
        return ()
    from ...core.remembering import KINDS, Remembered  # where there are any

    found = []
    for line in text.split("\n"):
        since, until, service, kind, password, place = line.split(" ", 5)
        if kind not in KINDS:
            raise ValueError("a remembered place is of a known kind")
        found.append(Remembered(service, kind, place, int(since), int(until), password))
    return tuple(found)


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
        places_as_text(record.known_places),
        remembered_as_text(record.remembered),
        record.own_changes,
    )
