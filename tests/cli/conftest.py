from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.core import recovery
from tests.cli.command import Totpctl
from tests.cli.terminal import Terminals
from tests.support import fleet
from tests.support.logs import LogSocket
from tests.support.machine import Machine
from tests.support.place import Place
from tests.support.postgres import Cluster, Database


@pytest.fixture(autouse=True)
def quick_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here as where totpctl runs: see command.py."""
    monkeypatch.setattr(recovery, "ARGON2_PASSES", 1)
    monkeypatch.setattr(recovery, "ARGON2_MEMORY_BYTES", 8192)


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


@pytest.fixture(scope="module")
def shared_database(cluster: Cluster) -> Iterator[Database]:
    with cluster.database() as database:
        yield database


@pytest.fixture
def fleet_database(shared_database: Database) -> Iterator[Database]:
    """The database of a test, of all tests of a file."""
    yield shared_database
    shared_database.execute("UPDATE totp.policy SET max_failures = DEFAULT, code_window = DEFAULT")
    shared_database.empty()


@pytest.fixture
def fleet_host(place_in_use: Place, fleet_database: Database) -> Place:
    """A machine whose store is the database, and that administers nobody."""
    folder = place_in_use.folder
    place_in_use.configure(
        store=fleet.url(fleet_database),
        local_store=place_in_use.store_path,
        fleet_host=folder / "pam_totp.fleet",
        fleet_admin=folder / "pam_totp.fleet-admin",
    )
    return place_in_use


@pytest.fixture
def fleet_administrator(fleet_host: Place, fleet_database: Database) -> Place:
    fleet.admin_file(fleet_database, fleet_host.folder)
    return fleet_host
