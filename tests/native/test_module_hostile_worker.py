"""Whatever a worker says or leaves out: no hang, never PAM_SUCCESS, and a line in the log."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.native.fake_worker import (
    MAX_PACKET,
    Script,
    Talk,
    Worker,
    ask_both,
    message,
    packet,
    result,
    says,
)
from tests.native.module_side import (
    PAM_SERVICE_ERR,
    PAM_SUCCESS,
    TEXT_INFO,
    Side,
)

Serve = Callable[[Script], Worker]

NOT_UNDERSTOOD = "the worker answered what this module does not understand"
KNOWN_CODES = (0, 3, 7, 9, 11, 19, 25)

GARBAGE = {
    "one byte": b"P",
    "half a header": b"PT\1",
    "no header": b"\0" * 64,
    "text": b"PAM_SUCCESS\n",
    "a header of no type": packet(0),
    "a request": packet(1, b"\0"),
    "an answer": packet(2, b"\0"),
    "an unknown type": packet(15, b"\0"),
    "another unknown type": packet(20, b"\0"),
    "the last type": packet(255, b"\0"),
    "success of version 0": packet(18, b"\0", version=0),
    "success of version 2": packet(18, b"\0", version=2),
    "success of version 255": packet(18, b"\0", version=255),
    "success of wrong magic": packet(18, b"\0", magic=b"XT"),
    "success of wrong magic, too": packet(18, b"\0", magic=b"Pt"),
    "a result without a code": packet(18),
    "success and a byte": packet(18, b"\0\0"),
    "success in four bytes": packet(18, b"\0\0\0\0"),
    "success and much": packet(18, b"\0" * (MAX_PACKET - 5)),
    "success in a huge packet": packet(18, b"\0" * (MAX_PACKET - 4)),
    "success in a packet that is cut off": packet(18, b"\0" * 100_000),
    "a message without a style": packet(16),
    "a message of style 0": message(b"Code: ", style=0),
    "a message of style 5": message(b"Code: ", style=5),
    "a message of style 255": message(b"Code: ", style=255),
    "a NUL in a message": message(b"Code\0: "),
    "a NUL at the end of a message": message(b"Code: \0"),
    "a message of the next version": packet(16, b"\1Code: ", version=2),
    "a message that is too long": message(b"x" * (MAX_PACKET - 5)),
    "a message that is cut off": message(b"x" * 100_000),
    "a question for a password too": ask_both(),
    "that of no length": ask_both(b""),
    "a refusal without versions": packet(19),
    "half a refusal": packet(19, b"\1"),
    "a NUL in a refusal": packet(19, b"\1\1too\0many"),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("first", [True, False], ids=["at first", "in the middle"])
def test_a_packet_of_no_worker_denies(side: Side, serve: Serve, garbage: bytes, first: bool):
    worker = serve(says(*([] if first else [message(b"Code: ")]), garbage))
    outcome = side.log_in("123456")
    assert (PAM_SERVICE_ERR, [NOT_UNDERSTOOD]) == (outcome.code, outcome.reasons)
    assert 1 == len(worker.talks)


@pytest.mark.root
@pytest.mark.parametrize("first", [True, False], ids=["at first", "in the middle"])
def test_what_a_service_says_wrongly_is_asked_of_nobody_else(side: Side, serve: Serve, first: bool):
    marker = side.folder / "started"
    side.write_worker(f"open({str(marker)!r}, 'w')")
    serve(says(*([] if first else [message(b"Code: ")]), packet(18, b"\0", version=2)))
    outcome = side.log_in("123456", as_root=True)
    assert (PAM_SERVICE_ERR, [NOT_UNDERSTOOD]) == (outcome.code, outcome.reasons)
    assert not marker.exists()


def test_each_code_that_is_not_in_the_table_denies(side: Side, serve: Serve):
    unknown = [code for code in range(256) if code not in KNOWN_CODES]
    left = list(unknown)

    def script(talk: Talk) -> None:
        talk.recv()
        talk.send(result(left.pop(0)))

    serve(script)
    outcome = side.log_in(options=("-n", str(len(unknown))))
    assert [PAM_SERVICE_ERR] * 249 == outcome.codes
    assert [NOT_UNDERSTOOD] * 249 == outcome.reasons
    assert [] == left


@pytest.mark.parametrize("code", KNOWN_CODES)
def test_each_code_of_the_table_is_returned(side: Side, serve: Serve, code: int):
    serve(says(message(b"Code: "), result(code)))
    outcome = side.log_in("123456")
    assert (code, []) == (outcome.code, outcome.reasons)


def test_a_message_of_the_greatest_length_is_shown_whole(side: Side, serve: Serve):
    text = "x" * (MAX_PACKET - 6)
    serve(says(message(text.encode(), TEXT_INFO), result(PAM_SUCCESS)))
    outcome = side.log_in()
    assert (PAM_SUCCESS, [(TEXT_INFO, text)]) == (outcome.code, outcome.shown)


@pytest.mark.parametrize("first", [True, False], ids=["at first", "in the middle"])
def test_a_silent_worker_is_waited_for_only_so_long(side: Side, serve: Serve, first: bool):
    def script(talk: Talk) -> None:
        talk.recv()
        if not first:
            talk.ask()
        talk.recv()  # the end

    serve(script)
    outcome = side.log_in("123456", module=side.impatient)
    assert PAM_SERVICE_ERR == outcome.code
    assert ["the worker did not answer in time"] == outcome.reasons


def test_the_patience_is_for_all_that_a_worker_says_together(side: Side, serve: Serve):
    """Not for each word: one that dribbles would never end."""

    def script(talk: Talk) -> None:
        talk.recv()
        talk.connection.settimeout(0.3)
        for _ in range(1000):
            try:
                talk.recv()
            except TimeoutError:
                talk.send(message(b"Please wait", TEXT_INFO))

    serve(script)
    outcome = side.log_in(module=side.impatient)
    assert PAM_SERVICE_ERR == outcome.code
    assert ["the worker did not answer in time"] == outcome.reasons


def test_the_time_that_a_person_takes_is_not_the_workers(side: Side, serve: Serve):
    worker = serve(says(message(b"Code: "), result(PAM_SUCCESS)))
    outcome = side.log_in("\\slow", module=side.impatient)
    assert (PAM_SUCCESS, []) == (outcome.code, outcome.reasons)
    assert packet(2, b"\0late") == worker.received[-1]


@pytest.mark.parametrize(
    "dribble",
    [message(b"Please wait", TEXT_INFO), message(b"Code: ")],
    ids=["messages", "prompts"],
)
def test_a_worker_that_never_comes_to_an_end_denies(side: Side, serve: Serve, dribble: bytes):
    def script(talk: Talk) -> None:
        talk.recv()
        while True:
            talk.send(dribble)
            talk.recv()

    serve(script)
    outcome = side.log_in(*["123456"] * 200)
    assert (PAM_SERVICE_ERR, ["the worker asked too often"]) == (outcome.code, outcome.reasons)
    assert 100 == len(outcome.shown)
