from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.machines import DATABASE, FleetMachine, drop, url_of
from tests.fleet.outage import FakeFleet, Host, NewHost
from tests.support.logs import LogSocket
from tests.support.postgres import Cluster


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Make sure that a test leaves no thread and no descriptor."""

    threads, before = threading.active_count(), _open_files()
    yield
    deadline = time.monotonic() + 30
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads == threading.active_count()
    assert Counter() == _open_files() - before


def _open_files() -> Counter[str]:
    found = Counter[str]()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found[os.readlink(f"/proc/self/fd/{descriptor}")] += 1
    return found


@pytest.fixture
def new_host(tmp_path: Path) -> Iterator[NewHost]:
    """Hosts that keep codes in one folder; their files are closed in the end."""
    with contextlib.ExitStack() as closed:

        def host(fleet: FakeFleet, *, may_answer: bool = True) -> Host:
            host = Host(tmp_path, fleet, may_answer=may_answer)
            closed.callback(host.kit.close)
            return host

        yield host


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """A database server that knows nothing of a fleet: its roles are the server's, too."""
    cluster = Cluster()
    yield cluster
    cluster.remove()


@pytest.fixture
def empty(server: Cluster) -> Iterator[str]:
    """The URL of an empty database."""
    with server.connect() as connection:
        connection.execute("CREATE DATABASE fleet_of_a_test")
    yield url_of(server, "fleet_of_a_test")
    drop(server, "fleet_of_a_test")


@pytest.fixture(scope="module")
def founded(server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an administrator's machine, with a fleet."""
    folder = tmp_path_factory.mktemp("admin")
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    log = LogSocket(folder / "log")
    FleetMachine(folder / "machine", log.path).found(server, url_of(server, DATABASE))
    log.close()
    yield folder / "machine"
    drop(server, DATABASE)


@pytest.fixture
def admin(founded: Path, log: LogSocket) -> FleetMachine:
    """The machine of an administrator of that fleet."""
    return FleetMachine(founded, log.path)


@pytest.fixture
def newcomer(tmp_path: Path, log: LogSocket) -> FleetMachine:
    """A machine of an administrator to be, before there is a fleet."""
    return FleetMachine(tmp_path / "admin", log.path)


@pytest.fixture
def web(tmp_path: Path, log: LogSocket) -> FleetMachine:
    """A machine that may become a host."""
    return FleetMachine(tmp_path / "web", log.path)
