"""rotate-key killed at every step, on disks that fail, and while everybody logs in and enrols."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from admin_cli import rotation, ui
from admin_cli.main import totpctl
from admin_cli.session import Session
from pam_totp import decision, login, sealing, store
from pam_totp.login import PAM_SUCCESS
from pam_totp.store import resealing
from tests.faults.fake_pam import Clock, log_in
from tests.faults.processes import Meet, together
from tests.faults.test_disk import fill, make_room
from tests.faults.tracing import schedule, traced
from tests.support.place import Place

PEOPLE = {"alice": b"the secret of alice.", "bob": b"the secret of bob..."}
# What changes the disk. Between two of them a kill finds what it finds at the second one.
CHANGING = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "fchmod", "rename", "unlink")
Calls = list[tuple[str, str]]


@pytest.fixture
def place(place: Place) -> Place:
    """Two people and a decoy's wrong codes, in a folder that the tests may put back."""
    return with_people(place.folder)


def with_people(folder: Path) -> Place:
    inside = folder / "inside"
    inside.mkdir()
    place = Place(inside)
    for name, secret in PEOPLE.items():
        place.enrol(name, secret)
    with place.open() as opened, opened.decoy_transaction("mallory") as transaction:
        transaction.save(transaction.record._replace(failures=3))
    return place


def rotate(place: Place) -> str:
    """Do what the command does once it has been confirmed; return how it ended."""
    session = Session(str(place.config_path))
    try:
        rotation._rotate(session, sealing.read_sealer(str(place.key_path)))
    except (rotation.PamTotpError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def assert_logins_work(place: Place, clock: Clock) -> None:
    clock.now += 30
    for name, secret in PEOPLE.items():
        assert PAM_SUCCESS == log_in(place, clock.code(0, secret), name)
    with place.open() as opened:
        assert [] == opened.check()
        assert 3 == opened.load_decoy("mallory").failures


def assert_finished(place: Place, old: sealing.Sealer, envelopes: set[bytes]) -> None:
    sealer = place.sealer()
    assert () == sealer.others
    assert old.key_id != sealer.key_id
    with place.open() as opened:
        assert [] == opened.check()
    left = b"".join(path.read_bytes() for path in place.folder.rglob("*") if path.is_file())
    assert not [envelope for envelope in envelopes if envelope[29:] in left]
    assert old.key_file().strip() not in left
    assert ["pam_totp.conf", "pam_totp.key", "store"] == sorted(os.listdir(place.folder))


def envelopes_of(place: Place) -> set[bytes]:
    with place.open() as opened:
        rows = opened.database.execute("SELECT sealed_secret FROM authenticators")  # type: ignore[attr-defined]
    return {envelope for (envelope,) in rows}


def each_step(
    place: Place, trace: Path, fault_of: Callable[[str], str]
) -> Iterator[tuple[Any, str]]:
    """Yield how a rotation ended, and at which call a fault came: unharmed first, then each."""

    def paused(pause: Meet) -> str:
        pause()
        return rotate(place)

    original = place.folder.with_name("original")
    shutil.copytree(place.folder, original)
    result, calls = traced(paused, trace)
    yield result, ""
    steps = [
        step
        for step, (_, rest) in zip(schedule(calls), calls, strict=True)
        if step[0] in CHANGING and "<socket:" not in rest and "<UNIX" not in rest
    ]  # the last write tells us what came of it
    assert 20 < len(steps)
    for name, number in steps:
        shutil.rmtree(place.folder)
        shutil.copytree(original, place.folder)
        result, _ = traced(paused, trace, f"{name}:{fault_of(name)}:when={number}")
        yield result, name


def test_a_rotation_killed_at_any_step_denies_nobody_and_is_finished_by_the_next(
    place: Place, clock: Clock, tmp_path: Path
) -> None:
    old, envelopes, states = place.sealer(), envelopes_of(place), Counter[str]()
    for result, killed_at in each_step(place, tmp_path / "trace", lambda _: "signal=KILL"):
        assert killed_at or result == "done"
        sealer = place.sealer()
        if sealer.others:
            with place.open() as opened:
                in_force, _ = opened._key_in_force()  # type: ignore[attr-defined]
            states["both, the old" if in_force.key_id == old.key_id else "both, the new"] += 1
        else:
            states["the old" if sealer.key_id == old.key_id else "the new"] += 1
        begun = sealer.others
        assert_logins_work(place, clock)
        if sealer.key_id == old.key_id:
            assert "done" == rotate(place)
        assert_logins_work(place, clock)
        assert_finished(place, old, envelopes)
        assert not begun or begun[0].key_id == place.sealer().key_id
    assert {"the old", "both, the old", "both, the new", "the new"} == set(states)


def error_of(call: str) -> str:
    return "error=ENOSPC" if "write" in call else "error=EIO"


def test_a_call_that_fails_at_any_step_denies_nobody_and_the_next_run_finishes(
    place: Place, clock: Clock, tmp_path: Path
) -> None:
    old, envelopes, outcomes = place.sealer(), envelopes_of(place), Counter[bool]()
    for result, failed_at in each_step(place, tmp_path / "trace", error_of):
        done = result == "done"
        outcomes[done] += 1
        assert done or failed_at
        if done:
            assert old.key_id != place.sealer().key_id
        assert_logins_work(place, clock)
        if place.sealer().key_id == old.key_id:
            assert "done" == rotate(place)
        assert_logins_work(place, clock)
        assert_finished(place, old, envelopes)
    assert outcomes[False] > 10


def test_each_step_is_on_the_disk_before_the_next_begins(place: Place, tmp_path: Path) -> None:
    """What a power cut leaves is then what a kill leaves."""

    def paused(pause: Meet) -> str:
        pause()
        return rotate(place)

    with place.open():
        _, calls = traced(paused, tmp_path / "trace")
    words = {
        ("fsync", "pam_totp.key"): "K",  # the key file to be
        ("rename", "pam_totp.key"): "R",
        ("fsync", "inside"): "F",  # the folder with its name
        ("pwrite64", "store.db-wal"): "w",
        ("fdatasync", "store.db-wal"): "s",
        ("fsync", "store.db-wal"): "s",
        ("ftruncate", "store.db-wal"): "t",
    }
    told = ""
    for name, rest in calls:
        for (call, file), word in words.items():
            if name == call and re.search(rf"{re.escape(file)}[>\"]", rest):
                told += word
    assert re.fullmatch(r"KRFw+s[^KRF]*tKRF", told), told


@pytest.mark.root
def test_a_full_disk_denies_nobody_more_than_it_does_without_a_rotation(
    small_disk: Path, clock: Clock
) -> None:
    place = with_people(small_disk)
    old, envelopes, outcomes = place.sealer(), envelopes_of(place), Counter[bool]()
    for pages in range(14):
        fill(small_disk, room=pages * 4096)
        outcomes[rotate(place) == "done"] += 1
        make_room(small_disk)
        assert_logins_work(place, clock)
    assert 2 == len(outcomes)
    if place.sealer().others:
        assert "done" == rotate(place)
    assert_finished(place, old, envelopes)


# Meanwhile

ROTATIONS = 12


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
    login.Uninterrupted = decision.Uninterrupted = threading.Lock  # type: ignore[misc,assignment]
    keeper, results, enrolled = store.keep_connections(), list[int](), list[str]()
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
        return ui.run(totpctl, ["--config", str(place.config_path), "rotate-key", "--yes"])

    assert [0, 0, 0] == together(3, act)
    assert_logins_work(place, clock)
    assert_finished(place, old, envelopes)
