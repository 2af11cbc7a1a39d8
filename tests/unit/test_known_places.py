"""Strangers lock nobody out of where they have logged in from, and win no guess by that."""

from __future__ import annotations

import pytest

from pam_totp.core.places import KnownPlace
from pam_totp.core.users import UserRecord
from pam_totp.core.verifier import (
    ACCEPTED,
    LOCKED,
    RECOVERY_USED,
    REJECTED,
    REPLAYED,
    THROTTLED,
    Answer,
    Policy,
    Verdict,
    guesses_spent,
    standing,
    verify,
)
from tests.unit.alice import ALICE, DIGESTS, NOW, POLICY, SALT, STEP, WRONG, code, recovery_code

HOME, OFFICE, ELSEWHERE = "192.0.2.7", "by alice", "198.51.100.9"
HOUR = NOW - NOW % 3600
KNOWN = (KnownPlace(HOME, HOUR), KnownPlace(OFFICE, HOUR))
OWNER = ALICE._replace(known_places=KNOWN, recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
INTERVAL = 30 * 86_400 // 100


def guess(
    record: UserRecord, times: int, place: str, now: int = NOW, answer: Answer = WRONG
) -> tuple[UserRecord, int]:
    """Give wrong answers, each one as soon as it is looked at; return the time of the last one."""
    for _ in range(times):
        refusal = standing(record, now, POLICY, answer.kind, place)
        now += refusal.wait if refusal else 0
        verdict, record = verify(record, answer, now, POLICY, place=place)
        assert REJECTED == verdict.outcome
    return record, now


def outcome(record: UserRecord, answer: Answer, place: str, now: int = NOW) -> str:
    return verify(record, answer, now, POLICY, place=place)[0].outcome


def test_a_right_answer_makes_its_place_known() -> None:
    assert (KnownPlace(HOME, HOUR),) == verify(ALICE, code(STEP), NOW, POLICY, place=HOME)[
        1
    ].known_places
    _, record = verify(OWNER, recovery_code(DIGESTS[0]), NOW, POLICY, place=ELSEWHERE)
    assert (*KNOWN, KnownPlace(ELSEWHERE, HOUR)) == record.known_places


@pytest.mark.parametrize("answer", [WRONG, recovery_code(b"x" * 32)])
def test_no_other_answer_does(answer: Answer) -> None:
    _, record = verify(ALICE, answer, NOW, POLICY, place=HOME)
    assert () == record.known_places
    used = ALICE.authenticators[0]._replace(last_accepted_step=STEP)
    record = ALICE._replace(authenticators=(used,))
    verdict, record = verify(record, code(STEP), NOW, POLICY, place=HOME)
    assert (REPLAYED, ()) == (verdict.outcome, record.known_places)


def test_a_stranger_s_wait_is_not_that_of_a_known_place() -> None:
    record, now = guess(OWNER, 5, ELSEWHERE)
    assert THROTTLED == outcome(record, code(STEP), ELSEWHERE, now)
    assert THROTTLED == outcome(record, code(STEP), "", now)
    verdict, record = verify(record, code(STEP), now, POLICY, place=HOME)
    assert (ACCEPTED, 5) == (verdict.outcome, verdict.failed_before)
    assert (0, 0) == (record.failures, record.throttled_until)


def test_a_stranger_s_lock_is_not_that_of_a_known_place_whose_login_ends_it() -> None:
    record, now = guess(OWNER, 80, ELSEWHERE)
    assert LOCKED == outcome(record, code(now // 30), ELSEWHERE, now + 10**6)
    verdict, record = verify(record, code(now // 30), now, POLICY, place=HOME)
    assert ACCEPTED == verdict.outcome
    assert ACCEPTED == outcome(record, code(now // 30 + 1), ELSEWHERE, now)


def test_a_spent_budget_is_not_that_of_a_known_place() -> None:
    record = OWNER._replace(guesses_until=NOW + 80 * INTERVAL)
    refused = verify(record, code(STEP), NOW, POLICY, place=ELSEWHERE)[0]
    assert Verdict(THROTTLED, wait=INTERVAL, codes_only=True) == refused
    assert RECOVERY_USED == outcome(record, recovery_code(DIGESTS[0]), ELSEWHERE)
    assert ACCEPTED == outcome(record, code(STEP), HOME)


def test_a_known_place_waits_for_its_own_wrong_answers() -> None:
    record, now = guess(OWNER, 5, ELSEWHERE)
    record, now = guess(record, 4, HOME, now)
    verdict, record = verify(record, WRONG, now, POLICY, place=HOME)
    assert Verdict(REJECTED, wait=30) == verdict
    assert Verdict(THROTTLED, wait=30) == standing(record, now, POLICY, place=HOME)
    assert Verdict(THROTTLED, wait=900) == standing(record, now, POLICY, place=ELSEWHERE)
    assert standing(record, now, POLICY, place=OFFICE) is None
    assert standing(record, now + 30, POLICY, place=HOME) is None


def test_its_wrong_answers_count_for_everybody_as_they_always_did() -> None:
    record, _ = guess(OWNER, 5, HOME)
    assert (5, 5, NOW + 30) == (record.failures, record.untold, record.throttled_until)
    assert 5 == guesses_spent(record, NOW, POLICY)
    assert THROTTLED == outcome(record, code(STEP), ELSEWHERE)


def test_after_ten_wrong_answers_a_known_place_is_as_any_other() -> None:
    record, now = guess(OWNER, 80, ELSEWHERE)
    record, now = guess(record, 10, HOME, now)
    assert LOCKED == outcome(record, code(now // 30), HOME, now + 10**6)
    assert ACCEPTED == outcome(record, code(now // 30), OFFICE, now)
    record, now = guess(record, 10, OFFICE, now)
    assert 100 == record.failures
    for place in (HOME, OFFICE, ELSEWHERE):
        assert LOCKED == outcome(record, code(now // 30), place, now + 10**6)


def test_the_wait_that_is_told_is_the_one_that_follows() -> None:
    record, now = guess(OWNER, 40, ELSEWHERE)
    for _ in range(15):
        refusal = standing(record, now, POLICY, place=HOME)
        now += refusal.wait if refusal else 0
        verdict, record = verify(record, WRONG, now, POLICY, place=HOME)
        told = Verdict(THROTTLED, wait=verdict.wait) if verdict.wait else None
        assert told == standing(record, now, POLICY, place=HOME)
    assert 900 == verdict.wait


def test_its_part_of_the_slow_budget_comes_back_as_the_whole_does() -> None:
    record, now = OWNER._replace(guesses_until=NOW + 80 * INTERVAL), NOW
    for _ in range(3):
        record, now = guess(record, 3, HOME, now)
        _, record = verify(record, code(now // 30), now, POLICY, place=OFFICE)
        now += 30
    record, now = guess(record, 1, HOME, now)
    assert Verdict(THROTTLED, wait=11 * INTERVAL - (now - NOW), codes_only=True) == standing(
        record, now, POLICY, place=HOME
    )
    assert standing(record, now, POLICY, "recovery_code", HOME) is None
    assert standing(record, NOW + INTERVAL, POLICY, place=HOME) is None
    assert standing(record, now, POLICY, place=OFFICE) is None


def test_recovery_codes_take_nothing_from_the_budget_of_a_place() -> None:
    record, _ = guess(OWNER, 3, HOME, answer=recovery_code(b"x" * 32))
    assert KnownPlace(HOME, HOUR, failures=3) == record.known_places[0]


def test_a_clock_that_was_set_back_makes_no_place_wait_longer() -> None:
    record, _ = guess(OWNER, 5, HOME)
    earlier = NOW - 10**6
    verdict, record = verify(record, WRONG, earlier, POLICY, place=HOME)
    assert Verdict(THROTTLED, wait=30) == verdict
    assert earlier + 30 == record.known_places[0].throttled_until
    assert standing(record, earlier + 30, POLICY, place=HOME) is None


def test_who_is_suspended_gets_in_from_nowhere() -> None:
    record = OWNER._replace(status="suspended")
    assert REJECTED == outcome(record, code(STEP), HOME)


@pytest.mark.parametrize("most", [1, 2, 4])
def test_where_a_lock_comes_early_no_place_has_anything_of_its_own(most: int) -> None:
    policy = Policy(max_failures=most)
    record = OWNER
    for _ in range(most):
        verdict, record = verify(record, WRONG, NOW, policy, place=ELSEWHERE)
        assert REJECTED == verdict.outcome
    assert LOCKED == verify(record, code(STEP), NOW, policy, place=HOME)[0].outcome


def test_with_five_there_is_one_try() -> None:
    policy = Policy(max_failures=5)
    record = OWNER
    for _ in range(4):
        _, record = verify(record, WRONG, NOW, policy, place=ELSEWHERE)
    assert LOCKED == verify(record, code(STEP), NOW, policy, place=ELSEWHERE)[0].outcome
    assert ACCEPTED == verify(record, code(STEP), NOW, policy, place=HOME)[0].outcome
    _, record = verify(record, WRONG, NOW, policy, place=HOME)
    assert LOCKED == verify(record, code(STEP), NOW, policy, place=OFFICE)[0].outcome
