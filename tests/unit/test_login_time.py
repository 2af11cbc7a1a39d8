"""Which time counts for a code at a login, and what a clock that was set does to it."""

from __future__ import annotations

import time

import pytest

from pam_totp.login import messages
from tests.support.place import code_at, code_now
from tests.unit.door import Door


def test_a_fraction_of_a_second_does_not_move_a_step(door: Door) -> None:
    door.clock.now += 29.999
    assert "PAM_SUCCESS" == door.login(code_at(1_700_000_010), argv=["window=0"]).result
    assert 1_700_000_010 // 30 == door.place.record("alice").authenticators[0].last_accepted_step


@pytest.mark.parametrize("second", [-1800, -1, 0, 1800, 3599])
def test_codes_are_right_in_the_hour_that_comes_twice(
    door: Door, second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.clock.now = 1729990800 + second  # summer time ends in Berlin
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert "PAM_SUCCESS" == door.login(code_at(door.clock.now)).result
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_the_time_that_counts_is_that_of_the_answer_and_not_of_the_prompt(door: Door) -> None:
    old = code_now()
    slow = door.meanwhile(old, lambda: door.clock.advance(3600))
    assert "PAM_AUTH_ERR" == door.login(slow, argv=["attempts=1"]).result


def test_a_clock_set_back_is_refused_and_named_in_the_log(door: Door) -> None:
    door.login(code_now())
    door.clock.advance(-3600)
    entered = door.login(code_now(), argv=["attempts=1"])
    assert "PAM_AUTH_ERR" == entered.result
    assert ["accepted", "replayed", "error"] == door.log.events()
    assert messages.CLOCK_IS_BEHIND in door.log.lines()[-1]
    assert "timedatectl; then run: totpctl show alice" in door.log.lines()[-1]
