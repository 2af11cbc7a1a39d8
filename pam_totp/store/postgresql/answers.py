"""What the functions for hosts answer, as what a login works with, and nothing that we never write.

Anything else is StoreCorrupt: a database that somebody has tampered with must not get further than
one that is damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ...core import verifier
from ...core.admission import RULES, GroupRule
from ...core.otp import ALGORITHMS, DIGITS, KINDS
from ...core.places import KnownPlace
from ...core.users import MOST_LEARNED, STATUSES, Authenticator, UserRecord
from ...core.verifier import Policy, Verdict
from ...system.errors import StoreCorrupt
from ..questions import Known
from . import codes_ahead
from .codes_ahead import Fetched
from .rows import POLICY_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...core.remembering import Remembered
    from ...core.verifier import Answer

Result = TypeVar("Result")

HASH_FIRST = "hash first"
_OUTCOMES = {
    verifier.CODE: (verifier.ACCEPTED, verifier.REPLAYED),
    verifier.RECOVERY_CODE: (verifier.RECOVERY_USED,),
}
_REFUSALS = (verifier.REJECTED, verifier.THROTTLED, verifier.LOCKED)
_GRANTS = (verifier.ACCEPTED, verifier.RECOVERY_USED)
_SALT_BYTES = 16
# What is told as it stands.
_OF_RECORDS = (
    *("status", "failures", "untold", "throttled_until", "guesses_until"),
    *("exempt_until", "created_at", "updated_at"),
)
_OF_AUTHENTICATORS = (
    *("label", "algorithm", "digits", "period", "drift", "last_accepted_step"),
    *("created_at", "last_used_at", "clock_offset", "clock_sightings", "kind", "learned"),
)


def known_of(name: str, told: Any, place: str) -> Known:
    """Return what admission() has ``told`` of ``name`` at ``place``. Raises StoreCorrupt."""
    return _checked(lambda: _known_of(name, told, place))


def verdict_of(row: tuple[Any, ...], answer: Answer, *, is_decoy: bool) -> Verdict | None:
    """Return the verdict on ``answer``; None: it has to be hashed. Raises StoreCorrupt."""
    return _checked(lambda: _verdict_of(row, answer, is_decoy=is_decoy))


def fetched_of(told: Any) -> Fetched:
    """Return what codes_ahead() has ``told``. Raises StoreCorrupt."""
    return _checked(lambda: _fetched_of(told))


def record_as_told(record: UserRecord) -> dict[str, Any]:
    """Return ``record`` as admission() tells it, for the database to compare."""
    salt = record.recovery_salt
    return {
        **{field: getattr(record, field) for field in _OF_RECORDS},
        "recovery_salt": None if salt is None else salt.hex(),
        "authenticators": [
            {field: getattr(one, field) for field in _OF_AUTHENTICATORS}
            for one in record.authenticators
        ],
    }


def _checked(convert: Callable[[], Result]) -> Result:
    try:
        return convert()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreCorrupt(
            "store",
            f"answers what this release does not know ({type(error).__name__})",
            "compare releases of pam_totp; then run: totpctl fleet migrate",
        ) from error


def _known_of(name: str, told: Any, place: str) -> Known:
    decoy = told["decoy"]
    record = None if told["record"] is None else _record_of(name, told["record"])
    remembered = tuple(_remembered_of(one) for one in _list(told["remembered"]))
    if record is not None:
        of_place = told["place"]
        known = () if of_place is None else (_place_of({**of_place, "name": place}),)
        record = record._replace(known_places=known, remembered=remembered)
    return Known(
        record,
        tuple(_rule_of(*rule) for rule in _list(told["rules"])),
        UserRecord(
            name,
            failures=_count(decoy["failures"]),
            throttled_until=_integer(decoy["throttled_until"]),
            guesses_until=_integer(decoy["guesses_until"]),
            recovery_salt=_salt(decoy["recovery_salt"]),
        ),
        _integer(told["at"]),
        policy=_policy_of(told["policy"]),
        may_enroll=_boolean(told["first_enrollment"]),
    )


def _policy_of(told: dict[str, Any]) -> Policy:
    window, *others, unlocks = POLICY_COLUMNS
    numbers: list[Any] = [_positive(told[column]) for column in others]
    policy = Policy(_count(told[window]), *numbers)
    return policy._replace(recovery_unlocks=_boolean(told[unlocks]))


def _remembered_of(told: dict[str, Any]) -> Remembered:
    from ...core.remembering import KINDS, Remembered  # where there are any

    return Remembered(
        _text(told["service"]),
        _one_of(KINDS, told["kind"]),
        _text(told["place"]),
        since=_integer(told["since"]),
        until=_integer(told["until"]),
        password=_text(told["password"]),
    )


def _place_of(told: dict[str, Any]) -> KnownPlace:
    return KnownPlace(
        _text(told["name"]),
        used_at=_integer(told["used_at"]),
        failures=_count(told["failures"]),
        throttled_until=_integer(told["throttled_until"]),
        guesses_until=_integer(told["guesses_until"]),
    )


def _record_of(name: str, told: dict[str, Any]) -> UserRecord:
    salt = told["recovery_salt"]
    return UserRecord(
        name,
        status=_one_of(STATUSES, told["status"]),
        recovery_salt=None if salt is None else _salt(salt),
        authenticators=tuple(_authenticator_of(one) for one in _list(told["authenticators"])),
        failures=_count(told["failures"]),
        untold=_count(told["untold"]),
        throttled_until=_integer(told["throttled_until"]),
        guesses_until=_integer(told["guesses_until"]),
        exempt_until=_integer(told["exempt_until"]),
        created_at=_integer(told["created_at"]),
        updated_at=_integer(told["updated_at"]),
    )


def _authenticator_of(told: dict[str, Any]) -> Authenticator:
    """Hosts are told no id: labels are as good within a record."""
    label, used = _text(told["label"]), told["last_used_at"]
    return Authenticator(
        label,
        label,
        None,
        algorithm=_one_of(ALGORITHMS, told["algorithm"]),
        digits=_one_of(DIGITS, told["digits"]),
        period=_positive(told["period"]),
        drift=_integer(told["drift"]),
        last_accepted_step=_integer(told["last_accepted_step"]),
        created_at=_integer(told["created_at"]),
        last_used_at=None if used is None else _integer(used),
        clock_offset=_integer(told["clock_offset"]),
        clock_sightings=_integer(told["clock_sightings"]),
        kind=_one_of(KINDS, told["kind"]),
        learned=_learned(told["learned"]),
    )


def _fetched_of(told: dict[str, Any]) -> Fetched:
    return Fetched(
        _integer(told["at"]),
        _count(told["hours"]),
        _count(told["last_merged"]),
        _policy_of(told["policy"]),
        tuple(_kept_record_of(one) for one in told["users"]),
    )


def _kept_record_of(told: dict[str, Any]) -> UserRecord:
    return UserRecord(
        _text(told["user"]),
        failures=_count(told["failures"]),
        throttled_until=_integer(told["throttled_until"]),
        guesses_until=_integer(told["guesses_until"]),
        known_places=tuple(_place_of(one) for one in _list(told["known_places"])),
        authenticators=tuple(
            Authenticator(
                _text(one["id"]),
                _text(one["label"]),
                codes_ahead.run(_count(one["first_step"]), bytes.fromhex(_text(one["codes"]))),
                algorithm=_one_of(ALGORITHMS, one["algorithm"]),
                digits=_one_of(DIGITS, one["digits"]),
                period=_positive(one["period"]),
                drift=_integer(one["drift"]),
                last_accepted_step=_integer(one["last_accepted_step"]),
                learned=_learned(one["learned"]),
            )
            for one in told["authenticators"]
        ),
    )


def _rule_of(name: object, rule: str, until: object) -> GroupRule:
    return GroupRule(_text(name), _one_of(RULES, rule), _integer(until))


def _verdict_of(row: tuple[Any, ...], answer: Answer, *, is_decoy: bool) -> Verdict | None:
    outcome, authenticator, wait, left, failed_before, is_behind, offset, is_spent = row
    if outcome == HASH_FIRST:
        if answer.kind != verifier.RECOVERY_CODE or answer.digest:
            raise ValueError
        return None
    _one_of((*_OUTCOMES[answer.kind], *_REFUSALS), outcome)
    if is_decoy and outcome in _GRANTS:
        raise ValueError
    if (
        answer.kind == verifier.RECOVERY_CODE
        and outcome == verifier.RECOVERY_USED
        and not answer.digest
    ):
        raise ValueError
    return Verdict(
        outcome,
        _text(authenticator),
        _count(wait),
        _count(left),
        _count(failed_before),
        _boolean(is_behind),
        _integer(offset),
        _boolean(is_spent),
    )


def _exactly(kind: type[Result], value: object) -> Result:
    """Return ``value`` of this type, and of none that inherits it: True is no number."""
    if type(value) is not kind:
        raise TypeError
    return value


def _integer(value: object) -> int:
    return _exactly(int, value)


def _count(value: object) -> int:
    number = _integer(value)
    if number < 0:
        raise ValueError
    return number


def _learned(value: object) -> int:
    number = _integer(value)
    if abs(number) > MOST_LEARNED:
        raise ValueError
    return number


def _positive(value: object) -> int:
    number = _integer(value)
    if number < 1:
        raise ValueError
    return number


def _boolean(value: object) -> bool:
    return _exactly(bool, value)


def _list(value: object) -> list[Any]:
    return _exactly(list, value)


def _text(value: object) -> str:
    return _exactly(str, value)


def _salt(value: object) -> bytes:
    salt = bytes.fromhex(_text(value))
    if len(salt) != _SALT_BYTES:
        raise ValueError
    return salt


def _one_of(allowed: Iterable[Result], value: Result) -> Result:
    if value not in allowed:
        raise ValueError
    return value
