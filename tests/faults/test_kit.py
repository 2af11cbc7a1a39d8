"""What a host keeps for an outage, on a disk that is full: no code twice, and nobody shut out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.system.errors import StoreUnavailable
from tests.faults.conftest import disk_of
from tests.faults.fake_pam import Clock
from tests.faults.test_disk import fill, make_room
from tests.fleet.outage import ALICE, FakeFleet, Host


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with disk_of("16m", tmp_path) as disk:
        yield disk


@pytest.fixture
def host(disk: Path) -> Host:
    host = Host(disk, FakeFleet(ALICE))
    host.fill()
    host.kit.close()
    return host


@pytest.mark.root
def test_a_full_disk_keeps_nobody_from_being_judged(host: Host, disk: Path, clock: Clock) -> None:
    host.outcome("000000")  # opened: room is set aside
    fill(disk)
    for _ in range(20):
        clock.now += 30
        assert "accepted" == host.outcome(clock.code())
        assert "replayed" == host.outcome(clock.code())
        host.kit.close()
    for _ in range(5):
        assert "rejected" == host.outcome(clock.wrong_code())
        assert "rejected" == host.give(clock.code(), "mallory", is_decoy=True).outcome
    assert 26 == len(host.entries())


@pytest.mark.root
def test_what_cannot_be_written_lets_nobody_in_and_uses_up_no_code(
    host: Host, disk: Path, clock: Clock
) -> None:
    for suffix in ("-wal", "-shm"):  # as another program leaves it that closed the file last
        Path(f"{host.path}{suffix}").unlink(missing_ok=True)
    fill(disk)
    for given in (clock.code(), clock.wrong_code()):
        with pytest.raises(StoreUnavailable):
            host.outcome(given)
    make_room(disk)
    assert [] == host.entries()
    assert "accepted" == host.outcome(clock.code())


@pytest.mark.root
def test_a_refresh_on_a_full_disk_keeps_what_was_kept(host: Host, disk: Path, clock: Clock) -> None:
    host.outcome("000000")
    (phone,) = ALICE.authenticators
    for name in (f"user{number}" for number in range(32)):
        record = ALICE._replace(name=name, authenticators=(phone._replace(id=name),))
        host.fleet.records[name] = record
    host.fleet.hours = 96
    fill(disk)
    with pytest.raises(StoreUnavailable):
        host.fill()
    make_room(disk)
    assert host.kit.ask(lambda kit: (kit.keeps("alice"), kit.keeps("user0"))) == (True, False)
