"""totpctl init: one good key and one good store, however it is started and stopped."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from pam_totp.store import sealing
from tests.cli.command import Totpctl, is_in_order
from tests.support.place import Place


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_key_and_store_are_created(totpctl: Totpctl, bare: Place) -> None:
    result = totpctl.done("init")
    assert "" == result.out
    assert (
        f"created the sealing key {bare.key_path}: back it up together with the store\n"
        f"created the store {bare.store_path}\n"
        "key and store are OK\n"
    ) == result.err
    assert is_in_order(bare)


def test_after_init_a_user_can_be_enrolled(totpctl: Totpctl, bare: Place) -> None:
    totpctl.done("init")
    totpctl.done("enroll", "alice", "--no-confirm")
    assert "phone" == bare.record("alice").authenticators[0].label


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_key_and_store_are_nobody_elses_whatever_the_umask(
    totpctl: Totpctl, bare: Place, umask: int
) -> None:
    before = os.umask(umask)
    try:
        totpctl.done("init")
        totpctl.done("enroll", "alice", "--no-confirm")
    finally:
        os.umask(before)
    assert 0o600 == mode(bare.key_path)
    assert 0o700 == mode(bare.store_path.parent)
    assert {0o600} == {mode(path) for path in bare.store_path.parent.iterdir()}


def test_a_second_init_changes_nothing(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    key, before = place.key_path.read_bytes(), place.record("alice")
    result = totpctl.done("init")
    assert "key and store are OK\n" == result.err
    assert key == place.key_path.read_bytes()
    assert before == place.record("alice")


def test_a_missing_store_is_made_for_the_key_that_is_there(totpctl: Totpctl, bare: Place) -> None:
    bare.key_path.write_bytes(sealing.generate_key_file())
    bare.key_path.chmod(0o600)
    key = bare.key_path.read_bytes()
    totpctl.done("init")
    assert key == bare.key_path.read_bytes()
    assert is_in_order(bare)


def test_a_store_without_its_key_is_left_alone(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    place.key_path.unlink()
    before = place.store_path.read_bytes()
    result = totpctl("init")
    assert 1 == result.code
    key = place.key_path
    assert (
        f"totpctl: error: {place.store_path} exists, but its sealing key {key} does not\n"
        f"hint: restore {place.key_path} from a backup; if it is lost, move the store away\n"
    ) == result.err
    assert not place.key_path.exists()
    assert before == place.store_path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 65])
def test_what_is_in_the_place_of_the_key_is_never_overwritten(
    totpctl: Totpctl, bare: Place, content: bytes
) -> None:
    bare.key_path.write_bytes(content)
    bare.key_path.chmod(0o600)
    assert 5 == totpctl("init").code
    assert content == bare.key_path.read_bytes()


def test_a_link_in_the_place_of_the_key_is_not_followed(
    totpctl: Totpctl, bare: Place, tmp_path: Path
) -> None:
    bare.key_path.symlink_to(tmp_path / "elsewhere")
    assert 5 == totpctl("init").code
    assert not (tmp_path / "elsewhere").exists()


def test_a_key_that_is_not_the_stores_is_refused(totpctl: Totpctl, place: Place) -> None:
    place.key_path.write_bytes(sealing.generate_key_file())
    assert 5 == totpctl("init").code


def test_a_secret_that_does_not_open_is_found(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice")
    with sqlite3.connect(place.store_path) as connection:
        connection.execute("UPDATE authenticators SET digits = 8")
    connection.close()
    result = totpctl("init")
    assert 6 == result.code
    assert "totpctl: error: alice: sealed secret: was altered" in result.err


@pytest.mark.parametrize("key", ["sealing_key", "store"])
def test_a_missing_folder_is_named_with_the_mend(
    totpctl: Totpctl, bare: Place, key: str, tmp_path: Path
) -> None:
    missing = tmp_path / "not" / "here"
    inside = missing / "key" if key == "sealing_key" else missing / "store" / "store.db"
    bare.configure(**{key: inside})
    result = totpctl("init")
    assert 1 == result.code
    assert (
        f"totpctl: error: there is no folder {missing}\nhint: run: mkdir -p {missing}\n"
    ) == result.err
    assert not bare.key_path.exists()


def test_a_folder_for_the_key_that_others_can_write_is_refused(
    totpctl: Totpctl, bare: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    bare.configure(sealing_key=folder / "key")
    result = totpctl("init")
    assert 5 == result.code
    assert f"hint: run: chmod go-w {folder}\n" in result.err
    assert [] == list(folder.iterdir())
