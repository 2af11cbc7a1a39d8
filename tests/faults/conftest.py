from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.login import identity
from pam_totp.system import audit
from tests.faults.fake_pam import Accounts, Clock
from tests.support.logs import LogSocket


@pytest.fixture(autouse=True)
def accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everybody have an account on this machine."""
    monkeypatch.setattr(identity, "pwd", Accounts)


@pytest.fixture(autouse=True)
def nobodys_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep audit lines from this machine's log where a test does not ask for ``log``."""
    monkeypatch.setattr(audit, "SYSLOG_SOCKET", str(tmp_path / "no log here"))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every login, which a test moves."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock.time)
    return clock


@pytest.fixture
def news(log: LogSocket) -> Callable[[], list[str]]:
    """Return the lines that have come to the audit log since the last call."""
    seen = 0

    def new_lines() -> list[str]:
        nonlocal seen
        lines = log.lines()[seen:]
        seen += len(lines)
        return lines

    return new_lines


@contextlib.contextmanager
def disk_of(size: str, tmp_path: Path) -> Iterator[Path]:
    """A disk of ``size``, as mount(8) takes it for tmpfs, while it is in use. Needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={size},mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB, mounted as long as the test runs. Needs root."""
    with disk_of("256k", tmp_path) as folder:
        yield folder
