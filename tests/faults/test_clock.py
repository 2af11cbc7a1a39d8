"""A clock that is set back, or was far ahead: no code opens again, and nobody waits for years."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pam_totp.login import messages
from pam_totp.login.flow import PAM_AUTH_ERR, PAM_MAXTRIES, PAM_SUCCESS
from tests.faults.fake_pam import Clock, log_in
from tests.support.logs import fields
from tests.support.place import Place

HOUR, DAY, YEAR = 3600, 86400, 365 * 86400
RECOVERY_CODE = "0123-4567-89AB-CDEF"
News = Callable[[], list[str]]


def clock_warnings(news: News) -> list[dict[str, str]]:
    errors = [fields(line) for line in news() if "event=error" in line]
    assert all(messages.CLOCK_IS_BEHIND == error["reason"] for error in errors)
    return errors


@pytest.mark.parametrize("seconds", [90, HOUR, DAY, YEAR, 30 * YEAR])
def test_a_clock_set_back_opens_no_code_again(
    place: Place, clock: Clock, news: News, seconds: int
) -> None:
    """Neither those accepted before, nor those of the time gone through twice."""
    place.enrol("alice")
    assert PAM_SUCCESS == log_in(place, clock.code())
    right_time = clock.now
    assert [] == clock_warnings(news)
    clock.now -= seconds
    for offset in (-1, 0, 1):
        assert PAM_AUTH_ERR == log_in(place, clock.code(offset))
        (warning,) = clock_warnings(news)
        assert "timedatectl" in warning["hint"]
        assert "totpctl show alice" in warning["hint"]
    assert 0 == place.record("alice").failures
    clock.now = right_time
    assert PAM_AUTH_ERR == log_in(place, clock.code())
    assert PAM_SUCCESS == log_in(place, clock.code(1))
    assert [] == clock_warnings(news)


def test_a_clock_set_back_by_a_step_is_no_reason_to_warn(
    place: Place, clock: Clock, news: News
) -> None:
    place.enrol("alice")
    assert PAM_SUCCESS == log_in(place, clock.code())
    clock.now -= 30
    assert PAM_AUTH_ERR == log_in(place, clock.code())
    assert PAM_AUTH_ERR == log_in(place, clock.code(1))
    assert [] == clock_warnings(news)


@pytest.mark.parametrize("seconds", [DAY, YEAR])
def test_after_a_clock_far_ahead_its_codes_stay_used_and_the_log_says_why(
    place: Place, clock: Clock, news: News, seconds: int
) -> None:
    place.enrol("alice", recovery_codes=(RECOVERY_CODE,))
    clock.now += seconds
    assert PAM_SUCCESS == log_in(place, clock.code())
    step = place.record("alice").authenticators[0].last_accepted_step
    clock.now -= seconds
    news()
    assert PAM_AUTH_ERR == log_in(place, clock.code())
    assert 1 == len(clock_warnings(news))
    assert PAM_AUTH_ERR == log_in(place, clock.wrong_code())
    assert 1 == len(clock_warnings(news))
    assert PAM_SUCCESS == log_in(place, RECOVERY_CODE)
    assert step == place.record("alice").authenticators[0].last_accepted_step
    clock.now += seconds
    assert PAM_AUTH_ERR == log_in(place, clock.code())
    assert PAM_SUCCESS == log_in(place, clock.code(1))


def test_a_recovery_code_and_another_device_work_while_the_clock_is_behind(
    place: Place, clock: Clock
) -> None:
    place.enrol("alice", recovery_codes=(RECOVERY_CODE,))
    other = b"another device's own"
    place.enrol("alice", other, label="tablet")
    assert PAM_SUCCESS == log_in(place, clock.code())
    clock.now -= DAY
    assert PAM_AUTH_ERR == log_in(place, clock.code())
    assert PAM_SUCCESS == log_in(place, clock.code(0, other))
    assert PAM_AUTH_ERR == log_in(place, clock.code(0, other))
    assert PAM_SUCCESS == log_in(place, RECOVERY_CODE)
    assert PAM_AUTH_ERR == log_in(place, RECOVERY_CODE)


@pytest.mark.parametrize("user", ["alice", "mallory"])
@pytest.mark.parametrize("seconds", [31, HOUR, DAY, YEAR])
def test_a_clock_set_back_does_not_stretch_the_wait(
    place: Place, clock: Clock, seconds: int, user: str
) -> None:
    """Of one who is enrolled, and of one who is not."""
    place.enrol("alice")
    for _ in range(5):
        assert PAM_AUTH_ERR == log_in(place, clock.wrong_code(), user)
    clock.now -= seconds
    for waited in range(0, 30, 10):
        assert PAM_MAXTRIES == log_in(place, clock.wrong_code(), user), f"{waited} s"
        clock.now += 10
    assert PAM_AUTH_ERR == log_in(place, clock.wrong_code(), user)


def test_attempts_while_waiting_do_not_make_the_wait_longer(place: Place, clock: Clock) -> None:
    place.enrol("alice")
    for _ in range(5):
        log_in(place, clock.wrong_code())
    for _ in range(30):
        assert PAM_MAXTRIES == log_in(place, clock.code())
        clock.now += 1
    assert 5 == place.record("alice").failures
    assert PAM_SUCCESS == log_in(place, clock.code())


def test_a_clock_set_ahead_ends_the_wait_and_keeps_the_count(place: Place, clock: Clock) -> None:
    place.enrol("alice")
    for _ in range(5):
        log_in(place, clock.wrong_code())
    clock.now += DAY
    assert PAM_AUTH_ERR == log_in(place, clock.wrong_code())
    assert 6 == place.record("alice").failures
    assert clock.now + 60 == place.record("alice").throttled_until


def test_a_lock_is_no_matter_of_the_clock(place: Place, clock: Clock) -> None:
    place.enrol("alice", failures=100)
    for moved in (0, YEAR, -2 * YEAR):
        clock.now += moved
        assert PAM_MAXTRIES == log_in(place, clock.code())
    assert 100 == place.record("alice").failures


@pytest.mark.parametrize("now", [0, 29, 2**31 - 1, 2**31, 2**32, 2**33])
def test_a_clock_at_the_ends_of_its_range_works(place: Place, clock: Clock, now: int) -> None:
    place.enrol("alice")
    clock.now = now
    assert PAM_SUCCESS == log_in(place, clock.code())
    assert PAM_AUTH_ERR == log_in(place, clock.code())
    clock.now += 30
    assert PAM_SUCCESS == log_in(place, clock.code())
