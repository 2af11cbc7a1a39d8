from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import hosts
from tests.support.installation import Installation
from tests.support.logs import LogSocket
from tests.support.pam_stack import Stack
from tests.support.place import Place


@pytest.fixture(params=hosts.ALL)
def host(request: pytest.FixtureRequest) -> str:
    """Who runs the hook: every test runs with each of them."""
    return request.param


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A copy of pam_totp that logs to ``log`` beside it."""
    folder = tmp_path_factory.mktemp("hosts")
    installation = Installation(folder / "whole", folder / "log")
    installation.take_place()
    yield installation
    installation.close()


@pytest.fixture
def broken(installed: Installation, log: LogSocket) -> Iterator[Installation]:
    """A copy to break before its first use, in the place of the one above."""
    folder = installed.folder.with_name("broken")
    installation = Installation(folder, log.path)
    installation.take_place()
    try:
        yield installation
        installation.close()
    finally:
        installed.take_place()
        shutil.rmtree(folder)


@pytest.fixture
def log(installed: Installation) -> Iterator[LogSocket]:
    """What the installed copy writes to the audit log during this test."""
    socket = LogSocket(installed.folder.with_name("log"))
    yield socket
    socket.close()
    socket.path.unlink()


@pytest.fixture
def stack(
    tmp_path: Path, installed: Installation, host: str, place: Place, log: LogSocket
) -> Stack:
    """A service whose one line is pam_totp, and whose result is exactly what the hook returned."""
    return Stack(tmp_path / "pam.d", installed.module(host), place.config_path)
