"""Several inits at once, and an init that is killed: one good key and store all the same."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from pathlib import Path

import pytest

from admin_cli import running
from admin_cli.main import totpctl as group
from pam_totp import store
from pam_totp.system import lock_file
from tests.cli.command import Totpctl, is_in_order
from tests.support import thorough
from tests.support.place import Place


@pytest.mark.parametrize("times", thorough.some(range(5), 4))
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


def test_an_init_that_begins_while_another_makes_the_key_waits_for_it(
    totpctl: Totpctl, bare: Place, tmp_path: Path
) -> None:
    delay = "--inject=?link,linkat:delay_enter=1500000"  # microseconds
    slowly = ["strace", "-f", "-o", str(tmp_path / "trace"), "--trace=?link,linkat", delay]
    first = subprocess.Popen([*slowly, *totpctl.command("init")], env=totpctl.environment)
    while not bare.key_path.with_name("pam_totp.key.new").exists():
        assert first.poll() is None
    second = totpctl("init")
    assert (0, 0) == (first.wait(60), second.code), second.err
    assert "created the sealing key" not in second.err
    assert is_in_order(bare)


def test_a_lock_that_is_never_let_go_is_named_and_nothing_is_made(
    bare: Place,
    in_process: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(lock_file, "PATIENCE", 0.2)
    lock = Path(f"{bare.key_path}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert 1 == running.run(group, ["--config", str(bare.config_path), "init"])
    finally:
        os.close(descriptor)
    assert (
        f"{lock}: is locked by another process\n"
        f"hint: see who: find /proc/[0-9]*/fd -lname '{lock}*'" in capsys.readouterr().err
    )
    assert not bare.key_path.exists()


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
    in_process: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    again = ["--config", str(bare.config_path), "init"]
    trace = tmp_path / "trace"
    steps = steps_of(totpctl, trace)
    assert {"link", "rename", "unlink", "fsync"} <= {re.sub("at2?$", "", name) for name, _ in steps}
    killed = 0
    tried = thorough.some(steps, 2)
    for name, count in tried:
        forget(bare)
        inject = f"--inject={name}:signal=KILL:when={count}"
        command = ["strace", "-f", "-o", str(trace), f"--trace={CALLS}", inject]
        command += totpctl.command("init")
        done = subprocess.run(command, env=totpctl.environment, capture_output=True, check=False)
        killed += done.returncode != 0
        if not bare.store_path.parent.exists():
            bare.store_path.parent.mkdir(mode=0o700)  # forget() wants one
        assert 0 == running.run(group, again), (name, count, capsys.readouterr())
        assert is_in_order(bare), (name, count, list(tmp_path.rglob("*")))
        with store.open_store(str(bare.store_path), bare.sealer()) as opened:
            assert [] == list(opened.records())
    assert killed >= len(tried) - 2  # the last ones come after everything
