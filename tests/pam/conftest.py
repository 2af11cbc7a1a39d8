from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.logs import LogSocket
from tests.support.pam_stack import Stack, install_copy
from tests.support.place import Place


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a copy of pam_totp that logs to ``log`` beside it."""
    folder = tmp_path_factory.mktemp("installed")
    install_copy(folder, folder / "log")
    return folder


@pytest.fixture
def log(installed: Path) -> Iterator[LogSocket]:
    """What the installed copy writes to the audit log during this test."""
    socket = LogSocket(installed / "log")
    yield socket
    socket.close()
    socket.path.unlink()


@pytest.fixture
def stack(tmp_path: Path, installed: Path, place: Place, log: LogSocket) -> Stack:
    """A service whose one line is pam_totp, and whose result is exactly what the hook returned."""
    return Stack(tmp_path / "pam.d", installed / "hook.py", place.config_path)
