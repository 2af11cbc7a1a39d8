"""import: people of an SQLite store become the fleet's, with all that counts of them, or nobody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pam_totp.core.admission import EXEMPT, REQUIRED, GroupRule
from pam_totp.core.users import SUSPENDED, UserRecord
from tests.fleet.machines import DATABASE, FleetMachine
from tests.support.logs import LogSocket
from tests.support.place import SECRET
from tests.support.postgres import Cluster

CODES = ("7H2K-7H2K-7H2K-7H2K", "ABCD-ABCD-ABCD-ABCD")


@pytest.fixture(autouse=True)
def nobody(server: Cluster) -> Iterator[None]:
    """Begin with nobody in the fleet."""
    yield
    with server.connect(database=DATABASE) as connection:
        connection.execute("DELETE FROM totp.users; DELETE FROM totp.group_rules")


@pytest.fixture
def joined(admin: FleetMachine, tmp_path: Path, log: LogSocket) -> FleetMachine:
    """A host of the fleet that is an administrator's machine, too."""
    machine = FleetMachine(tmp_path / "joined", log.path)
    for path in (admin.admin_path, admin.place.folder / "pam_totp.fleet-ca.pem"):
        shutil.copy(path, machine.place.folder)
    machine.done("join", "-", answers=admin.token("joined", "--yes"))
    return machine


def rows(server: Cluster, sql: str) -> list[tuple[Any, ...]]:
    with server.connect(database=DATABASE) as connection:
        return connection.execute(sql).fetchall()


def opened(server: Cluster, machine: FleetMachine) -> list[tuple[Any, ...]]:
    """Return each user with the secret that the fleet has of them."""
    from pam_totp.system import fleet_file

    key = fleet_file.read(str(machine.admin_path)).key
    with server.connect("totp_administrator", DATABASE) as connection:
        return connection.execute(
            "SELECT user_name, totp.open_secret(%s, sealed_secret, user_name, id, algorithm, "
            "digits, period, kind) FROM totp.authenticators ORDER BY 1",
            (key,),
        ).fetchall()


def records(machine: FleetMachine) -> list[str]:
    with machine.place.open() as store:
        return [record.name for record in store.records()]


def test_people_leave_the_local_store_with_all_that_counts_of_them(
    server: Cluster, joined: FleetMachine, log: LogSocket
) -> None:
    joined.place.enrol("alice", recovery_codes=CODES, failures=3, untold=2, guesses_until=99)
    joined.place.enrol("bob", secret=b"another secret of 20", status=SUSPENDED)
    with joined.place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        (phone,) = transaction.record.authenticators
        transaction.save(transaction.record.with_changed(phone.used(56, 1700)))
    result = joined.done("import", "--yes")
    assert "nobody is local: without the database" in result.err
    assert "alice: active; phone; 2 recovery codes\nbob: suspended; phone; 0 recovery codes\n" == (
        result.out
    )
    assert "2 people are in the fleet now; 0 were already" in result.err
    assert [("alice", "active", 3, 2, 99, None), ("bob", "suspended", 0, 0, 0, None)] == rows(
        server,
        "SELECT name, status, failures, untold, guesses_until, uid FROM totp.users ORDER BY name",
    )
    assert [(56, 1700)] == rows(
        server,
        "SELECT last_accepted_step, last_used_at FROM totp.authenticators WHERE user_name='alice'",
    )
    assert [(2,)] == rows(server, "SELECT count(*) FROM totp.recovery_codes")
    assert [("alice", SECRET), ("bob", b"another secret of 20")] == opened(server, joined)
    assert [] == records(joined)
    assert log.events().count("imported") == 2


def test_an_account_that_is_left_is_a_way_in_without_the_database(joined: FleetMachine) -> None:
    joined.place.enrol("bob", secret=b"another secret of 20")
    joined.place.enrol("carol")
    result = joined.done("import", "--yes", "--leave", "carol")
    assert "nobody is local" not in result.err
    assert ["carol"] == records(joined)


def test_a_second_run_changes_nothing(server: Cluster, joined: FleetMachine) -> None:
    joined.place.enrol("alice", recovery_codes=CODES)
    joined.done("import", "--yes")
    before = rows(server, "SELECT u, a.* FROM totp.users u, totp.authenticators a")
    result = joined.done("import", "--yes")
    assert (("", "nothing was changed\n")) == (result.out, result.err)
    assert before == rows(server, "SELECT u, a.* FROM totp.users u, totp.authenticators a")


def test_what_was_used_after_an_import_that_broke_off_is_used_in_the_fleet(
    server: Cluster, joined: FleetMachine
) -> None:
    joined.place.enrol("alice", recovery_codes=CODES)
    kept = {p: p.read_bytes() for p in joined.place.store_path.parent.iterdir()}
    joined.done("import", "--yes")
    for path, content in kept.items():  # the fleet has her, and so has the machine
        path.write_bytes(content)
    with joined.place.open() as store, store.transaction("alice") as transaction:
        assert transaction.record is not None
        (phone,) = transaction.record.authenticators
        used = transaction.record.with_changed(phone.used(77, 1800))
        transaction.save(used.without_recovery_code(min(used.recovery_digests)))
    result = joined.done("import", "--yes")
    assert "0 people are in the fleet now; 1 were already" in result.err
    assert [(77,)] == rows(server, "SELECT last_accepted_step FROM totp.authenticators")
    assert [(1,)] == rows(server, "SELECT count(*) FROM totp.recovery_codes")
    assert [] == records(joined)


def test_where_one_is_in_both_nobody_is_moved(server: Cluster, joined: FleetMachine) -> None:
    joined.place.enrol("alice")
    joined.done("import", "--yes")
    joined.place.enrol("alice", secret=b"another secret of 20")
    joined.place.enrol("bob")
    result = joined.fleet("import", "--yes")
    assert (1, "") == (result.code, result.out)
    assert "enrolled in both, with different authenticators: alice\n" in result.err
    assert "hint: nothing was changed; " in result.err
    assert ["alice", "bob"] == records(joined)
    assert [("alice",)] == rows(server, "SELECT name FROM totp.users")
    joined.done("import", "--yes", "--leave", "alice")
    assert ["alice"] == records(joined)
    assert [("alice",), ("bob",)] == rows(server, "SELECT name FROM totp.users ORDER BY 1")


def test_rules_for_groups_come_along_unless_the_fleet_has_another(
    server: Cluster, joined: FleetMachine
) -> None:
    with joined.place.open() as store:
        store.save_group_rule(GroupRule("ops", REQUIRED))
        store.save_group_rule(GroupRule("bots", EXEMPT, 2_000_000_000))
    joined.done("import", "--yes")
    found = "SELECT name, rule, until FROM totp.group_rules ORDER BY name"
    assert [("bots", EXEMPT, 2_000_000_000), ("ops", REQUIRED, 0)] == rows(server, found)
    with joined.place.open() as store:
        store.save_group_rule(GroupRule("ops", EXEMPT))
    result = joined.fleet("import", "--yes")
    assert 1 == result.code
    assert "groups with another rule in the fleet: ops" in result.err


def test_a_dry_run_says_what_would_be_done(server: Cluster, joined: FleetMachine) -> None:
    joined.place.enrol("alice")
    result = joined.done("import", "--dry-run")
    assert ("alice: active; phone; 0 recovery codes\n", "nothing was changed\n") == (
        result.out, result.err
    )  # fmt: skip
    assert ["alice"] == records(joined)
    assert [] == rows(server, "SELECT name FROM totp.users")


def test_a_copy_of_another_machines_store_is_only_read(
    server: Cluster, joined: FleetMachine, web: FleetMachine
) -> None:
    web.place.enrol("carol")
    web.place.open().close()
    options = ("--store", str(web.place.store_path), "--sealing-key", str(web.place.key_path))
    result = joined.done("import", "--yes", *options)
    assert "    totpctl remove --local --yes carol\n" in result.err
    assert ["carol"] == records(web)
    assert [("carol", SECRET)] == opened(server, joined)


def test_a_machine_that_has_not_joined_keeps_its_people(admin: FleetMachine) -> None:
    result = admin.fleet("import", "--yes")
    assert 1 == result.code
    assert "names no fleet as this machine's store" in result.err


def test_it_asks_first(joined: FleetMachine) -> None:
    joined.place.enrol("alice")
    result = joined.fleet("import")
    assert 1 == result.code
    assert "hint: confirm it in advance with --yes" in result.err
    assert ["alice"] == records(joined)


def test_somebody_without_authenticator_comes_along(server: Cluster, joined: FleetMachine) -> None:
    with joined.place.open() as store, store.transaction("dave") as transaction:
        transaction.save(UserRecord("dave", created_at=5).exempted(0))
    result = joined.done("import", "--yes")
    assert "dave: exempt; none; 0 recovery codes\n" == result.out
    assert [("dave", "exempt")] == rows(server, "SELECT name, status FROM totp.users")
