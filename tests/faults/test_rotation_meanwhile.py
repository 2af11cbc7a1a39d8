"""Everybody logs in and enrols while the key is rotated: nobody is denied, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from admin_cli import running
from admin_cli.commands import rotation
from admin_cli.main import totpctl
from pam_totp.core.enrollment import Enrollment
from pam_totp.core.users import Authenticator
from pam_totp.login.flow import PAM_SUCCESS
from pam_totp.login.in_process import InProcess
from pam_totp.service import loop
from pam_totp.service.kept import SETTLE_SECONDS, Kept
from pam_totp.store.sqlite import resealing
from pam_totp.system.config import Arguments
from pam_totp.system.errors import StoreBusy
from tests.faults import fake_pam
from tests.faults.fake_pam import Clock, Handle, log_in
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

if TYPE_CHECKING:
    from pam_totp.store import Store

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


class Serving(InProcess):
    """A login over the store that a service keeps, which its loop asks again while others write."""

    kept = Kept()

    def _ask_store(self, question: Callable[[Store], Any]) -> Any:
        end = time.monotonic() + loop.BUSY_SECONDS
        while True:
            self.kept.look_again()
            try:
                return self.kept.asking(self.kept.store(self._settings))(question)
            except StoreBusy:
                if time.monotonic() >= end:
                    raise
                time.sleep(loop.FIRST_PAUSE)

    def enroll(self, place: Place, clock: Clock, name: str) -> bool:
        self.read_config(Arguments(path=str(place.config_path)))
        new = Authenticator(name, "phone", name.encode(), created_at=clock.now)
        return self.enroll_first(name, Enrollment(new, b"", frozenset(), None), None)


def serve(
    place: Place, clock: Clock, is_over: Callable[[], bool]
) -> tuple[set[int], list[str], list[bool]]:
    """Do the same on one thread, over a connection that stays open, as a service does."""
    results, names, enrolled = list[int](), list[str](), list[bool]()
    fake_pam.InProcess = Serving  # type: ignore[misc]
    while not is_over():
        clock.now += 30
        results.append(log_in(place, clock.code(0, PEOPLE["bob"]), "bob"))
        names.append(f"new{len(names)}")
        enrolled.append(Serving(Handle("", ())).enroll(place, clock, names[-1]))
        Serving.kept.tidy(time.monotonic() + len(names) % 2 * SETTLE_SECONDS)
    Serving.kept.close()
    return set(results), names, enrolled


def test_a_service_that_keeps_its_connection_serves_on(place: Place, clock: Clock) -> None:
    over = place.folder.with_name("over")

    def act(number: int, meet: Meet) -> Any:
        meet()
        if number == 1:
            return serve(place, clock, over.exists)
        try:
            return [rotate(place) for _ in range(ROTATIONS)]
        finally:
            over.touch()

    rotations, (results, names, enrolled) = together(2, act)
    assert ["done"] * ROTATIONS == rotations
    assert {PAM_SUCCESS} == results
    assert {True} == set(enrolled)
    assert_nothing_was_lost(place, names)


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
