"""A code is accepted once, whatever the clock does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core.verifier import (
    ACCEPTED,
    REJECTED,
    REPLAYED,
    THROTTLED,
    Answer,
    Policy,
    Verdict,
    throttle_wait,
    verify,
)
from tests.support.each import each
from tests.unit.alice import (
    ALICE,
    NOW,
    PHONE,
    POLICY,
    STEP,
    WRONG,
    code,
    fail,
    neighbours_of_one_code,
)


@each("later", range(60))
def test_a_code_is_accepted_once(later: int) -> None:
    _, record = verify(ALICE, code(STEP), NOW, POLICY)
    verdict, after = verify(record, code(STEP), NOW + later, POLICY)
    assert REPLAYED == verdict.outcome
    assert "phone" == verdict.authenticator
    assert record == after


def test_an_earlier_code_of_the_window_is_not_accepted_after_a_later_one() -> None:
    _, record = verify(ALICE, code(STEP + 1), NOW, POLICY)
    outcomes = [verify(record, code(STEP + n), NOW, POLICY)[0].outcome for n in (-1, 0, 1)]
    assert [REPLAYED] * 3 == outcomes


def test_a_later_code_of_the_window_is_accepted_after_an_earlier_one() -> None:
    _, record = verify(ALICE, code(STEP - 1), NOW, POLICY)
    assert ACCEPTED == verify(record, code(STEP), NOW, POLICY)[0].outcome


def test_one_secret_under_two_labels_does_not_make_a_code_good_twice() -> None:
    twice = ALICE._replace(authenticators=(PHONE, PHONE._replace(id="copy", label="tablet")))
    _, record = verify(twice, code(STEP), NOW, POLICY)
    assert REPLAYED == verify(record, code(STEP), NOW, POLICY)[0].outcome


def test_a_replay_is_no_guess() -> None:
    record = fail(ALICE._replace(authenticators=(PHONE._replace(last_accepted_step=STEP),)), 4)
    for _ in range(200):
        verdict, record = verify(record, code(STEP), NOW, POLICY)
        assert REPLAYED == verdict.outcome
    assert 4 == record.failures


@each(
    ("accepted", "drift", "second", "wait"),
    [(0, 0, 0, 30), (0, 0, 29, 1), (1, 0, 0, 60), (1, 0, 10, 50), (-1, 0, 0, 30), (3, 3, 0, 30)],
)
def test_a_replay_tells_how_long_the_next_code_takes(
    accepted: int, drift: int, second: int, wait: int
) -> None:
    phone = PHONE._replace(last_accepted_step=STEP + accepted, drift=drift)
    record = ALICE._replace(authenticators=(phone,))
    verdict, _ = verify(record, code(STEP + accepted), NOW + second, POLICY)
    assert Verdict(REPLAYED, "phone", wait) == verdict


@given(st.integers(0, 10), st.integers(-5, 5), st.integers(0, 29), st.integers(0, 10**6))
def test_the_wait_of_a_replay_is_at_least_a_second_and_at_most_the_window(
    window: int, drift: int, second: int, ahead: int
) -> None:
    phone = PHONE._replace(last_accepted_step=STEP + drift + ahead, drift=drift)
    record = ALICE._replace(authenticators=(phone,))
    policy = Policy(window=window)
    verdict, _ = verify(record, code(STEP + drift), NOW + second, policy)
    assert REPLAYED == verdict.outcome
    assert 1 <= verdict.wait <= 30 * (window + 1)


moments_and_steps = st.lists(st.tuples(st.integers(-6, 6), st.integers(-6, 6)), max_size=30)


@given(moments_and_steps, st.integers(0, 3), st.integers(-3, 3))
def test_no_step_is_accepted_twice_whatever_the_order_of_codes_and_the_clock(
    moves: list[tuple[int, int]], window: int, drift: int
) -> None:
    record = ALICE._replace(authenticators=(PHONE._replace(drift=drift),))
    policy = Policy(window=window, throttle_after=100)
    accepted = []
    for clock, offset in moves:
        (phone,) = record.authenticators
        now = NOW + 30 * clock
        verdict, record = verify(record, code(STEP + offset), now, policy)
        if verdict.outcome == ACCEPTED:
            ahead = STEP + offset - phone.current_step(now)
            assert ahead in phone.accepted_offsets(now, window, policy.look_ahead)
            accepted.append(offset)
    assert sorted(set(accepted)) == accepted


def test_an_accepted_code_of_two_steps_uses_up_both() -> None:
    """Codes have six digits: now and then two steps of a window share one."""
    first, second = neighbours_of_one_code()
    now = 30 * first
    policy = Policy(window=second - first)
    _, record = verify(ALICE, code(first), now, policy)
    assert second == record.authenticators[0].last_accepted_step
    assert REPLAYED == verify(record, code(second), 30 * second, policy)[0].outcome


def test_a_code_shared_with_a_used_step_is_accepted_for_the_step_that_is_not_used() -> None:
    first, second = neighbours_of_one_code()
    phone = PHONE._replace(last_accepted_step=first)
    policy = Policy(window=second - first)
    record = ALICE._replace(authenticators=(phone,))
    verdict, record = verify(record, code(second), 30 * first, policy)
    assert ACCEPTED == verdict.outcome
    assert second == record.authenticators[0].last_accepted_step


@pytest.mark.parametrize("back", [30, 60, 3600, 86400 * 365])
def test_a_clock_set_back_does_not_reopen_codes(back: int) -> None:
    _, record = verify(ALICE, code(STEP), NOW, POLICY)
    step_then = (NOW - back) // 30
    verdict, after = verify(record, code(step_then), NOW - back, POLICY)
    assert REPLAYED == verdict.outcome
    assert record == after


@each("back", [1, 31, 3600, 86400 * 365])
@each("failures", [5, 6, 50])
def test_a_clock_set_back_does_not_stretch_the_wait(back: int, failures: int) -> None:
    waiting = fail(ALICE, failures)
    started = waiting.throttled_until - throttle_wait(failures, POLICY)
    now = started - back
    wait = throttle_wait(failures, POLICY)
    verdict, record = verify(waiting, WRONG, now, POLICY)
    assert Verdict(THROTTLED, wait=wait) == verdict
    assert now + wait == record.throttled_until
    assert THROTTLED == verify(record, WRONG, now + wait - 1, POLICY)[0].outcome
    assert ACCEPTED == verify(record, code((now + wait) // 30), now + wait, POLICY)[0].outcome


def test_asking_during_a_wait_does_not_stretch_it() -> None:
    record = fail(ALICE, 5)
    for second in range(30):
        verdict, record = verify(record, WRONG, NOW + second, POLICY)
        assert Verdict(THROTTLED, wait=30 - second) == verdict
    assert ACCEPTED == verify(record, code(STEP + 1), NOW + 30, POLICY)[0].outcome


@pytest.mark.parametrize(
    ("ahead", "window", "drift", "behind"),
    [(1, 1, 0, False), (2, 1, 0, True), (0, 0, 0, False), (1, 0, 0, True), (5, 1, 4, False)],
)
def test_a_step_that_no_window_explains_tells_of_a_clock_set_back(
    ahead: int, window: int, drift: int, behind: bool
) -> None:
    phone = PHONE._replace(last_accepted_step=STEP + ahead, drift=drift)
    assert behind == phone.clock_is_behind(NOW, window)


@pytest.mark.parametrize("answer", [code(STEP), WRONG], ids=["replayed", "wrong"])
def test_a_refusal_under_a_clock_set_back_says_so(answer: Answer) -> None:
    phone = PHONE._replace(last_accepted_step=STEP + 100)
    verdict, _ = verify(ALICE._replace(authenticators=(phone,)), answer, NOW, POLICY)
    assert verdict.clock_is_behind


@pytest.mark.parametrize("answer", [code(STEP), WRONG], ids=["replayed", "wrong"])
def test_a_refusal_under_a_right_clock_does_not_speak_of_clocks(answer: Answer) -> None:
    phone = PHONE._replace(last_accepted_step=STEP)
    verdict, _ = verify(ALICE._replace(authenticators=(phone,)), answer, NOW, POLICY)
    assert not verdict.clock_is_behind


@each("now", [0, 29, -1, -(10**9), 2**31, 2**33])
def test_any_clock_is_survived(now: int) -> None:
    for answer in (WRONG, code(0), code(1)):
        verdict, record = verify(ALICE, answer, now, POLICY)
        assert verdict.outcome in (ACCEPTED, REJECTED)
        verify(record, answer, now, POLICY)
