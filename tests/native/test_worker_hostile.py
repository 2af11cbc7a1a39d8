"""The service among clients that mean it no good: afterwards a login goes as before."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from tests.native import worker_side as side
from tests.native.worker_side import Client, Worker
from tests.support.place import Place, code_now

REQUEST_SECONDS = 0.4
LONG_AGO = ("service/worker.py", "REQUEST_SECONDS = 10.0", f"REQUEST_SECONDS = {REQUEST_SECONDS}")
SHORT_OF_PATIENCE = ("service/connection.py", "ANSWER_SECONDS = 600.0", "ANSWER_SECONDS = 0.5")


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with side.worker_in_a_folder(side.EVERYBODY, LONG_AGO, SHORT_OF_PATIENCE) as worker:
        worker.listen()
        worker.log_in(b"x")  # from here on it keeps the socket of its log
        yield worker


@pytest.fixture
def packet(place: Place) -> bytes:
    return side.request(arguments=side.of_place(place.config_path, b"attempts=1"))


@pytest.fixture(autouse=True)
def _logs_in_afterwards(worker: Worker, place: Place, packet: bytes) -> Iterator[None]:
    """Whatever happened in between: nobody is left over, and a right code is right."""
    place.enrol("alice")
    before = open_files(worker)
    yield
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now(1)).code
    side.wait_until(lambda: open_files(worker) <= before)
    assert None is worker.processes[0].poll()


def open_files(worker: Worker) -> int:
    """Count the sockets: the store's files stay open for a while."""
    names = side.open_files_of(worker.processes[0].pid)
    return sum(name.startswith("socket:") for name in names)


def end_of(client: Client) -> list[bytes]:
    """Return what comes until the worker ends the connection."""
    received = []
    while packet := client.receive():
        received.append(packet)
    return received


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"x", "packet: is not of pam_totp.so"),
        (b"PT\1\1", "request: ends too early"),
        (side.request()[:-3], "request: ends too early"),
        (side.request() + b"\0", "request: goes on after its end"),
        (side.answer("123456"), "packet: is of type 2, not 1"),
        (side.packet(1, b"", version=2), "packet: is of version 2, not 1"),
        (side.packet(18, b"\0"), "packet: is of type 18, not 1"),
        (side.request(user=b"x" * 33000), "packet: is not of pam_totp.so"),
        (bytes(150_000), "packet: is not of pam_totp.so"),
    ],
)
def test_what_is_no_request_is_refused_with_a_reason(
    worker: Worker, sent: bytes, reason: str
) -> None:
    with Client(worker.socket) as client:
        client.send(sent)
        assert [side.packet(side.REFUSED, b"\1\1" + reason.encode())] == end_of(client)
    worker.log.wait_for("pam_totp(worker): event=error", reason, f"peer_pid={os.getpid()}")


def test_who_says_nothing_is_waited_for_a_moment(worker: Worker) -> None:
    begun = time.monotonic()
    with Client(worker.socket) as client:
        assert [] == end_of(client)
    assert REQUEST_SECONDS * 0.9 <= time.monotonic() - begun
    worker.log.wait_for("no request came: timed out")


def test_an_empty_packet_is_the_end(worker: Worker) -> None:
    with Client(worker.socket) as client:
        client.send(b"")
        assert [] == end_of(client)


def test_who_never_answers_is_waited_for_a_moment(worker: Worker, packet: bytes) -> None:
    with Client(worker.socket) as client:
        client.send(packet)
        received = end_of(client)
    assert [side.MESSAGE, side.RESULT] == [packet[3] for packet in received]
    assert side.PAM_CONV_ERR == received[-1][4]
    worker.log.wait_for("nobody typed anything for too long")


@pytest.mark.parametrize(
    "sent",
    [
        b"x",
        b"PT\1\2",
        b"PT\1\2\0" + b"1" * 513,
        b"PT\1\2\0a\0b",
        b"PT\1\2\2" + b"x",
        b"PT\1\2\x04",
        side.request(),
        b"PT\1\2\0" + b"1" * 150_000,
    ],
)
def test_what_is_no_answer_ends_the_login(worker: Worker, packet: bytes, sent: bytes) -> None:
    with Client(worker.socket) as client:
        client.send(packet)
        client.until_prompt()
        client.send(sent)
        assert [side.packet(side.RESULT, bytes([side.PAM_CONV_ERR]))] == end_of(client)


def test_answers_sent_before_they_were_asked_for_are_answers(
    worker: Worker, place: Place, packet: bytes
) -> None:
    """No more than that: each one is judged, and the second right one is used up."""
    code = code_now()
    with Client(worker.socket) as client:
        for sent in (packet, side.answer(code)):
            client.send(sent)
        assert side.PAM_SUCCESS == end_of(client)[-1][4]
    with Client(worker.socket) as client:
        for sent in (packet, side.answer(code), side.answer(b"", side.NONE)):
            client.send(sent)
        assert side.PAM_AUTH_ERR == end_of(client)[-1][4]


@pytest.mark.parametrize("moment", range(4))
def test_who_hangs_up_is_forgotten(worker: Worker, packet: bytes, moment: int) -> None:
    for _ in range(20):
        with Client(worker.socket) as client:
            if moment >= 1:
                client.send(packet)
            if moment >= 2:
                client.until_prompt()
            if moment >= 3:
                client.send(side.answer("no code"))


def test_who_hangs_up_on_one_side_is_told(worker: Worker, packet: bytes) -> None:
    with Client(worker.socket) as client:
        client.send(packet)
        client.socket.shutdown(socket.SHUT_WR)
        assert side.PAM_CONV_ERR == end_of(client)[-1][4]


def test_files_that_are_passed_along_are_not_kept(worker: Worker, packet: bytes) -> None:
    with open("/dev/null", "rb") as file:
        before = side.open_files_of(worker.processes[0].pid).count("/dev/null")
        with Client(worker.socket) as client:
            socket.send_fds(client.socket, [packet], [file.fileno()] * 200)
            client.until_prompt()
            socket.send_fds(client.socket, [side.answer("no code")], [file.fileno()] * 200)
            assert side.MESSAGE == client.receive()[3]
            now = side.open_files_of(worker.processes[0].pid)
            assert before == now.count("/dev/null")


def test_a_thousand_who_say_nothing_keep_nobody_waiting_for_long(
    worker: Worker, packet: bytes
) -> None:
    clients = [Client(worker.socket) for _ in range(1000)]
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now()).code
    for client in clients:
        assert [] == end_of(client)
        client.socket.close()


def test_a_thousand_who_ask_something_else_are_all_refused(worker: Worker) -> None:
    clients = [Client(worker.socket) for _ in range(1000)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
    for client in clients:
        assert side.REFUSED == end_of(client)[0][3]
        client.socket.close()
