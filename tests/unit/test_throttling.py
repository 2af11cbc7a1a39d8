"""Waits that double, and the lock: after 80 failures from anywhere, 100 in all."""

from __future__ import annotations

import pytest

from pam_totp.core import otp
from pam_totp.core.verifier import (
    ACCEPTED,
    LOCKED,
    MALFORMED,
    PASSWORD,
    RECOVERY_USED,
    REJECTED,
    THROTTLED,
    Answer,
    Policy,
    Verdict,
    locked_from,
    throttle_wait,
    verify,
)
from tests.support.each import each
from tests.unit.alice import (
    ALICE,
    DIGESTS,
    NOW,
    POLICY,
    SALT,
    STEP,
    WRONG,
    code,
    fail,
    recovery_code,
)


def test_the_wait_doubles_from_the_fifth_failure_to_a_quarter_of_an_hour() -> None:
    expected = [0] * 5 + [30, 60, 120, 240, 480] + [900] * 91
    assert expected == [throttle_wait(failures, POLICY) for failures in range(101)]


def test_the_wait_of_ten_thousand_failures_is_computed_at_once() -> None:
    assert 900 == throttle_wait(10**4, POLICY)
    assert 86400 == throttle_wait(10**9, Policy(throttle_base=1, throttle_max=86400))


def test_each_wrong_code_tells_the_wait_it_starts() -> None:
    record, now, waits = ALICE, NOW, []
    for _ in range(12):
        verdict, record = verify(record, WRONG, now, POLICY)
        waits.append(verdict.wait)
        now += verdict.wait
    assert [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900] == waits


def test_a_failure_before_the_fifth_leaves_no_wait_behind() -> None:
    assert (4, 0) == fail(ALICE, 4)[2:4]


@each(
    "answer",
    [code(STEP), code(STEP + 1), WRONG, recovery_code(DIGESTS[0]), recovery_code(b"x" * 32)],
    ids=["right", "next", "wrong", "recovery", "wrong recovery"],
)
@each("elapsed", [0, 1, 29])
def test_whatever_comes_during_a_wait_is_refused_and_changes_nothing(
    answer: Answer, elapsed: int
) -> None:
    waiting = ALICE._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
    waiting = fail(waiting, 5)
    verdict, record = verify(waiting, answer, NOW + elapsed, POLICY)
    assert Verdict(THROTTLED, wait=30 - elapsed) == verdict
    assert waiting == record


@pytest.mark.parametrize("answer", [code(STEP), WRONG, recovery_code(DIGESTS[0])])
@pytest.mark.parametrize("failures", [5, 100])
def test_nothing_is_computed_during_a_wait_or_a_lock(
    answer: Answer, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_not_be_called(*arguments: object) -> None:
        raise AssertionError("evaluated while throttled")

    monkeypatch.setattr(otp, "matching_steps", must_not_be_called)
    monkeypatch.setattr("pam_totp.core.recovery.match", must_not_be_called)
    record = ALICE._replace(failures=failures, throttled_until=NOW + 10)
    expected = THROTTLED if failures == 5 else LOCKED
    assert expected == verify(record, answer, NOW, POLICY)[0].outcome


def test_a_code_refused_during_a_wait_is_good_afterwards() -> None:
    waiting = fail(ALICE, 5)
    _, record = verify(waiting, code(STEP + 1), NOW + 29, POLICY)
    verdict, record = verify(record, code(STEP + 1), NOW + 30, POLICY)
    assert ACCEPTED == verdict.outcome
    assert (0, 0) == record[2:4]


def test_a_wrong_code_after_the_wait_starts_a_longer_one() -> None:
    verdict, record = verify(fail(ALICE, 5), WRONG, NOW + 30, POLICY)
    assert Verdict(REJECTED, wait=60) == verdict
    assert (6, NOW + 30 + 60) == record[2:4]


@pytest.mark.parametrize(
    "answer", [code(STEP), recovery_code(DIGESTS[0])], ids=["code", "recovery"]
)
def test_success_resets_the_count(answer: Answer) -> None:
    record = ALICE._replace(
        failures=79, throttled_until=NOW, recovery_salt=SALT, recovery_digests=frozenset(DIGESTS)
    )
    _, record = verify(record, answer, NOW, POLICY)
    assert (0, 0) == record[2:4]
    verdict, _ = verify(record, WRONG, NOW, POLICY)
    assert Verdict(REJECTED) == verdict


def test_eighty_failures_in_a_row_lock() -> None:
    """The last fifth of a hundred is for known places: test_known_places.py."""
    record = fail(ALICE, 80)
    now = record.throttled_until + 10**6
    for answer in (WRONG, code(now // 30), recovery_code(DIGESTS[0])):
        verdict, after = verify(record, answer, now, POLICY)
        assert Verdict(LOCKED) == verdict
        assert record == after


def test_seventy_nine_failures_in_a_row_do_not_lock() -> None:
    record = fail(ALICE, 79)
    now = record.throttled_until
    assert ACCEPTED == verify(record, code(now // 30), now, POLICY)[0].outcome


@each(("most", "locked"), [(1, 1), (4, 4), (5, 4), (6, 5), (10, 8), (20, 16), (99, 80), (100, 80)])
def test_a_fifth_is_kept_for_known_places(most: int, locked: int) -> None:
    assert locked == locked_from(most)
    policy = Policy(max_failures=most)
    record = fail(ALICE, locked, policy=policy)
    now = record.throttled_until
    assert LOCKED == verify(record, code(now // 30), now, policy)[0].outcome


def test_a_lock_holds_for_recovery_codes_as_well() -> None:
    record = ALICE._replace(failures=100, recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
    assert (Verdict(LOCKED), record) == verify(record, recovery_code(DIGESTS[0]), NOW, POLICY)


LENIENT = Policy(recovery_unlocks=True)


def test_a_recovery_code_ends_a_lock_where_the_policy_says_so() -> None:
    record = fail(ALICE, 80)._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
    now = record.throttled_until
    waiting = verify(record, recovery_code(DIGESTS[0]), now - 1, LENIENT)[0]
    assert Verdict(THROTTLED, wait=1) == waiting
    locked = Verdict(LOCKED, codes_only=True)
    assert locked == verify(record, code(now // 30), now, LENIENT)[0]
    verdict, record = verify(record, recovery_code(DIGESTS[0]), now, LENIENT)
    assert (RECOVERY_USED, 0) == (verdict.outcome, record.failures)
    assert ACCEPTED == verify(record, code(now // 30), now, LENIENT)[0].outcome


def test_wrong_recovery_codes_behind_a_lock_wait_and_do_not_lengthen_the_row() -> None:
    """Else strangers would take by them what is kept for known places."""
    record = fail(ALICE, 80)._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
    for _ in range(40):
        now = record.throttled_until
        verdict, record = verify(record, recovery_code(b"x" * 32), now, LENIENT)
        assert Verdict(REJECTED, wait=900) == verdict
        assert (80, now + 900) == (record.failures, record.throttled_until)
    assert 120 == record.untold


def test_guesses_of_recovery_codes_are_counted_with_those_of_codes() -> None:
    record = ALICE._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
    for answer in (WRONG, recovery_code(b"x" * 32), WRONG, recovery_code(b"y" * 32)):
        _, record = verify(record, answer, NOW, POLICY)
    verdict, record = verify(record, recovery_code(b"z" * 32), NOW, POLICY)
    assert Verdict(REJECTED, wait=30) == verdict
    assert 5 == record.failures


@each("kind", [MALFORMED, PASSWORD])
@each("failures", [0, 4, 5, 100])
def test_what_is_no_guess_is_not_counted(kind: str, failures: int) -> None:
    record = ALICE._replace(failures=failures, throttled_until=NOW + 10 if failures else 0)
    assert (Verdict(kind), record) == verify(record, Answer(kind), NOW, POLICY)
