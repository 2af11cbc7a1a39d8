"""How many connections there may be, and whose refusal is logged."""

from __future__ import annotations

import pytest

from pam_totp.service import crowd
from pam_totp.service.crowd import (
    MAX_CONNECTIONS,
    MAX_OF_ONE_USER,
    MAX_OF_OTHERS,
    TELL_SECONDS,
    Crowd,
)
from pam_totp.service.worker import Peer

ROOT, STRANGER = Peer(1, 0), Peer(1, 12345)


def of_user(number: int) -> Peer:
    return Peer(1, 20000 + number)


def test_limits_are_those_of_the_page() -> None:
    assert (2000, 8, 500) == (MAX_CONNECTIONS, MAX_OF_ONE_USER, MAX_OF_OTHERS)


def test_root_has_them_all() -> None:
    everybody = Crowd()
    assert {""} == {everybody.enter(ROOT) for _ in range(MAX_CONNECTIONS)}
    assert "too many connections" == everybody.enter(ROOT)
    everybody.leave(ROOT)
    assert "too many connections" == everybody.enter(STRANGER)


def test_nobody_who_is_refused_takes_a_place_from_root() -> None:
    """Those without root keep theirs for half a second, as many as they like."""
    everybody = Crowd()
    for _ in range(2 * MAX_CONNECTIONS):
        everybody.enter(STRANGER)
    assert "" == everybody.enter(ROOT)


def test_each_user_but_root_has_a_few() -> None:
    everybody = Crowd()
    assert {""} == {everybody.enter(STRANGER) for _ in range(MAX_OF_ONE_USER)}
    assert "too many connections of one user" == everybody.enter(STRANGER)
    assert "" == everybody.enter(of_user(1))
    assert "" == everybody.enter(ROOT)


def test_programs_without_root_leave_room_for_root() -> None:
    everybody = Crowd()
    assert {""} == {everybody.enter(of_user(number)) for number in range(MAX_OF_OTHERS)}
    assert "too many connections without root" == everybody.enter(STRANGER)
    assert "" == everybody.enter(ROOT)


def test_whoever_leaves_is_counted_no_longer_refused_or_not() -> None:
    everybody = Crowd()
    for _ in range(3):
        for _ in range(MAX_OF_ONE_USER):
            assert "" == everybody.enter(STRANGER)
        assert everybody.enter(STRANGER)
        for _ in range(MAX_OF_ONE_USER + 1):
            everybody.leave(STRANGER)
    assert (0, 0, {}) == (everybody.count, everybody._of_others, everybody._of_user)


def test_refusals_of_programs_without_root_do_not_fill_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 5.0
    monkeypatch.setattr(crowd.time, "monotonic", lambda: now)
    everybody = Crowd()
    assert [True, False, False] == [everybody.is_news(STRANGER) for _ in range(3)]
    assert [True, True] == [everybody.is_news(ROOT) for _ in range(2)]
    now += TELL_SECONDS
    assert [True, False] == [everybody.is_news(of_user(n)) for n in range(2)]
