"""A host of a fleet, as systemd runs it: its sandbox lets the service reach the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.booted import logins
from tests.booted.logins import (
    SERVICE,
    SOCKET,
    events_of_the_service,
    events_of_workers,
    journal,
    log_in,
)
from tests.support import package
from tests.support.booted import Booted
from tests.support.booted_base import MORE, base_of
from tests.support.machine import Account

pytestmark = pytest.mark.root

RELEASE = "trixie"  # PostgreSQL 17, psycopg 3.2
URL = "postgresql://localhost/pam_totp"
# A database server as on docs/howto/fleet.md, on this machine: it has no network but its own.
_SERVER = f"""
pg_createcluster "$(ls /usr/lib/postgresql)" main
cd /etc/postgresql/*/main
openssl req -x509 -newkey rsa:2048 -noenc -days 2 -subj /CN=CA -keyout ca.key -out /root/ca.pem
openssl req -x509 -newkey rsa:2048 -noenc -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
    -CA /root/ca.pem -CAkey ca.key -keyout server.key -out server.pem
chown postgres server.key
printf "ssl = on\nssl_cert_file = '%s/server.pem'\nssl_key_file = '%s/server.key'\n" "$PWD" "$PWD" \
    >conf.d/fleet.conf
echo 'hostssl pam_totp all localhost scram-sha-256' >>pg_hba.conf
systemctl restart postgresql
pg_isready --timeout=60
runuser -u postgres -- createdb --template=template0 --encoding=UTF8 --locale=C.UTF-8 pam_totp
totpctl fleet init {URL} --ca /root/ca.pem --socket /run/postgresql
totpctl fleet add web1 | sh
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Booted]:
    with base_of(RELEASE, MORE) as tree:
        installed = package.installed(RELEASE, Path(tree))
        with Booted(RELEASE, installed) as machine:
            machine.run("totpctl", "init")
            logins.set_up(machine)
            yield machine


@pytest.fixture(scope="module")
def people(machine: Booted) -> tuple[Account, Account]:
    """Alice, who is in the fleet, and root, who is local."""
    alice, root = machine.add_user("alice"), machine.enrol("root")
    machine.run("sh", "-eux", typed=_SERVER)
    machine.run("totpctl", "fleet", "import", "--leave", "root", "--yes")
    return alice, root


def outcomes(machine: Booted, accounts: Iterable[Account]) -> list[bool]:
    return [log_in(machine, account) for account in accounts]


def test_the_service_asks_the_database_from_its_sandbox(
    machine: Booted, people: tuple[Account, Account]
) -> None:
    assert [True, True] == outcomes(machine, people)
    assert [["accepted"], ["accepted"]] == [events_of_the_service(machine, one) for one in people]
    status = machine.systemctl("show", "--value", "--property=StatusText", SERVICE)
    assert URL in status


def test_a_worker_of_one_login_asks_it_as_well(
    machine: Booted, people: tuple[Account, Account]
) -> None:
    make_codes_good_again(machine)
    machine.systemctl("stop", SOCKET, SERVICE)
    try:
        assert [True, True] == outcomes(machine, people)
        for one in people:
            assert ["accepted"] == events_of_workers(machine, one)
    finally:
        machine.systemctl("start", SOCKET)


def test_while_the_server_is_down_root_gets_in_and_the_log_says_why_others_do_not(
    machine: Booted, people: tuple[Account, Account]
) -> None:
    make_codes_good_again(machine)
    machine.systemctl("stop", "postgresql.service", "postgresql@*")
    try:
        assert [False, True] == outcomes(machine, people)
    finally:
        machine.systemctl("start", "postgresql.service")
    (line,) = [line for line in journal(machine) if "event=error user=alice" in line]
    assert "localhost:5432: Connection refused" in line


def test_without_the_drop_in_a_login_has_a_worker_outside_of_the_sandbox(
    machine: Booted, people: tuple[Account, Account]
) -> None:
    """Nobody is denied because of it, and the log has the drop-in."""
    make_codes_good_again(machine)
    machine.run("sh", "-c", "rm /etc/systemd/system/pam_totp*.d/fleet.conf")
    machine.systemctl("daemon-reload")
    machine.systemctl("stop", SERVICE)
    assert [True, True] == outcomes(machine, people)
    refused = [line for line in journal(machine) if "the sandbox has no network" in line]
    assert refused
    assert "RestrictAddressFamilies=AF_INET AF_INET6" in refused[0]


def make_codes_good_again(machine: Booted) -> None:
    sql = "UPDATE totp.authenticators SET last_accepted_step = -1"
    machine.run("runuser", "-u", "postgres", "--", "psql", "--quiet", "pam_totp", "-c", sql)
    path = "/var/lib/pam_totp/store.db"
    program = (
        f"import sqlite3; store = sqlite3.connect('{path}'); "
        "store.execute('UPDATE authenticators SET last_accepted_step = -1'); store.commit()"
    )
    machine.run("python3", "-c", program)
