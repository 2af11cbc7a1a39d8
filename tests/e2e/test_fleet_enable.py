"""enable, doctor and status on a host of a fleet: they ask about each account, as a login does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.core.users import UserRecord
from pam_totp.store.postgresql.admin_store import open_admin_store
from pam_totp.system import fleet_file
from pam_totp.system.fleet_file import DEFAULT_CA
from tests.contract.sample_records import phone
from tests.e2e.conftest import Prepared
from tests.support import fleet, fleet_network, product
from tests.support.machine import Machine
from tests.support.postgres import Database

pytestmark = pytest.mark.root


@pytest.fixture
def machine(prepared: Prepared, database: Database, tmp_path: Path) -> Iterator[Machine]:
    """A host of a fleet; alice, in the group sudo, has a password."""
    port, shared = database.cluster.port, tmp_path / "shared"
    shared.mkdir()
    with (
        fleet_network.machines([fleet.HOST], shared) as started,
        fleet_network.served_from_outside(shared, port),
    ):
        machine = started[fleet.HOST]
        machine.unpack(product.tree(), prepared.files)
        machine.run("rm", "-r", "/var/lib/pam_totp")
        machine.run("usermod", "--password", "*", "root")
        fleet_network.reach(machine, "localhost", port)
        identity = fleet_file.read(str(fleet.host_file(database, tmp_path)))
        machine.write(DEFAULT_CA, database.cluster.ca.read_text("ascii"))
        own = fleet_file.content(identity._replace(ca=DEFAULT_CA)).decode("ascii")
        machine.write("/etc/security/pam_totp.fleet", own, mode=0o600)
        machine.write("/etc/security/pam_totp.conf", f"store = {fleet.url(database)}\n")
        yield machine


def test_enable_counts_administrators_who_are_enrolled_in_the_fleet(
    machine: Machine, database: Database, tmp_path: Path
) -> None:
    refused = machine.run("totpctl", "enable", "sudo", "--no-confirm", check=False)
    assert 6 == refused.returncode, refused.stderr
    assert "no administrator could become root" in refused.stderr
    path = fleet.admin_file(database, tmp_path)
    with (
        open_admin_store(fleet.url(database), str(path)) as store,
        store.transaction("alice") as transaction,
    ):
        transaction.save(UserRecord("alice", authenticators=(phone(),)))
    machine.run("totpctl", "enable", "sudo", "--no-confirm")
    status = json.loads(machine.run("totpctl", "status", "--json").stdout)
    assert 1 == status["people"]["enrolled"]


def test_doctor_asks_for_a_way_in_that_needs_no_database(
    machine: Machine, database: Database, tmp_path: Path
) -> None:
    path = fleet.admin_file(database, tmp_path)
    with (
        open_admin_store(fleet.url(database), str(path)) as store,
        store.transaction("alice") as transaction,
    ):
        transaction.save(UserRecord("alice", authenticators=(phone(),)))
    machine.run("totpctl", "enable", "sshd", "sudo", "--no-confirm")
    assert "local-administrators" in found_by_doctor(machine)
    machine.run("totpctl", "init")
    machine.run("totpctl", "enroll", "--local", "root", "--no-confirm")
    assert "local-administrators" in found_by_doctor(machine), "sshd does not let root in"
    machine.run("totpctl", "enroll", "--local", "alice", "--no-confirm")
    assert "local-administrators" not in found_by_doctor(machine)


def found_by_doctor(machine: Machine) -> set[str]:
    findings = json.loads(machine.run("totpctl", "doctor", "--json", check=False).stdout)
    return {finding["check"] for finding in findings["findings"]}
