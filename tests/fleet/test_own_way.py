"""A login in a process of its own: one connection for questions that follow one another."""

from __future__ import annotations

import _socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pam_totp.core import verifier
from pam_totp.core.verifier import Answer, Policy
from pam_totp.service import wire
from pam_totp.service.connection import Connection
from pam_totp.store import LoginAttempt
from pam_totp.system import config
from tests.fleet.hosts import SOURCE, sessions
from tests.fleet.members import Member
from tests.fleet.reporting import enroll
from tests.support.place import Place, code_now
from tests.support.postgres import Database
from tests.support.relay import Relay

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def relay(database: Database) -> Iterator[Relay]:
    with Relay(database.cluster.port) as relay:
        yield relay


def test_a_login_connects_once_before_its_prompt_and_once_after(
    place: Place, database: Database, relay: Relay
) -> None:
    enroll(database, "alice")
    member = Member(place, database)
    member.configure(relay.port)
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    driver = Connection(ours)
    driver.read_config(config.parse_arguments([f"config={member.config_path}"]))
    assert driver.look_up_user("alice", "").record is not None
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(driver.ask, "Code: ", echo=True)
        assert theirs.recv(wire.MAX_PACKET)
        until_nobody_is_connected(database)
        theirs.close()
        assert asked.exception() is not None
    answer = Answer(verifier.CODE, code_now())
    verdict = driver.verify(LoginAttempt("alice", answer, Policy(), is_decoy=False, source=SOURCE))
    assert verdict is not None
    assert verifier.ACCEPTED == verdict.outcome
    driver.have_told("alice", 0)
    assert 2 == relay.connections
    driver.disconnect()
    until_nobody_is_connected(database)
    ours.close()


def until_nobody_is_connected(database: Database) -> None:
    deadline = time.monotonic() + 30
    while sessions(database.cluster):
        assert time.monotonic() < deadline
        time.sleep(0.02)
