"""Whatever the network does, at whatever stage: a question is answered right, or denied in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from pam_totp.core import verifier
from pam_totp.store.postgresql import client as client_module
from pam_totp.store.postgresql import name_lookup
from pam_totp.store.postgresql.client import Client
from pam_totp.system.errors import StoreUnreachable
from tests.fleet.hosts import asking, end_sessions, identity_of, url_of, verify
from tests.fleet.reporting import code_of, enroll
from tests.support.postgres import Database
from tests.support.relay import CUT, CUT_ANSWERS, EAT_ANSWERS, SILENCE, Relay, unanswered_port

# Seconds are measured here, against a limit of half of one.
pytestmark = [pytest.mark.serial, pytest.mark.usefixtures("nothing_left")]

NOW = 1_800_000_000
STEP = NOW // 30
PATIENCE = 0.7
LATE = 0.5  # at most, after the deadline


@pytest.fixture
def relay(database: Database) -> Iterator[Relay]:
    database.stop_clock(NOW)
    enroll(database, "alice")
    with Relay(database.cluster.port) as relay:
        yield relay


@pytest.fixture
def client(database: Database, relay: Relay, tmp_path: Path) -> Iterator[Client]:
    client = Client(url_of(database, relay.port), identity_of(database, tmp_path))
    yield client
    client.close()


def is_denied_in_time(client: Client, code: str = "123456", user: str = "alice") -> None:
    begun = time.monotonic()
    with pytest.raises(StoreUnreachable):
        verify(client, code, user, PATIENCE)
    assert time.monotonic() - begun <= PATIENCE + LATE


class Stage(NamedTuple):
    """A fault after so many chunks of the server, a relay that makes it, and a user of its own."""

    chunks: int
    relay: Relay
    client: Client
    user: str


def at_every_stage(
    client: Client, relay: Relay, database: Database, run: Callable[[Stage], None]
) -> None:
    """Run that for each chunk of the server's, from the first one to the answer, all at once."""
    asking(client)
    assert relay.answered >= 4  # TLS is possible, TLS, the login, the answer
    stages = []
    for chunks in range(relay.answered):
        own = Relay(database.cluster.port)
        enroll(database, f"user{chunks}")
        stages.append(
            Stage(chunks, own, Client(url_of(database, own.port), client.identity), f"user{chunks}")
        )
    with ThreadPoolExecutor(len(stages)) as threads:
        outcomes = [threads.submit(run, stage) for stage in stages]
    for stage in stages:
        stage.client.close()
        stage.relay.close()
    for outcome in outcomes:
        outcome.result()


def accepted(database: Database, user: str = "alice") -> int:
    sql = "SELECT count(*) FROM totp.events WHERE event = 'accepted' AND user_name = %s"
    return int(database.execute(sql, (user,))[0][0])


@pytest.mark.parametrize("kind", [SILENCE, CUT, EAT_ANSWERS, CUT_ANSWERS])
def test_a_fault_that_stays_is_denied_in_time_at_every_stage(
    client: Client, relay: Relay, database: Database, kind: str
) -> None:
    """Before the server says anything, in TLS, in the login, and where the answer is lost.

    The code may be used up then, but nobody was let in by it.
    """

    def run(stage: Stage) -> None:
        stage.relay.fail(kind, stage.chunks)
        is_denied_in_time(stage.client, code_of(STEP), stage.user)
        stage.relay.heal()
        was_used_up = accepted(database, stage.user)
        expected = verifier.REPLAYED if was_used_up else verifier.ACCEPTED
        assert expected == verify(stage.client, code_of(STEP), stage.user).outcome
        assert 1 == accepted(database, stage.user)

    at_every_stage(client, relay, database, run)


@pytest.mark.parametrize("kind", [SILENCE, CUT, EAT_ANSWERS, CUT_ANSWERS])
def test_a_fault_that_passes_costs_nobody_a_login_at_any_stage(
    client: Client, relay: Relay, database: Database, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_CONNECTING", 0.5)
    monkeypatch.setattr(client_module, "_ANSWERING", 0.5)

    def run(stage: Stage) -> None:
        stage.relay.fail(kind, stage.chunks, times=1)
        assert verifier.ACCEPTED == verify(stage.client, code_of(STEP), stage.user).outcome
        assert 1 == accepted(database, stage.user)

    at_every_stage(client, relay, database, run)


@pytest.mark.parametrize("kind", [SILENCE, CUT, EAT_ANSWERS, CUT_ANSWERS])
def test_a_kept_connection_that_fails_is_replaced(
    client: Client, relay: Relay, database: Database, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_ANSWERING", 0.3)
    asking(client)
    relay.fail_open(kind)
    assert verifier.ACCEPTED == verify(client, code_of(STEP)).outcome
    assert 1 == accepted(database)


def test_a_server_that_does_not_even_connect_is_denied_in_time(
    database: Database, tmp_path: Path
) -> None:
    port, held = unanswered_port()
    client = Client(url_of(database, port), identity_of(database, tmp_path))
    try:
        is_denied_in_time(client)
    finally:
        client.close()
        for one in held:
            one.close()


def test_a_second_server_answers_while_the_first_is_silent(
    database: Database, relay: Relay, tmp_path: Path
) -> None:
    relay.fail(SILENCE)
    url = url_of(database, relay.port, database.cluster.port)
    client = Client(url, identity_of(database, tmp_path))
    assert asking(client, 2) < 1.8
    assert asking(client, 2) < 0.5
    client.close()


def test_a_name_server_that_does_not_answer_is_denied_in_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one thread waits for it, however many ask; what was known before still serves."""
    monkeypatch.setattr(name_lookup, "_latest", {})
    is_over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: is_over.wait(20) and [])
    try:
        before = threading.active_count()
        for _ in range(3):
            is_denied_in_time(client)
        assert before + 1 == threading.active_count()
        monkeypatch.setattr(name_lookup, "_latest", {"localhost": ("127.0.0.1",)})
        assert asking(client, 3) < 3
    finally:
        is_over.set()


def test_a_name_that_nobody_knows_is_unreachable(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_lookup, "_latest", {})

    def fails(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(StoreUnreachable, match="Temporary failure in name resolution"):
        asking(client, PATIENCE)


def test_a_slow_network_is_no_fault(client: Client, relay: Relay) -> None:
    relay.delay = 0.1
    assert verifier.ACCEPTED == verify(client, code_of(STEP)).outcome


def test_a_row_that_is_locked_is_denied_in_time(client: Client, database: Database) -> None:
    asking(client)
    with database.connect() as holding, holding.transaction():
        holding.execute("SELECT FROM totp.users FOR UPDATE")
        is_denied_in_time(client, code_of(STEP))


def test_a_server_that_stands_still_is_denied_in_time(client: Client, database: Database) -> None:
    """Its listening socket still takes connections."""
    asking(client)
    end_sessions(database.cluster)
    database.cluster.signal("STOP")
    try:
        is_denied_in_time(client)
    finally:
        database.cluster.signal("CONT")
    asking(client)
