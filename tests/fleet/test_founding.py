"""init and migrate: a fleet is made once, whole, and in a database of its own."""

from __future__ import annotations

import stat

import pytest

from pam_totp.system import fleet_file
from tests.fleet.machines import FleetMachine
from tests.support.logs import LogSocket
from tests.support.postgres import Cluster


def tables(server: Cluster) -> int:
    with server.connect(database="fleet_of_a_test") as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('totp')"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_fleet_is_made_and_its_administrator_known_to_this_machine(
    server: Cluster, empty: str, newcomer: FleetMachine, log: LogSocket
) -> None:
    result = newcomer.found(server, empty)
    assert "" == result.out
    assert f"made a fleet in {empty}\n" in result.err
    identity = fleet_file.read(str(newcomer.admin_path))
    assert (empty, "totp_administrator", "totp_login") == (
        identity.store, identity.user, identity.host_user
    )  # fmt: skip
    assert 0o600 == stat.S_IMODE(newcomer.admin_path.stat().st_mode)
    assert ["fleet_made"] == log.events()
    for secret in (identity.key.hex(), identity.password, identity.host_password):
        assert secret not in result.out + result.err + "".join(log.lines())
    assert "no host has joined" in newcomer.done("list").err


def test_a_second_run_changes_nothing(server: Cluster, empty: str, newcomer: FleetMachine) -> None:
    newcomer.found(server, empty)
    before = newcomer.admin_path.read_bytes()
    assert "nothing was changed" in newcomer.found(server, empty).err
    assert before == newcomer.admin_path.read_bytes()


def test_what_was_interrupted_is_finished_with_the_same_key(
    server: Cluster, empty: str, newcomer: FleetMachine
) -> None:
    newcomer.found(server, empty)
    identity = newcomer.admin_path.read_bytes()
    with server.connect(database="fleet_of_a_test") as connection:
        connection.execute("DROP SCHEMA totp CASCADE")
    newcomer.found(server, empty)
    assert identity == newcomer.admin_path.read_bytes()
    newcomer.done("policy")


def test_a_database_of_something_else_is_refused(
    server: Cluster, empty: str, newcomer: FleetMachine
) -> None:
    with server.connect(database="fleet_of_a_test") as connection:
        connection.execute("CREATE TABLE orders (id int)")
    arguments = ("init", empty, "--socket", str(server.folder), "--ca", str(server.ca))
    result = newcomer.fleet(*arguments)
    assert (1, "") == (result.code, result.out)
    assert "is not empty: it has 1 tables" in result.err
    assert "hint: create a database for the fleet alone" in result.err
    assert not newcomer.admin_path.exists()
    assert 0 == tables(server)


def test_another_machine_does_not_become_an_administrators_by_init(
    server: Cluster, empty: str, newcomer: FleetMachine, web: FleetMachine
) -> None:
    newcomer.found(server, empty)
    arguments = ("init", empty, "--socket", str(server.folder), "--ca", str(server.ca))
    result = web.fleet(*arguments)
    assert 1 == result.code
    assert "holds a fleet already, and this machine has no identity for it" in result.err
    assert not web.admin_path.exists()


def test_by_tcp_the_password_of_the_role_is_asked_for(
    server: Cluster, empty: str, newcomer: FleetMachine
) -> None:
    with server.connect() as connection:
        connection.execute("ALTER ROLE postgres PASSWORD 'pass of postgres'")
    arguments = ("init", empty, "--ca", str(server.ca))
    wrong = newcomer.fleet(*arguments, answers="wrong\n")
    assert 5 == wrong.code
    assert "password authentication failed" in wrong.err
    newcomer.done(*arguments, answers="pass of postgres\n")


def test_a_server_that_the_ca_does_not_vouch_for_is_refused(
    server: Cluster, empty: str, newcomer: FleetMachine, cluster: Cluster
) -> None:
    arguments = ("init", empty, "--ca", str(cluster.ca))
    result = newcomer.fleet(*arguments, answers="any\n")
    assert 5 == result.code
    assert "certificate verify failed" in result.err


def test_no_variable_of_the_environment_counts(
    server: Cluster, empty: str, newcomer: FleetMachine
) -> None:
    newcomer.found(server, empty)
    odd = {"PGHOST": "/nowhere", "PGOPTIONS": "-c role=postgres", "PGSSLMODE": "disable",
           "PGSERVICE": "none", "PGUSER": "nobody"}  # fmt: skip
    assert 0 == newcomer.totpctl("fleet", "list", **odd).code


@pytest.mark.parametrize("url", ["db", "sqlite:/x", "postgresql://a@db/x", "postgresql://db"])
def test_a_url_that_is_none_is_refused(newcomer: FleetMachine, url: str) -> None:
    result = newcomer.fleet("init", url)
    assert 1 == result.code
    assert "hint: as in: postgresql://db.example/pam_totp" in result.err


def test_settings_keep_parameters_out_of_the_servers_log(
    server: Cluster, empty: str, newcomer: FleetMachine
) -> None:
    newcomer.found(server, empty)
    with server.connect() as connection:
        for role in ("totp_login", "totp_administrator"):
            row = connection.execute(
                "SELECT rolconfig FROM pg_roles WHERE rolname = %s", (role,)
            ).fetchone()
            assert row is not None
            assert {"log_parameter_max_length=0", "log_statement=none"} <= set(row[0])


def test_migrate_says_that_there_is_nothing_to_do(
    server: Cluster, empty: str, newcomer: FleetMachine
) -> None:
    newcomer.found(server, empty)
    result = newcomer.done("migrate", "--socket", str(server.folder))
    assert "the schema is of this release already: 1\n" == result.err


def test_without_an_administrators_identity_nothing_is_done(newcomer: FleetMachine) -> None:
    for words in (("list",), ("policy",), ("rotate-key", "--yes"), ("add", "web1")):
        result = newcomer.fleet(*words)
        assert (1, "") == (result.code, result.out)
        assert "this machine does not administer a fleet" in result.err
