"""rotate-key killed at every step, and on disks that fail or are full."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fake_pam import Clock
from tests.faults.processes import Meet
from tests.faults.rotating import (
    assert_finished,
    assert_logins_work,
    envelopes_of,
    rotate,
    with_people,
)
from tests.faults.test_disk import fill, make_room
from tests.faults.tracing import schedule, traced
from tests.support.place import Place

# What changes the disk. Between two of them a kill finds what it finds at the second one.
CHANGING = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "fchmod", "rename", "unlink")
Calls = list[tuple[str, str]]


@pytest.fixture
def place(place: Place) -> Place:
    """Two people and a decoy's wrong codes, in a folder that the tests may put back."""
    return with_people(place.folder)


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
    assert re.fullmatch(r"KRFw+s[^KRF]*t[ws]*KRF", told), told


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
