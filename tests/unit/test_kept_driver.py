"""The steps of one login among many: what is looked up at once, what elsewhere, what is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pam_totp.login import identity
from pam_totp.service import kept_driver, sandbox, wire
from pam_totp.service.kept import InUse
from pam_totp.service.kept_driver import Elsewhere, KeptDriver, Shared
from pam_totp.service.prompts import MAX_OF_ONE_PLACE
from pam_totp.system import config
from pam_totp.system.errors import StoreMissing
from tests.support.place import Place
from tests.unit.rounds import Rounds

SAMPLE = wire.RequestPacket(0, b"alice", b"sshd", b"::1", b"bob", b"ssh", None, b"51e6 7:8 0 1", ())


def driver_of(shared: Shared, place: Place, *arguments: str) -> KeptDriver:
    given = (f"config={place.config_path}", *arguments)
    packet = SAMPLE._replace(arguments=tuple(argument.encode() for argument in given))
    driver = KeptDriver(shared, packet)
    driver.read_config(config.parse_arguments(given))
    return driver


@pytest.fixture
def shared(rounds: Rounds) -> Shared:
    return rounds.loop._shared


# Accounts


def test_somebody_of_this_machine_is_found_at_once_and_as_a_helper_would(
    shared: Shared, place: Place
) -> None:
    driver = driver_of(shared, place)
    found = driver.look_up_local_account("alice")
    assert found is not None
    assert driver.look_up_account("alice") == found
    assert found.account.is_local


@pytest.mark.parametrize("name", ["dora", "nobody", "ALICE", "", "a:b", "a\nb", "a\0b", "\udcff"])
def test_anybody_else_is_looked_up_elsewhere(shared: Shared, place: Place, name: str) -> None:
    with pytest.raises(Elsewhere):
        driver_of(shared, place).look_up_local_account(name)


def test_somebody_removed_since_the_file_was_read_is_unknown(
    shared: Shared, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "passwd_entry", lambda _: None)
    assert driver_of(shared, place).look_up_local_account("alice") is None


def test_groups_are_looked_up_at_once_in_the_files_alone(shared: Shared, place: Place) -> None:
    driver = driver_of(shared, place)
    entry = driver.look_up_local_account("alice")
    assert entry is not None
    driver.look_up_local_groups(entry, ("staff",), in_files=True)
    with pytest.raises(Elsewhere):
        driver.look_up_local_groups(entry, ("staff",))


# Places at a prompt


def test_those_who_wait_are_counted_by_name_and_origin_until_they_leave(
    shared: Shared, place: Place
) -> None:
    drivers = [driver_of(shared, place) for _ in range(MAX_OF_ONE_PLACE + 1)]
    turns = [driver.take_place("alice") for driver in drivers]
    assert [True] * MAX_OF_ONE_PLACE + [False] == [turn.may_ask for turn in turns]
    assert "::/64" in turns[-1].news
    for driver in (*drivers, *drivers):  # who has left leaves no place of another one
        driver.leave_place()
    assert {} == shared.prompts._of


# The sandbox


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the sandbox is asked for."""
    asked: list[object] = []
    monkeypatch.setattr(sandbox, "check_files", asked.append)
    return asked


def settle(monkeypatch: pytest.MonkeyPatch, driver: KeptDriver, shared: Shared) -> None:
    """Open the store, and have its files count as old enough to be trusted."""
    monkeypatch.setattr("pam_totp.system.marks.YOUNG_NS", -1)
    shared.kept.look_again()
    driver.look_up_user_here("alice", "")


def test_the_sandbox_is_asked_once_a_second_while_nothing_changes(
    shared: Shared, place: Place, asked: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    driver = driver_of(shared, place)
    settle(monkeypatch, driver, shared)
    monkeypatch.setattr(kept_driver.time, "monotonic", lambda: now)
    for expected in (1, 1, 1):
        shared.kept.look_again()
        driver.check_files()
        assert expected == len(asked)
    now += kept_driver.SANDBOX_SECONDS
    driver.check_files()
    assert 2 == len(asked)


@pytest.mark.parametrize(
    "change",
    [
        lambda place: place.configure(window=2),
        lambda place: place.key_path.chmod(0o644),
        lambda place: place.store_path.parent.rename(place.folder / "moved"),
    ],
)
def test_the_sandbox_is_asked_again_after_each_change(
    shared: Shared,
    place: Place,
    asked: list[object],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Place], Any],
) -> None:
    driver = driver_of(shared, place)
    settle(monkeypatch, driver, shared)
    driver.check_files()
    change(place)
    shared.kept.look_again()
    driver.check_files()
    assert 2 == len(asked)


# Where another thread is in it


def test_nobody_goes_where_another_thread_is(
    shared: Shared, place: Place, asked: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor looks for the reason: on a disk that hangs that would take one thread after the other."""

    def looked(*_: object) -> bool:
        raise AssertionError("looked at the disk")

    driver = driver_of(shared, place)
    store = driver.store()
    monkeypatch.setattr("pam_totp.login.driver.is_missing", looked)
    with store.in_use_here():
        for step in (driver.check_files, lambda: driver.look_up_user_here("alice", "")):
            with pytest.raises(InUse, match="does not answer"):
                step()
    assert [] == asked


def test_while_one_is_shown_the_files_others_of_the_same_line_wait(
    shared: Shared, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (driver_of(shared, place) for _ in range(2))

    def check(_: object) -> None:
        with pytest.raises(InUse):
            second.check_files()

    monkeypatch.setattr(sandbox, "check_files", check)
    first.check_files()


def test_a_store_that_is_missing_is_told_as_such(shared: Shared, place: Place) -> None:
    """Only then are exempt groups let in."""
    place.store_path.parent.rename(place.folder / "moved")
    with pytest.raises(StoreMissing):
        driver_of(shared, place).look_up_user_here("alice", "")
