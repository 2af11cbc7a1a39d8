"""A worker that is closed, killed or refuses before, during and after each of its words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.native.fake_worker import (
    REFUSED,
    Script,
    Talk,
    Worker,
    message,
    says,
)
from tests.native.module_side import (
    PAM_AUTHINFO_UNAVAIL,
    PAM_SERVICE_ERR,
    TEXT_INFO,
    TIMEOUT,
    Side,
)

Serve = Callable[[Script], Worker]

ENDED = "the worker ended in the middle"
ENDED_FIRST = "the worker ended before it began"
NOBODY_ASKED = "no worker could be asked"

WAYS_TO_GO = {
    "close": lambda talk: talk.connection.close(),
    "end of what it says": lambda talk: talk.connection.shutdown(1),
    "an empty packet": lambda talk: talk.send(b""),
}


@pytest.mark.parametrize("go", WAYS_TO_GO.values(), ids=WAYS_TO_GO)
def test_a_service_that_goes_before_its_first_word(side: Side, serve: Serve, go: Script):
    def script(talk: Talk) -> None:
        talk.recv()
        go(talk)

    serve(script)
    outcome = side.log_in("123456")
    assert (PAM_AUTHINFO_UNAVAIL, [ENDED_FIRST, NOBODY_ASKED]) == (outcome.code, outcome.reasons)


def test_a_service_that_goes_before_it_hears_the_request(side: Side, serve: Serve):
    serve(lambda talk: None)
    outcome = side.log_in("123456")
    first, last = outcome.reasons
    assert PAM_AUTHINFO_UNAVAIL == outcome.code
    assert first in ("the worker takes no request", ENDED_FIRST)  # as soon as it is noticed
    assert NOBODY_ASKED == last


MIDDLES = {
    "after a message": [message(b"Please wait", TEXT_INFO)],
    "after an answer": [message(b"Code: ")],
    "after two answers": [message(b"Code: "), message(b"Again: ")],
}


@pytest.mark.parametrize("before", MIDDLES.values(), ids=MIDDLES)
@pytest.mark.parametrize("go", WAYS_TO_GO.values(), ids=WAYS_TO_GO)
def test_a_service_that_goes_in_the_middle(
    side: Side, serve: Serve, go: Script, before: list[bytes]
):
    def script(talk: Talk) -> None:
        says(*before)(talk)
        go(talk)

    serve(script)
    outcome = side.log_in("123456", "234567")
    assert (PAM_SERVICE_ERR, [ENDED]) == (outcome.code, outcome.reasons)


def test_a_service_that_goes_while_a_person_types(side: Side, serve: Serve):
    """The answer is then sent to nobody: no SIGPIPE ends the application."""

    def script(talk: Talk) -> None:
        talk.recv()
        talk.send(message(b"Code: "))

    serve(script)
    outcome = side.log_in("\\slow")
    assert (PAM_SERVICE_ERR, [ENDED]) == (outcome.code, outcome.reasons)


_TO_BE_KILLED = """
import os, signal, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
listener.listen()
print("ready", flush=True)
connection, _ = listener.accept()
for word in sys.argv[2:]:
    connection.recv(65536)
    connection.send(bytes.fromhex(word))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("words", range(4), ids=lambda words: f"after {words} words")
def test_a_service_that_is_killed_denies(side: Side, words: int):
    prompts = [message(b"Code: ").hex()] * words
    command = [sys.executable, "-I", "-c", _TO_BE_KILLED, str(side.socket), *prompts]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert b"ready\n" == process.stdout.readline()
            outcome = side.log_in("123456", "234567", "345678")
            assert -9 == process.wait(TIMEOUT)
        finally:
            process.kill()
    expected = PAM_SERVICE_ERR if words else PAM_AUTHINFO_UNAVAIL
    assert expected == outcome.code
    assert (ENDED if words else NOBODY_ASKED) == outcome.reasons[-1]


def test_a_refusal_is_said_and_leaves_nobody_to_ask(side: Side, serve: Serve):
    serve(says(REFUSED))
    outcome = side.log_in("123456")
    assert PAM_AUTHINFO_UNAVAIL == outcome.code
    assert ["the worker refused this login", NOBODY_ASKED] == outcome.reasons


@pytest.mark.parametrize("as_root", [False, pytest.param(True, marks=pytest.mark.root)])
def test_a_refusal_in_the_middle_is_the_end(side: Side, serve: Serve, as_root: bool):
    marker = side.folder / "started"
    side.write_worker(f"open({str(marker)!r}, 'w')")
    serve(says(message(b"Code: "), REFUSED))
    outcome = side.log_in("123456", as_root=as_root)
    assert PAM_SERVICE_ERR == outcome.code
    assert ["the worker refused in the middle"] == outcome.reasons
    assert not os.path.exists(marker)
