"""Client: what is a refusal, what counts of the environment, which server, which thread."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pam_totp.core import verifier
from pam_totp.store.postgresql import client as client_module
from pam_totp.store.postgresql import environment
from pam_totp.store.postgresql.client import MAX_CONNECTIONS, Client
from pam_totp.store.postgresql.host_store import HostStore
from pam_totp.system.errors import (
    InsecureFile,
    StoreBusy,
    StoreCorrupt,
    StoreRefused,
    StoreUnavailable,
    StoreUnreachable,
    Unavailable,
)
from pam_totp.system.fleet_file import Identity
from tests.fleet.hosts import (
    asking,
    end_sessions,
    identity_of,
    sessions,
    trusted_copy,
    url_of,
    verify,
)
from tests.fleet.reporting import code_of, enroll
from tests.support.place import ROOT
from tests.support.postgres import Cluster, Database
from tests.support.relay import CUT, CUT_ANSWERS, EAT_ANSWERS, Relay

pytestmark = pytest.mark.usefixtures("nothing_left")

NOW = 1_800_000_000
STEP = NOW // 30


class Fleet(NamedTuple):
    """A host that has joined, and its database."""

    database: Database
    identity: Identity
    folder: Path

    @property
    def cluster(self) -> Cluster:
        return self.database.cluster


@pytest.fixture
def fleet(database: Database, tmp_path: Path) -> Fleet:
    database.stop_clock(NOW)
    enroll(database, "alice")
    return Fleet(database, identity_of(database, tmp_path), tmp_path)


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    client = Client(url_of(fleet.database), fleet.identity)
    yield client
    client.close()


def error_of(url: str, identity: Identity, patience: float = 8) -> Unavailable:
    """Return what a question ends with."""
    client = Client(url, identity)
    try:
        with pytest.raises(Unavailable) as raised:
            asking(client, patience)
    finally:
        client.close()
    return raised.value


# Refusals


def test_a_refusal_is_told_at_once_and_as_one(fleet: Fleet) -> None:
    """None of these is a reason to go offline, and waiting would help with none of them."""
    url, identity = url_of(fleet.database), fleet.identity
    stranger, strange_key = (trusted_copy(path, fleet.folder) for path in fleet.cluster.issue("x"))
    with_certificate = identity._replace(password="", certificate=stranger, private_key=strange_key)
    begun = time.monotonic()
    for where, who, told in (
        (url, identity._replace(password="another"), "password authentication failed"),
        (url, identity._replace(password=""), "no password"),
        (url, identity._replace(user="nobody"), "password authentication failed"),
        (url, identity._replace(ca=stranger), "certificate verify failed"),
        (url, identity._replace(ca=f"{fleet.folder}/missing.pem"), "No such file"),
        (url, with_certificate, "no password"),
        (url.replace(fleet.database.name, "another"), identity, "no such database"),
    ):
        error = error_of(where, who)
        assert StoreRefused is type(error), error
        assert told in error.problem
    assert time.monotonic() - begun < 8


def test_a_certificate_of_another_name_is_refused(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "addresses_of", lambda host, deadline: ("127.0.0.1",))
    url = url_of(fleet.database).replace("localhost", "db.example.com")
    error = error_of(url, fleet.identity)
    assert StoreRefused is type(error)
    assert "does not match host name" in error.problem


def test_a_server_without_tls_is_refused(fleet: Fleet) -> None:
    def say_no() -> None:
        while True:
            try:
                one, _ = listening.accept()
            except OSError:
                return
            with one:
                one.recv(8)
                one.sendall(b"N")
                one.recv(1)

    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=say_no)
    thread.start()
    error = error_of(url_of(fleet.database, listening.getsockname()[1]), fleet.identity)
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()
    assert StoreRefused is type(error)
    assert "does not support SSL" in error.problem


def test_a_ca_that_others_can_write_is_refused(fleet: Fleet) -> None:
    os.chmod(fleet.identity.ca, 0o666)
    assert InsecureFile is type(error_of(url_of(fleet.database), fleet.identity))


def test_a_url_that_is_none_is_refused_without_its_text(fleet: Fleet) -> None:
    with pytest.raises(StoreRefused) as refused:
        Client("postgresql://user:secret@db/x", fleet.identity)
    assert "secret" not in str(refused.value) + refused.value.hint


def test_no_argument_comes_back_in_an_error(client: Client) -> None:
    with pytest.raises(StoreRefused) as refused:
        client.ask("SELECT $1::int", ("the code 123456",), deadline=time.monotonic() + 8)
    assert "123456" not in repr(refused.value)
    assert "22P02" in refused.value.problem


def test_a_schema_of_another_release_is_a_refusal(client: Client) -> None:
    deadline = time.monotonic() + 8
    with pytest.raises(StoreRefused, match="schema") as refused:
        client.call("no_such_function", (1,), deadline=deadline)
    assert "totpctl fleet migrate" in refused.value.hint
    assert [(1,)] == client.ask("SELECT 1", (), deadline=deadline)


def test_a_procedure_that_does_not_answer_one_row_is_corruption(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in ([], [("a",), ("b",)]):
        monkeypatch.setattr(client, "ask", lambda *_, rows=rows, **__: rows)
        with pytest.raises(StoreCorrupt):
            client.call("admission", (), deadline=time.monotonic() + 8)


def test_a_certificate_takes_the_place_of_a_password(fleet: Fleet) -> None:
    certificate, key = (
        trusted_copy(path, fleet.folder) for path in fleet.cluster.issue("totp_login")
    )
    identity = fleet.identity._replace(password="", certificate=certificate, private_key=key)
    fleet.database.execute("GRANT with_certificate TO totp_login")
    try:
        client = Client(url_of(fleet.database), identity)
        asking(client)
        client.close()
        assert StoreRefused is type(error_of(url_of(fleet.database), fleet.identity))
        os.chmod(key, 0o644)
        assert StoreRefused is type(error_of(url_of(fleet.database), identity))
    finally:
        fleet.database.execute("REVOKE with_certificate FROM totp_login")


# The environment


def test_nothing_of_the_environment_counts(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """libpq waits for ever for a FIFO, and a session with PGTZ=nowhere does not begin."""
    home = tmp_path / "home"
    (home / ".postgresql").mkdir(parents=True)
    for name in ("postgresql.crt", "postgresql.key", "root.crt", "root.crl"):
        (home / ".postgresql" / name).write_text("garbage")
    (home / ".pgpass").write_text("*:*:*:*:another\n")
    (home / ".pgpass").chmod(0o600)
    os.mkfifo(home / ".pg_service.conf")
    foreign = {
        "HOME": str(home), "PGSERVICEFILE": str(home / ".pg_service.conf"), "PGSERVICE": "x",
        "PGSYSCONFDIR": str(home), "PGHOST": "192.0.2.1", "PGHOSTADDR": "192.0.2.1",
        "PGPORT": "1", "PGDATABASE": "x", "PGUSER": "postgres", "PGPASSWORD": "another",
        "PGPASSFILE": str(home / ".pgpass"), "PGOPTIONS": "-c search_path=evil -c x=y",
        "PGSSLMODE": "disable", "PGSSLROOTCERT": "/dev/null", "PGSSLCERT": "/dev/null",
        "PGSSLKEY": "/dev/null", "PGSSLCRL": "/dev/null", "PGSSLCRLDIR": str(home),
        "PGSSLMINPROTOCOLVERSION": "TLSv9", "PGSSLMAXPROTOCOLVERSION": "TLSv1", "PGSSLSNI": "9",
        "PGREQUIREPEER": "nobody", "PGGSSENCMODE": "require", "PGCHANNELBINDING": "what",
        "PGTARGETSESSIONATTRS": "standby", "PGCONNECT_TIMEOUT": "x", "PGCLIENTENCODING": "EUC_JP",
        "PGTZ": "nowhere", "PGDATESTYLE": "none", "PGGEQO": "maybe", "PGAPPNAME": "x",
        "PGREQUIREAUTH": "none", "PGLOADBALANCEHOSTS": "x", "PSYCOPG_IMPL": "c",
    }  # fmt: skip
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    client = Client(url_of(fleet.database), fleet.identity)
    assert verifier.ACCEPTED == verify(client, code_of(STEP)).outcome
    client.close()
    assert foreign.items() <= os.environ.items()


def test_two_threads_that_connect_restore_the_environment_once_both_are_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "db")
    with environment.OWN_ENVIRONMENT:
        with environment.OWN_ENVIRONMENT:
            assert "PGHOST" not in os.environ
        assert "PGHOST" not in os.environ
    assert "db" == os.environ["PGHOST"]


def test_messages_are_english_where_the_application_has_set_another_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setattr(environment, "_locale", GermanLocale)
    with environment.OWN_ENVIRONMENT:
        assert "C" == os.environ["LANGUAGE"]
    assert "de" == os.environ["LANGUAGE"]


class GermanLocale:
    LC_MESSAGES = 5

    @staticmethod
    def setlocale(_category: int) -> str:
        return "de_DE.UTF-8"


def test_which_library_is_loaded_is_not_for_the_environment_to_say(tmp_path: Path) -> None:
    compiler = tmp_path / "gcc"
    compiler.write_text(f"#!/bin/sh\n/usr/bin/touch {tmp_path}/was-run\n")
    compiler.chmod(0o755)
    script = (
        f"import sys; sys.path.append({str(ROOT)!r}); import ctypes.util\n"
        "ctypes.util._findSoname_ldconfig = lambda name: None\n"  # as where nothing can be started
        "from pam_totp.store.postgresql.environment import load_pq\n"
        "from pam_totp.system.errors import StoreRefused\n"
        "try: print(load_pq().__impl__)\n"
        "except StoreRefused: print('python')\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", script],
        env={"PATH": str(tmp_path), "PSYCOPG_IMPL": "c"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("python\n", "") == (done.stdout, done.stderr)
    assert not (tmp_path / "was-run").exists()


def test_it_works_beside_two_thousand_descriptors(fleet: Fleet, client: Client) -> None:
    """select(2) knows none above 1,023."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(2200, limits[0]), limits[1]))
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(2000)]
    try:
        assert held[-1] > 1024
        assert verifier.ACCEPTED == verify(client, code_of(STEP)).outcome
        assert verifier.REPLAYED == verify(client, code_of(STEP)).outcome
    finally:
        for descriptor in held:
            os.close(descriptor)
        client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


# Connections


def test_a_question_costs_one_round_trip(fleet: Fleet) -> None:
    with Relay(fleet.cluster.port) as relay:
        client = Client(url_of(fleet.database, relay.port), fleet.identity)
        asking(client)
        before = relay.asked, relay.answered
        asking(client)
        verify(client, code_of(STEP))
        assert (before[0] + 2, before[1] + 2) == (relay.asked, relay.answered)
        assert 1 == relay.connections
        client.close()


def test_a_question_of_any_size_arrives(client: Client) -> None:
    text = "x" * 3_000_000
    assert [(text,)] == client.ask("SELECT $1::text", (text,), deadline=time.monotonic() + 8)


def test_values_arrive_as_what_they_are(client: Client) -> None:
    values = (True, -7, b"\0\xff", "\u00e9", None, {"a": [1, None]}, ['a"\\,', "{}"], [b"\0"])
    sql = (
        "SELECT $1::boolean, $2::bigint, $3::bytea, $4::text, $5::text, $6::jsonb, "
        "array_to_json($7::text[])::jsonb, ($8::bytea[])[1]"
    )
    (row,) = client.ask(sql, values, deadline=time.monotonic() + 8)
    assert (*values[:7], b"\0") == row


def test_many_threads_share_a_bounded_number_of_connections(fleet: Fleet, client: Client) -> None:
    """One code for all of them: one is let in."""
    code, outcomes = code_of(STEP), []
    threads = [
        threading.Thread(target=lambda: outcomes.append(verify(client, code, patience=60).outcome))
        for _ in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 30 == len(outcomes)
    assert 1 == outcomes.count(verifier.ACCEPTED)
    assert sessions(fleet.cluster) <= MAX_CONNECTIONS


def test_a_question_that_finds_all_connections_taken_is_told_so(
    fleet: Fleet, client: Client
) -> None:
    """But where those who hold them get no answer either, that is why."""
    asking(client)
    sleeping = [
        threading.Thread(target=client.ask, args=("SELECT pg_sleep(3)", ()),
                         kwargs={"deadline": time.monotonic() + 20})
        for _ in range(MAX_CONNECTIONS)
    ]  # fmt: skip
    for thread in sleeping:
        thread.start()
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    until(lambda: [(MAX_CONNECTIONS,)] == fleet.database.execute(asleep))
    with pytest.raises(StoreBusy):
        asking(client, 0.3)
    for thread in sleeping:
        thread.join()


def test_connections_are_closed_with_the_client(fleet: Fleet, client: Client) -> None:
    asking(client)
    assert 1 == sessions(fleet.cluster)
    client.close()
    until(lambda: 0 == sessions(fleet.cluster))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_session_that_the_server_has_ended_is_not_used_again(
    fleet: Fleet, client: Client
) -> None:
    """Not even by a question that is asked once."""
    fleet.database.execute("UPDATE totp.users SET untold = 5")
    asking(client)
    fleet.database.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'totp_login'"
    )
    HostStore(client).have_told("alice", 2)
    assert [(3,)] == fleet.database.execute("SELECT untold FROM totp.users")


# Which server


def test_the_server_that_writes_is_found(fleet: Fleet) -> None:
    """The first is dead: later questions begin with the one that answered."""
    with Relay(fleet.cluster.port) as relay:
        relay.fail(CUT)
        client = Client(url_of(fleet.database, relay.port, fleet.cluster.port), fleet.identity)
        assert verifier.ACCEPTED == verify(client, code_of(STEP)).outcome
        end_sessions(fleet.cluster)
        asking(client)
        assert 1 == relay.connections
        client.close()


def test_a_setting_that_any_host_can_make_takes_no_other_offline(fleet: Fleet) -> None:
    fleet.database.execute(
        f"ALTER ROLE totp_login IN DATABASE {fleet.database.name} "
        "SET default_transaction_read_only = on",
        user="totp_login",
    )
    error = error_of(url_of(fleet.database), fleet.identity, 1)
    assert StoreUnavailable is type(error)
    assert "does not let us write" in error.problem


def test_one_refusal_among_dead_servers_is_a_refusal(fleet: Fleet) -> None:
    url = url_of(fleet.database, 1, fleet.cluster.port, 2)
    assert StoreRefused is type(error_of(url, fleet.identity._replace(password="another")))
    assert StoreUnreachable is type(error_of(url_of(fleet.database, 1, 2), fleet.identity, 1))


def test_too_many_connections_are_no_reason_to_go_offline(fleet: Fleet) -> None:
    name = fleet.database.name
    fleet.database.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    error = error_of(url_of(fleet.database), fleet.identity, 1)
    assert StoreUnavailable is type(error)
    assert "53300" in error.problem


def test_a_unix_socket_of_the_owner_of_its_folder_is_trusted(fleet: Fleet, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("its", "another", "open")]
    for folder in folders:
        folder.mkdir()
        real = fleet.cluster.folder / f".s.PGSQL.{fleet.cluster.port}"
        (folder / ".s.PGSQL.5432").symlink_to(real)
    its, another, is_open = folders
    shutil.chown(its, fleet.cluster.folder.owner())
    url = f"postgresql:///{fleet.database.name}?socket="
    client = Client(f"{url}{its}", fleet.identity)
    asking(client)
    client.close()
    is_open.chmod(0o777)
    assert InsecureFile is type(error_of(f"{url}{is_open}", fleet.identity))
    assert StoreUnreachable is type(error_of(f"{url}/nowhere", fleet.identity, 0.5))
    if os.geteuid() == 0:  # or all of them have one owner
        assert StoreRefused is type(error_of(f"{url}{another}", fleet.identity))


# Exactly once


def test_a_lost_answer_is_asked_for_again_and_is_the_same(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_ANSWERING", 0.5)
    with Relay(fleet.cluster.port) as relay:
        client = Client(url_of(fleet.database, relay.port), fleet.identity)
        asking(client)
        relay.fail_open(EAT_ANSWERS)
        assert verifier.ACCEPTED == verify(client, code_of(STEP)).outcome
        assert 2 == relay.connections
        client.close()
    events = "SELECT count(*) FROM totp.events WHERE event = 'accepted'"
    assert [(1,)] == fleet.database.execute(events)
    assert [(STEP,)] == fleet.database.execute("SELECT last_accepted_step FROM totp.authenticators")


def test_what_must_not_happen_twice_is_not_asked_again(fleet: Fleet) -> None:
    fleet.database.execute("UPDATE totp.users SET untold = 5")
    with Relay(fleet.cluster.port) as relay:
        client = Client(url_of(fleet.database, relay.port), fleet.identity)
        asking(client)
        relay.fail_open(CUT_ANSWERS)
        with pytest.raises(StoreUnreachable):
            HostStore(client).have_told("alice", 2)
        client.close()
    assert [(3,)] == fleet.database.execute("SELECT untold FROM totp.users")
