"""Everybody logs in and enrols while the key is rotated: nobody is denied, nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from admin_cli import running
from admin_cli.commands import rotation
from admin_cli.main import totpctl
from pam_totp import store
from pam_totp.login import driver
from pam_totp.login.flow import PAM_SUCCESS
from pam_totp.store.sqlite import resealing
from tests.faults.fake_pam import Clock, log_in
from tests.faults.processes import Meet, together
from tests.faults.rotating import (
    PEOPLE,
    assert_finished,
    assert_logins_work,
    envelopes_of,
    rotate,
    with_people,
)
from tests.support.place import Place

ROTATIONS = 8


@pytest.fixture
def place(place: Place) -> Place:
    """Two people and a decoy's wrong codes, in a folder that the tests may put back."""
    return with_people(place.folder)


def logins_until(place: Place, clock: Clock, name: str, is_over: Callable[[], bool]) -> list[int]:
    results = []
    while not is_over():
        clock.now += 30
        results.append(log_in(place, clock.code(0, PEOPLE[name]), name))
    return results


def enrolments_until(place: Place, number: int, is_over: Callable[[], bool]) -> list[str]:
    names: list[str] = []
    while not is_over():
        names.append(f"new{number}-{len(names)}")
        place.enrol(names[-1], names[-1].encode())
    return names


def assert_nothing_was_lost(place: Place, enrolled: list[str]) -> None:
    with place.open() as opened:
        assert [] == opened.check()
        for name in enrolled:
            with opened.transaction(name) as transaction:
                assert transaction.record is not None
                (authenticator,) = transaction.record.authenticators
            assert name.encode() == authenticator.secret


def test_of_all_who_log_in_and_enrol_meanwhile_nobody_is_denied_and_nothing_is_lost(
    place: Place, clock: Clock
) -> None:
    over = place.folder.with_name("over")

    def act(number: int, meet: Meet) -> list[Any]:
        meet()
        if number == 0:
            try:
                return [rotate(place) for _ in range(ROTATIONS)]
            finally:
                over.touch()
        if number == 1:
            return enrolments_until(place, number, over.exists)
        return list(logins_until(place, clock, list(PEOPLE)[number - 2], over.exists))

    rotations, enrolled, *logins = together(4, act)
    assert ["done"] * ROTATIONS == rotations
    assert [{PAM_SUCCESS}] * 2 == [set(results) for results in logins]
    assert enrolled
    assert_nothing_was_lost(place, enrolled)


def serve(place: Place, clock: Clock, is_over: Callable[[], bool]) -> tuple[set[int], list[str]]:
    """Do the same on threads, over connections that stay open, as a service does."""
    driver.Uninterrupted = threading.Lock  # type: ignore[misc,assignment]
    keeper, results, enrolled = store.kept_connections(), list[int](), list[str]()
    Place.connections = staticmethod(keeper.open)  # type: ignore[assignment]
    threads = [
        threading.Thread(target=act)
        for act in (
            lambda: results.extend(logins_until(place, clock, "bob", is_over)),
            lambda: enrolled.extend(enrolments_until(place, 0, is_over)),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    keeper.close_idle(linger=0)
    return set(results), enrolled


def test_a_service_that_keeps_its_connections_serves_on(place: Place, clock: Clock) -> None:
    over = place.folder.with_name("over")

    def act(number: int, meet: Meet) -> Any:
        meet()
        if number == 1:
            return serve(place, clock, over.exists)
        try:
            return [rotate(place) for _ in range(ROTATIONS)]
        finally:
            over.touch()

    rotations, (results, enrolled) = together(2, act)
    assert ["done"] * ROTATIONS == rotations
    assert {PAM_SUCCESS} == results
    assert enrolled
    assert_nothing_was_lost(place, enrolled)


def test_of_two_at_once_both_are_done_one_after_the_other(
    place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "_refuse_other_users", lambda *_: None)
    monkeypatch.setattr(resealing, "LOG_PAUSE", 0.01)
    old, envelopes = place.sealer(), envelopes_of(place)

    def act(_number: int, meet: Meet) -> int:
        meet()
        return running.run(totpctl, ["--config", str(place.config_path), "rotate-key", "--yes"])

    assert [0, 0, 0] == together(3, act)
    assert_logins_work(place, clock)
    assert_finished(place, old, envelopes)
