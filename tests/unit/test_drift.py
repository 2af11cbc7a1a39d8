"""Drift: learned slowly from accepted codes (RFC 6238 section 6), and set by two codes in a row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core import otp, resynchronisation
from pam_totp.core.users import DRIFT_AFTER, LEARNED_DRIFT, Authenticator, UserRecord
from pam_totp.core.verifier import ACCEPTED, Policy, verify
from tests.unit.alice import ALICE, NOW, PHONE, POLICY, code

TOKEN = PHONE._replace(kind=otp.HOTP)


def log_in(record: UserRecord, offsets: list[int], now: int = NOW) -> UserRecord:
    """Log in every five minutes, with codes that are so many steps ahead of this machine."""
    for number, offset in enumerate(offsets):
        at = now + 300 * number
        verdict, record = verify(record, code(at // 30 + offset), at, POLICY)
        assert ACCEPTED == verdict.outcome, (number, offset)
    return record


def drift_after(*offsets: int, drift: int = 0) -> int:
    record = ALICE._replace(authenticators=(PHONE._replace(drift=drift),))
    return log_in(record, list(offsets)).authenticators[0].drift


def test_codes_that_are_always_late_move_the_drift_by_one_step() -> None:
    assert [0, 0, -1] == [drift_after(*[-1] * number) for number in (1, 2, DRIFT_AFTER)]
    assert [0, 0, 1] == [drift_after(*[1] * number) for number in (1, 2, DRIFT_AFTER)]


@pytest.mark.parametrize("offsets", [(-1, -1, 0, -1, -1), (-1, -1, 1, -1), (1, 1, -1, 1, 1)])
def test_slow_typing_now_and_then_moves_nothing(offsets: tuple[int, ...]) -> None:
    assert 0 == drift_after(*offsets)


def test_a_clock_that_goes_wrong_for_years_is_followed() -> None:
    offsets = [-(number // 9) for number in range(9 * LEARNED_DRIFT)]
    assert -LEARNED_DRIFT + 2 >= drift_after(*offsets)


def test_logins_move_it_so_far_and_no_further() -> None:
    late = [-LEARNED_DRIFT - 1] * 9
    assert -LEARNED_DRIFT == drift_after(*late, drift=-LEARNED_DRIFT)
    assert LEARNED_DRIFT == drift_after(*[-n for n in late], drift=LEARNED_DRIFT)


def test_a_drift_that_was_set_beyond_that_may_come_back() -> None:
    assert 99 == drift_after(99, 99, 99, drift=100)
    assert 100 == drift_after(101, 101, 101, drift=100)


@given(
    st.lists(st.integers(-25, 25), min_size=1, max_size=60),
    st.integers(0, 3),
    st.integers(-22, 22),
)
def test_what_is_accepted_is_never_wider_and_moves_by_one_step_at_a_login(
    offsets: list[int], window: int, drift: int
) -> None:
    policy = Policy(window=window, throttle_after=100)
    record = ALICE._replace(authenticators=(PHONE._replace(drift=drift),))
    for number, offset in enumerate(offsets):
        at = NOW + 3600 * number
        (before,) = record.authenticators
        verdict, record = verify(record, code(at // 30 + offset), at, policy)
        (after,) = record.authenticators
        assert abs(after.drift) <= max(LEARNED_DRIFT, abs(drift))
        assert abs(after.drift - before.drift) <= (verdict.outcome == ACCEPTED)
        if verdict.outcome == ACCEPTED:
            assert abs(offset - before.drift) <= window
            assert abs(offset - after.drift) <= window


def test_a_window_of_one_step_learns_nothing() -> None:
    policy = POLICY._replace(window=0)
    record = ALICE
    for number in range(9):
        _, record = verify(record, code(NOW // 30 + number), NOW + 30 * number, policy)
    assert 0 == record.authenticators[0].drift


@pytest.mark.parametrize(
    ("off", "period", "drift"),
    [(0, 60, 0), (-3, 120, 2), (22_319, 120, -1), (-22_320, 120, 0), (-9000, 30, 9)],
)
def test_two_codes_in_a_row_tell_the_step_of_a_clock(off: int, period: int, drift: int) -> None:
    phone = PHONE._replace(period=period, drift=drift)
    shown = NOW // period + off
    found = resynchronisation.second_step(phone, *codes(shown - 1, shown), NOW)
    assert shown == found
    assert off == phone.resynchronised(shown, NOW).drift


def codes(*steps: int) -> list[str]:
    return [code(step).code for step in steps]


@pytest.mark.parametrize("ahead", [0, 1, 9, 998])
@pytest.mark.parametrize("last", [-1, 0, 70])
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
