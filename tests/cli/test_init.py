"""totpctl init: one good key and one good store, however it is started and stopped."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from admin_cli import ui
from admin_cli.main import totpctl as group
from pam_totp import sealing, store
from tests.cli.command import Totpctl
from tests.support.place import Place


@pytest.fixture
def bare(place: Place) -> Place:
    """A place without key and store."""
    place.key_path.unlink()
    for file in place.store_path.parent.iterdir():
        file.unlink()
    place.store_path.parent.rmdir()
    return place


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_in_order(place: Place) -> bool:
    """Tell whether there is one good key and one good store, and nothing beside them."""
    with place.open() as opened:
        problems = opened.check()
    names = [path.name for path in place.key_path.parent.iterdir()]
    names += [path.name for path in place.store_path.parent.iterdir()]
    beside = [n for n in names if re.match(r"(pam_totp\.key|store\.db)(?!$|-wal$|-shm$)", n)]
    return not problems and not beside


def test_key_and_store_are_created(totpctl: Totpctl, bare: Place) -> None:
    result = totpctl.done("init")
    assert "" == result.out
    assert (
        f"created the sealing key {bare.key_path}: back it up together with the store\n"
        f"created the store {bare.store_path}\n"
        "key and store are in order\n"
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
    assert "key and store are in order\n" == result.err
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
        f"totpctl: error: {place.store_path} is there, but its sealing key {key} is not\n"
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


@pytest.mark.parametrize("times", range(5))
def test_of_several_at_once_one_key_and_store_remain_and_all_succeed(
    totpctl: Totpctl, bare: Place, times: int
) -> None:
    command = totpctl.command("init")
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(command, env=totpctl.environment, stdout=pipe, stderr=pipe, text=True)
        for _ in range(6)
    ]
    messages = [process.communicate(timeout=60)[1] for process in started]
    assert [0] * 6 == [process.returncode for process in started], messages
    assert 1 == "".join(messages).count("created the sealing key")
    assert 1 == "".join(messages).count("created the store")
    assert is_in_order(bare)


# What names a file or makes it durable; SQLite's own writes are tried in tests/faults. A '?': not
# on every architecture.
CALLS = (
    "write,fsync,fdatasync,flock,?link,linkat,?unlink,unlinkat,?rename,?renameat,renameat2,?mkdir,"
    "mkdirat"
)


def steps_of(totpctl: Totpctl, trace: Path) -> list[tuple[str, int]]:
    """Return the system calls of an init, from the key's folder on, as strace counts them."""
    command = ["strace", "-f", "-o", str(trace), f"--trace={CALLS}", *totpctl.command("init")]
    done = subprocess.run(command, env=totpctl.environment, capture_output=True, check=False)
    assert 0 == done.returncode, done.stderr
    seen: dict[str, int] = {}
    steps: list[tuple[str, int]] = []
    begun = False
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        call = re.match(r"\d+ +([a-z0-9]+)\(", line)
        if not call:
            continue
        seen[call[1]] = seen.get(call[1], 0) + 1
        begun = begun or call[1] == "flock"
        if begun:
            steps.append((call[1], seen[call[1]]))
    return steps


def forget(place: Place) -> None:
    for folder in (place.key_path.parent, place.store_path.parent):
        for path in folder.glob("*.key*" if folder == place.key_path.parent else "*"):
            path.unlink()
    place.store_path.parent.rmdir()


def test_a_kill_at_any_step_leaves_what_the_next_init_finishes(
    totpctl: Totpctl,
    bare: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("resource.setrlimit", lambda *limits: None)
    monkeypatch.setattr(os, "umask", lambda mask: 0)
    again = ["--config", str(bare.config_path), "init"]
    trace = tmp_path / "trace"
    steps = steps_of(totpctl, trace)
    assert {"link", "rename", "unlink", "fsync"} <= {re.sub("at2?$", "", name) for name, _ in steps}
    killed = 0
    for name, count in steps:
        forget(bare)
        inject = f"--inject={name}:signal=KILL:when={count}"
        command = ["strace", "-f", "-o", str(trace), f"--trace={CALLS}", inject]
        command += totpctl.command("init")
        done = subprocess.run(command, env=totpctl.environment, capture_output=True, check=False)
        killed += done.returncode != 0
        if not bare.store_path.parent.exists():
            bare.store_path.parent.mkdir(mode=0o700)  # forget() wants one
        assert 0 == ui.run(group, again), (name, count, capsys.readouterr())
        assert is_in_order(bare), (name, count, list(tmp_path.rglob("*")))
        with store.open_store(str(bare.store_path), bare.sealer()) as opened:
            assert [] == list(opened.records())
    assert killed >= len(steps) - 2  # the last ones come after everything
