"""A worker that says what a test tells it to: docs/internals/protocol.md, byte by byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.native.module_side import PROMPT_ECHO_OFF, TIMEOUT

TEXT, NONE, PASSWORD, FAILED, KEPT, NO_CODE = 0, 1, 2, 3, 4, 5
MAX_PACKET = 32768


def packet(kind: int, body: bytes = b"", version: int = 1, magic: bytes = b"PT") -> bytes:
    return magic + bytes([version, kind]) + body


def message(text: bytes, style: int = PROMPT_ECHO_OFF) -> bytes:
    return packet(16, bytes([style]) + text)


def ask_both(digits: bytes = b"\6", text: bytes = b"Password and code: ") -> bytes:
    return packet(17, bytes([len(digits)]) + digits + text)


def result(code: int) -> bytes:
    return packet(18, bytes([code]))


def answer(text: bytes, kind: int = TEXT) -> bytes:
    return packet(2, bytes([kind]) + text)


REFUSED = packet(19, b"\2\3too many connections")


class Talk:
    """The worker's end of one connection; keeps all that came."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received: list[bytes] = []

    def recv(self) -> bytes:
        packet = self.connection.recv(1 << 20)
        self.received.append(packet)
        return packet

    def send(self, packet: bytes) -> None:
        self.connection.send(packet)

    def ask(self, prompt: bytes = b"Verification code: ") -> bytes:
        self.send(message(prompt))
        return self.recv()


Script = Callable[[Talk], object]


def says(*packets: bytes) -> Script:
    """Return a script that hears the request, then says ``packets``, hearing each answer."""

    def script(talk: Talk) -> None:
        talk.recv()
        for each in packets:
            talk.send(each)
            if each[3:4] in (b"\x10", b"\x11"):
                talk.recv()

    return script


class Worker:
    """A service at ``path``: connection after connection is served by ``script``."""

    def __init__(self, path: Path, script: Script) -> None:
        self._script = script
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(100)
        self.talks: list[Talk] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIMEOUT)
        self._listener.close()
        self._path.unlink()

    @property
    def received(self) -> list[bytes]:
        """What came, on all connections."""
        return [packet for talk in self.talks for packet in talk.received if packet]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.talks.append(Talk(connection))
            self._threads.append(threading.Thread(target=self._serve, args=[self.talks[-1]]))
            self._threads[-1].start()

    def _serve(self, talk: Talk) -> None:
        with talk.connection, suppress(OSError):  # the application may leave whenever it likes
            talk.connection.settimeout(TIMEOUT)
            self._script(talk)
