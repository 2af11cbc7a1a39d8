"""What a database answers that no release of ours writes is corruption, field by field."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pam_totp.core import verifier
from pam_totp.core.admission import GroupRule
from pam_totp.core.places import KnownPlace
from pam_totp.core.remembering import Remembered
from pam_totp.core.verifier import Answer, Policy, Verdict
from pam_totp.store.postgresql.answers import known_of, record_as_told, verdict_of
from pam_totp.system.errors import StoreCorrupt
from tests.support.each import each

HOME = "192.0.2.7"
RECORD = {
    "status": "active", "failures": 1, "untold": 2, "throttled_until": 3, "guesses_until": 4,
    "exempt_until": 5, "created_at": 6, "updated_at": 7, "recovery_salt": "5a" * 16,
    "authenticators": [
        {
            "label": "phone", "algorithm": "SHA256", "digits": 8, "period": 60, "drift": -1,
            "last_accepted_step": 9, "created_at": 10, "last_used_at": None,
            "clock_offset": -2, "clock_sightings": 3, "kind": "totp", "learned": -77,
        }
    ],
}  # fmt: skip
TOLD = {
    "at": 1_800_000_000,
    "record": RECORD,
    "place": {"used_at": 1, "failures": 2, "throttled_until": 3, "guesses_until": 4},
    "remembered": [
        {"service": "sshd", "kind": "address", "place": HOME, "since": 5, "until": 6,
         "password": "-"},
    ],
    "decoy": {"failures": 1, "throttled_until": 2, "guesses_until": 3, "recovery_salt": "a5" * 16},
    "rules": [["staff", "exempt", 7]],
    "policy": {
        "code_window": 0, "throttle_after": 2, "throttle_base": 3, "throttle_max": 4,
        "max_failures": 5, "slow_guesses": 6, "slow_period": 7, "look_ahead": 8,
        "recovery_unlocks": True,
    },
    "offline_hours": 0,
    "first_enrollment": True,
}  # fmt: skip
MAY_BE_NULL = {"record", "place", "recovery_salt", "last_used_at"}
UNUSED = {"offline_hours"}  # by a login; see offline/

CODE = Answer(verifier.CODE, "123456")
RECOVERY_CODE = Answer(verifier.RECOVERY_CODE, "", b"s" * 16, b"d" * 32)
TYPED = Answer(verifier.RECOVERY_CODE, "typed")
ROW = (verifier.ACCEPTED, "phone", 0, 0, 2, False, 0, False)


def paths(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value inside ``value``."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (key,)
        if isinstance(inner, dict | list):
            yield from ((key, *rest) for rest in paths(inner))


def replaced(way: tuple[Any, ...], value: Any) -> Any:
    told = copy.deepcopy(TOLD)
    place: Any = told
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = value
    return told


def without(way: tuple[Any, ...]) -> Any:
    told = copy.deepcopy(TOLD)
    place: Any = told
    for key in way[:-1]:
        place = place[key]
    del place[way[-1]]
    return told


def test_all_that_is_told_arrives() -> None:
    known = known_of("alice", TOLD, HOME)
    assert known.record is not None
    assert RECORD == json.loads(json.dumps(record_as_told(known.record)))
    assert (GroupRule("staff", "exempt", 7),) == known.rules
    assert (KnownPlace(HOME, 1, 2, 3, 4),) == known.record.known_places
    assert (Remembered("sshd", "address", HOME, 5, 6, "-"),) == known.record.remembered
    assert (Policy(0, 2, 3, 4, 5, 6, 7, 8, True), True) == (known.policy, known.may_enroll)
    assert (1, 2, 3, bytes.fromhex("a5" * 16)) == (
        known.decoy.failures, known.decoy.throttled_until, known.decoy.guesses_until,
        known.decoy.recovery_salt,
    )  # fmt: skip
    assert known_of("alice", TOLD | {"record": None}, HOME).record is None


@each("way", [way for way in paths(TOLD) if way[-1] not in UNUSED], ids=str)
def test_a_value_of_another_kind_is_corruption(way: tuple[Any, ...]) -> None:
    for wrong in (None, 1.5, [1], {}, {"x": 1}, b"x", "strange"):
        is_text = way in (("rules", 0, 0), ("record", "authenticators", 0, "label")) or (
            way[0] == "remembered" and way[-1] in ("service", "place", "password")
        )
        if (wrong is None and way[-1] in MAY_BE_NULL) or (wrong == "strange" and is_text):
            continue
        with pytest.raises(StoreCorrupt):
            known_of("alice", replaced(way, wrong), HOME)


@each("way", [way for way in paths(TOLD) if way[-1] not in UNUSED], ids=str)
def test_a_value_that_is_missing_is_corruption(way: tuple[Any, ...]) -> None:
    if isinstance(way[-1], int) and way[:-1] != ("rules", 0):
        return  # any number of authenticators, or of rules
    with pytest.raises(StoreCorrupt):
        known_of("alice", without(way), HOME)


@each(
    ("way", "wrong"),
    [
        (("record", "failures"), -1),
        (("record", "untold"), -1),
        (("record", "failures"), True),
        (("record", "recovery_salt"), "5a"),
        (("record", "authenticators", 0, "digits"), 5),
        (("record", "authenticators", 0, "kind"), "HOTP"),
        (("record", "authenticators", 0, "learned"), 601),
        (("record", "authenticators", 0, "learned"), -601),
        (("policy", "look_ahead"), 0),
        (("record", "authenticators", 0, "period"), 0),
        (("decoy", "failures"), -1),
        (("place", "failures"), -1),
        (("place", "used_at"), True),
        (("policy", "recovery_unlocks"), 1),
        (("policy", "code_window"), -1),
        (("policy", "throttle_after"), 0),
        (("policy", "slow_guesses"), 0),
        (("first_enrollment",), 1),
    ],
    ids=str,
)
def test_a_value_out_of_its_range_is_corruption(way: tuple[Any, ...], wrong: object) -> None:
    with pytest.raises(StoreCorrupt):
        known_of("alice", replaced(way, wrong), HOME)


def test_what_is_no_record_of_a_login_at_all_is_corruption() -> None:
    for told in (None, [], "x", 1):
        with pytest.raises(StoreCorrupt):
            known_of("alice", told, HOME)


# Verdicts


def test_a_verdict_arrives() -> None:
    assert Verdict(*ROW) == verdict_of(ROW, CODE, is_decoy=False)
    used = (verifier.RECOVERY_USED, "", 0, 9, 0, False, 0, False)
    assert Verdict(*used) == verdict_of(used, RECOVERY_CODE, is_decoy=False)
    assert verdict_of(("hash first", *ROW[1:]), TYPED, is_decoy=True) is None


@each("column", range(len(ROW)))
def test_a_column_of_another_kind_is_corruption(column: int) -> None:
    for wrong in (None, 1.5, b"x", [1]):
        row = (*ROW[:column], wrong, *ROW[column + 1 :])
        with pytest.raises(StoreCorrupt):
            verdict_of(row, CODE, is_decoy=False)


@pytest.mark.parametrize("row", [(), ROW[:-1], (*ROW, False)], ids=len)
def test_a_row_of_another_length_is_corruption(row: tuple[Any, ...]) -> None:
    with pytest.raises(StoreCorrupt):
        verdict_of(row, CODE, is_decoy=False)


@each(
    ("outcome", "answer", "is_decoy"),
    [
        (verifier.ACCEPTED, CODE, True),
        (verifier.RECOVERY_USED, RECOVERY_CODE, True),
        (verifier.RECOVERY_USED, CODE, False),
        (verifier.RECOVERY_USED, TYPED, False),
        (verifier.ACCEPTED, RECOVERY_CODE, False),
        (verifier.REPLAYED, RECOVERY_CODE, False),
        ("hash first", CODE, False),
        ("hash first", RECOVERY_CODE, False),
        (verifier.MALFORMED, CODE, False),
        ("strange", CODE, False),
    ],
)
def test_a_verdict_that_does_not_follow_from_the_answer_is_corruption(
    outcome: str, answer: Answer, is_decoy: bool
) -> None:
    """Above all one that lets in somebody who is compared with a decoy."""
    with pytest.raises(StoreCorrupt):
        verdict_of((outcome, *ROW[1:]), answer, is_decoy=is_decoy)
