"""The lock by which one at a time makes a key or a store, and who can keep others waiting."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from pam_totp import store
from pam_totp.system import lock_file
from pam_totp.system.errors import PamTotpError
from tests.support.place import Place


def test_while_it_is_held_it_is_a_file_for_its_owner_alone_and_then_none(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with lock_file.held(str(tmp_path / "key")):
            assert 0o100600 == (tmp_path / "key.lock").stat().st_mode
    finally:
        os.umask(old)
    assert [] == list(tmp_path.iterdir())


def test_what_a_killed_one_left_is_taken_and_removed(tmp_path: Path) -> None:
    (tmp_path / "key.lock").touch()
    with lock_file.held(str(tmp_path / "key")):
        pass
    assert [] == list(tmp_path.iterdir())


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "key.lock").symlink_to(tmp_path / "made")
    with pytest.raises(OSError), lock_file.held(str(tmp_path / "key")):  # noqa: PT011
        pass
    assert not (tmp_path / "made").exists()


def test_who_waits_gets_it_and_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_file, "_PAUSE", 0.001)
    monkeypatch.setattr(lock_file, "PATIENCE", 60)
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(50):
            with lock_file.held(str(tmp_path / "key")):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [1] * 200 == most


def test_a_file_that_its_holder_has_removed_meanwhile_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "key.lock"
    take = fcntl.flock
    taken: list[int] = []

    def flock(descriptor: int, operation: int) -> None:
        take(descriptor, operation)
        if not taken:
            lock.unlink()
        taken.append(descriptor)

    monkeypatch.setattr(fcntl, "flock", flock)
    with lock_file.held(str(tmp_path / "key")):
        assert lock.exists()
    assert 2 == len(taken)


def test_one_that_is_never_let_go_is_named_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_file, "PATIENCE", 0)
    with lock_file.held(str(tmp_path / "key")):
        with pytest.raises(PamTotpError) as raised, lock_file.held(str(tmp_path / "key")):
            pass
        assert (tmp_path / "key.lock").exists()
    lock = f"{tmp_path}/key.lock"
    assert (
        lock,
        "is locked by another process",
        f"see who: find /proc/[0-9]*/fd -lname '{lock}*'",
    ) == raised.value.args


@pytest.mark.parametrize("is_there", [True, False])
def test_who_can_read_the_folder_of_a_store_cannot_keep_it_from_being_made(
    place: Place, is_there: bool
) -> None:
    folder = place.store_path.parent
    if not is_there:
        place.store_path.unlink()
    folder.chmod(0o755)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    made: list[bool] = []
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        making = threading.Thread(
            target=lambda: made.append(store.create_store(str(place.store_path), place.sealer())),
            daemon=True,
        )
        making.start()
        making.join(20)
    finally:
        os.close(descriptor)
    assert [not is_there] == made


def test_a_store_that_is_there_is_found_without_a_lock(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(lock_file, "held")
    assert store.create_store(str(place.store_path), place.sealer()) is False
