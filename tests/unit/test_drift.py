"""Drift: learned from accepted codes (RFC 6238 section 6), and set by two codes in a row."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pam_totp.core import otp, resynchronisation
from pam_totp.core.users import MOST_LEARNED, Authenticator, UserRecord
from pam_totp.core.verifier import ACCEPTED, REJECTED, Policy, Verdict, verify
from tests.support.each import each
from tests.unit.alice import ALICE, NOW, PHONE, POLICY, code

TOKEN = PHONE._replace(kind=otp.HOTP)
PERIODS = (15, 30, 60, 120)
WINDOWS = range(4)
UNTHROTTLED = Policy(throttle_after=100)
learned_seconds = st.integers(-MOST_LEARNED, MOST_LEARNED)
moments = st.integers(NOW, NOW + 10**6)


def holder(**fields: int) -> UserRecord:
    return ALICE._replace(authenticators=(PHONE._replace(**fields),))


def learned_of(record: UserRecord) -> int:
    return record.authenticators[0].learned


def log_in(
    record: UserRecord, clocks: Iterable[int], *, window: int = 1, second: int = 15
) -> Iterator[UserRecord]:
    """Log in every hour with the code of a clock that is so many seconds ahead of this machine's.

    Each time in that second of a period, and with a right code of the window.
    """
    policy = UNTHROTTLED._replace(window=window)
    (phone,) = record.authenticators
    for number, ahead in enumerate(clocks):
        at = (NOW // 120 + 30 * number) * 120 + second
        verdict, record = verify(record, code((at + ahead) // phone.period), at, policy)
        assert ACCEPTED == verdict.outcome, (number, ahead, record.authenticators)
        yield record


# What is accepted


@given(moments, st.sampled_from(PERIODS), st.integers(-5, 5), learned_seconds)
@example(NOW, 30, 0, 12)
@example(NOW, 30, 0, -MOST_LEARNED)
def test_what_was_learned_never_locks_out_the_code_that_is_good_without(
    now: int, period: int, drift: int, learned: int
) -> None:
    phone = PHONE._replace(period=period, drift=drift, learned=learned)
    for window in WINDOWS:
        accepted = accepted_steps(phone, now, window)
        assert 2 * window + 1 == len(set(accepted)) == len(accepted)
        assert now // period + drift in accepted
        if window:
            assert (now + phone.followed) // period + drift in accepted
        assert max(accepted) <= phone.latest_step(now, window)
        others = {step - phone.current_step(now) for step in accepted}
        others -= {now // period + drift - phone.current_step(now)}
        assert others <= {*range(-window, window + 1)}


def accepted_steps(phone: Authenticator, now: int, window: int) -> list[int]:
    """Return the steps whose codes verify() accepts, of those from 70 before to 70 after now."""
    record = ALICE._replace(authenticators=(phone,))
    policy = Policy(window=window)
    looked_at: list[int] = []

    def watched(_phone: Authenticator, _code: str, steps: Iterable[int]) -> list[int]:
        looked_at.extend(steps)
        return []

    verdict, after = verify(record, code(0), now, policy, watched)
    assert (REJECTED, phone) == (verdict.outcome, after.authenticators[0])
    return looked_at[: 2 * window + 1]


@given(
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from(WINDOWS)), min_size=1, max_size=80),
    st.randoms(use_true_random=False),
    st.sampled_from(PERIODS),
)
def test_the_code_of_a_right_clock_is_good_however_slowly_codes_were_typed_before(
    delays: list[tuple[int, int]], chance: random.Random, period: int
) -> None:
    record, at = holder(period=period), NOW
    for delay, window in delays:
        at += 1000 + chance.randrange(period)
        policy = UNTHROTTLED._replace(window=window)
        _, record = verify(record, code((at - delay) // period), at, policy)
        prompt = code((at + 500) // period)
        for narrower in WINDOWS:
            verdict, _ = verify(record, prompt, at + 500, Policy(window=narrower))
            assert Verdict(ACCEPTED, "phone") == verdict._replace(failed_before=0)


@given(
    st.integers(-18, 0),
    st.lists(st.integers(0, 60), min_size=1, max_size=60),
    st.randoms(use_true_random=False),
)
def test_slow_typing_moves_the_window_only_for_whoever_is_always_slow(
    clock: int, delays: list[int], chance: random.Random
) -> None:
    """A code that comes within ten seconds on average leaves everything as it is."""
    record, at = holder(), NOW
    for number, delay in enumerate(delays):
        at += 1000 + chance.randrange(30)
        late = delay if number % 6 == 0 else delay % 10
        _, record = verify(record, code((at + clock // 9 - late) // 30), at, UNTHROTTLED)
        for earlier in (0, 1):
            verdict, _ = verify(record, code((at + 500) // 30 - earlier), at + 500, UNTHROTTLED)
            assert ACCEPTED == verdict.outcome


def drifting(
    period: int, rate: float, window: int, chance: random.Random
) -> Iterator[tuple[float, int, UserRecord]]:
    """Log in daily with a token whose clock goes wrong by ``rate`` seconds between two logins.

    Codes are typed within 20 seconds, or two thirds of a short period. A code that is refused is
    followed by the next one. Yield how far off the clock is, and how many codes the login took.
    """
    policy = Policy(window=window, throttle_after=100)
    record, at, off = holder(period=period), NOW, 0.0
    while abs(off) < MOST_LEARNED - 2 * period:
        at += 86_400 + chance.randrange(period)
        off += rate
        tried = 0
        for _ in range(6):
            tried += 1
            delay = chance.uniform(0, min(20, 2 * period / 3))
            verdict, record = verify(record, code(int(at + off - delay) // period), at, policy)
            if verdict.outcome == ACCEPTED:
                break
            at += chance.randrange(period, 2 * period)
        yield off, tried if verdict.outcome == ACCEPTED else 99, record


@each("period", PERIODS)
@each("rate", [1.0, -1.0, 0.3, -0.3, 2.0, -2.0])
def test_a_clock_that_goes_wrong_slowly_is_followed_for_ten_minutes(
    period: int, rate: float
) -> None:
    rate *= min(period / 30, 1)
    tries = []
    for off, tried, record in drifting(period, rate, 1, random.Random(6238)):
        tries.append(tried)
        assert abs(off - learned_of(record)) < 2 * period
    assert max(tries) <= 5
    assert sum(tries) <= 1.06 * len(tries), "nine in ten logins take one code"


@each("second", [0, 7, 14, 15, 22, 29])
@each("direction", [1, -1])
def test_also_by_logins_in_the_same_second_of_each_period(second: int, direction: int) -> None:
    clocks = [direction * day // 2 - 3 for day in range(2 * MOST_LEARNED)]
    *_, last = log_in(holder(), clocks, second=second)
    assert abs(direction * MOST_LEARNED - learned_of(last)) < 30


def test_what_is_learned_has_an_end() -> None:
    for direction in (1, -1):
        *_, last = log_in(
            holder(learned=direction * 590), [direction * clock for clock in range(590, 640)]
        )
        assert direction * MOST_LEARNED == learned_of(last)


# When the clock of this machine was wrong, and is right again


def test_once_this_machine_s_clock_is_right_again_what_it_taught_is_unlearned() -> None:
    learned = []
    for record in log_in(holder(learned=300), [0] * 12):
        learned.append(learned_of(record))
    assert sorted(learned, reverse=True) == learned
    assert 200 == learned[0]
    assert learned[-1] < 12


@given(
    moments,
    st.sampled_from(PERIODS),
    st.sampled_from(WINDOWS),
    learned_seconds,
    st.integers(0, 10**5),
)
def test_a_clock_set_back_and_an_unlock_make_no_used_code_good_again(
    now: int, period: int, window: int, learned: int, back: int
) -> None:
    policy = UNTHROTTLED._replace(window=window)
    record = holder(period=period, learned=learned)
    (phone,) = record.authenticators
    used = phone.base_step(now)
    _, record = verify(record, code(used), now, policy)
    now -= back
    shown = [phone.current_step(now) + n for n in phone.accepted_offsets(now, window, 5)]
    for at_that_clock in (record, record.unlocked(now, window)):
        for step in shown:
            verdict, _ = verify(at_that_clock, code(step), now, policy)
            assert step > used or verdict.outcome != ACCEPTED
    later = now + (window + 2) * period + MOST_LEARNED
    verdict, _ = verify(record.unlocked(now, window), code(later // period), later, policy)
    assert ACCEPTED == verdict.outcome


# How it is learned


@each(
    ("second", "steps", "learned"),
    [(15, 0, 0), (0, 0, 5), (29, 0, -5), (29, -1, -15), (0, 1, 15), (14, 1, 10)],
)
def test_a_code_moves_it_by_a_third_of_what_it_tells(second: int, steps: int, learned: int) -> None:
    (record,) = log_in(holder(), [30 * steps], second=second)
    assert learned == learned_of(record)
    (again,) = log_in(holder(drift=-7), [30 * (steps - 7)], second=second)
    assert learned == learned_of(again)


@pytest.mark.parametrize(("learned", "followed"), [(11, 0), (-11, 0), (12, 12), (-12, -12)])
def test_seconds_of_typing_leave_the_window_where_it_is(learned: int, followed: int) -> None:
    assert followed == PHONE._replace(learned=learned).followed
    assert 4 * followed == PHONE._replace(learned=4 * learned, period=120).followed


@each(
    ("learned", "second", "offsets"),
    [
        (-11, 0, [-1, 0, 1]),
        (-30, 0, [-2, -1, 0]),
        (-60, 0, [-3, -2, 0]),
        (-60, 19, [-3, -2, 0]),
        (-60, 20, [-2, -1, 0]),
        (60, 9, [0, 1, 2]),
        (60, 10, [0, 2, 3]),
        (300, 0, [0, 9, 10]),
        (300, 29, [0, 10, 11]),
    ],
)
def test_a_window_that_has_moved_away_gives_up_an_end_for_the_code_of_a_right_clock(
    learned: int, second: int, offsets: list[int]
) -> None:
    now = NOW // 30 * 30 + second
    steps = accepted_steps(PHONE._replace(learned=learned), now, 1)
    assert offsets == [step - now // 30 for step in steps]
    assert [now // 30] == accepted_steps(PHONE._replace(learned=learned), now, 0)


def test_a_counter_learns_nothing_of_a_clock() -> None:
    record = ALICE._replace(authenticators=(TOKEN,))
    for counter in range(9):
        verdict, record = verify(record, code(counter), NOW + 999 * counter, POLICY)
        assert ACCEPTED == verdict.outcome
        assert 0 == learned_of(record)


@given(
    st.lists(st.tuples(st.integers(-25, 25), st.integers(0, 500)), min_size=1, max_size=60),
    st.sampled_from(WINDOWS),
    st.integers(-22, 22),
    learned_seconds,
)
def test_no_step_is_accepted_twice_nor_an_earlier_one_however_the_window_moves(
    codes: list[tuple[int, int]], window: int, drift: int, learned: int
) -> None:
    policy = Policy(window=window, throttle_after=100)
    record, at, accepted = holder(drift=drift, learned=learned), NOW, []
    for offset, seconds in codes:
        at += seconds
        (before,) = record.authenticators
        verdict, record = verify(record, code(at // 30 + offset), at, policy)
        (after,) = record.authenticators
        assert (before.drift, verdict.clock_is_behind) == (after.drift, False)
        if verdict.outcome == ACCEPTED:
            accepted.append(at // 30 + offset)
            tells = 30 * (offset - drift) + 15 - at % 30
            assert 3 * abs(after.learned - tells) <= 2 * abs(before.learned - tells) + 2 or (
                MOST_LEARNED == abs(after.learned)
            )
        else:
            assert before.learned == after.learned
    assert sorted(set(accepted)) == accepted


def test_what_a_replay_tells_to_wait_is_by_the_clock_that_is_followed() -> None:
    phone = PHONE._replace(learned=-100)
    shown = (NOW - 100) // 30
    record = ALICE._replace(authenticators=(phone._replace(last_accepted_step=shown),))
    verdict, _ = verify(record, code(shown), NOW, POLICY)
    assert Verdict("replayed", "phone", 10) == verdict
    assert shown + 1 == (NOW + 10 - 100) // 30


@pytest.mark.parametrize(
    ("off", "period", "drift"),
    [(0, 60, 0), (-3, 120, 2), (22_319, 120, -1), (-22_320, 120, 0), (-9000, 30, 9)],
)
def test_two_codes_in_a_row_tell_the_step_of_a_clock(off: int, period: int, drift: int) -> None:
    phone = PHONE._replace(period=period, drift=drift)
    shown = NOW // period + off
    found = resynchronisation.second_step(phone, *codes(shown - 1, shown), NOW)
    assert shown == found
    after = phone._replace(learned=-77).resynchronised(shown, NOW)
    assert (off, 0) == (after.drift, after.learned)


def codes(*steps: int) -> list[str]:
    return [code(step).code for step in steps]


@each("ahead", [0, 1, 9, 998])
@each("last", [-1, 0, 70])
def test_two_codes_in_a_row_tell_a_counter(ahead: int, last: int) -> None:
    token = TOKEN._replace(last_accepted_step=last)
    second = last + 1 + ahead + (last < 0)
    found = resynchronisation.second_step(token, *codes(second - 1, second), NOW)
    assert second == found
    after = token.resynchronised(second, NOW)
    assert (second + 1, 0) == (after.counter, after.drift)


def not_found(authenticator: Authenticator, *steps: int) -> bool:
    first, second = codes(*steps)
    return resynchronisation.second_step(authenticator, first, second, NOW) is None


def test_codes_that_are_not_in_a_row_tell_nothing() -> None:
    assert not_found(PHONE, NOW // 30, NOW // 30 + 2)
    assert not_found(PHONE, NOW // 30 + 1, NOW // 30)
    assert not_found(TOKEN, 5, 7)
    assert not_found(TOKEN, 5, 5)


def test_the_search_is_bounded() -> None:
    phone, shown = PHONE._replace(period=120), NOW // 120
    for off in (22_321, -22_321):
        assert not_found(phone, shown + off - 1, shown + off)
    assert not_found(TOKEN, resynchronisation.COUNTERS_SEARCHED, 1001)
    assert not_found(TOKEN._replace(last_accepted_step=7), 6, 7)
