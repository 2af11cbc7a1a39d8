from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Totpctl
from tests.cli.terminal import Terminals
from tests.support.logs import LogSocket
from tests.support.machine import Machine
from tests.support.place import Place


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogSocket]:
    """What totpctl writes to the audit log during this test."""
    socket = LogSocket(tmp_path / "log")
    yield socket
    socket.close()


@pytest.fixture
def totpctl(place: Place, log: LogSocket) -> Totpctl:
    return Totpctl(place, log.path)


@pytest.fixture
def terminals(totpctl: Totpctl) -> Iterator[Terminals]:
    """Starts totpctl on terminals of its own, and ends what a test leaves running."""
    opened = Terminals(totpctl)
    yield opened
    opened.close()


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A throw-away copy of this machine; needs root."""
    with Machine() as machine:
        yield machine


@pytest.fixture
def bare(place: Place) -> Place:
    """A place without key and store."""
    place.key_path.unlink()
    for file in place.store_path.parent.iterdir():
        file.unlink()
    place.store_path.parent.rmdir()
    return place


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command run in this process without changing its limits and its umask."""
    monkeypatch.setattr("resource.setrlimit", lambda *limits: None)
    monkeypatch.setattr("os.umask", lambda mask: 0)
