"""What can be found at the socket's path in place of a service that may be asked."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.native.fake_worker import (
    REFUSED,
    Talk,
    Worker,
    message,
    packet,
    result,
    says,
)
from tests.native.module_side import (
    PAM_SUCCESS,
)

# Whoever reaches one like this is let in.
GENEROUS = says(message(b"Code: "), result(PAM_SUCCESS))


@contextmanager
def nothing(path: Path) -> Iterator[None]:
    yield


@contextmanager
def a_socket_without_a_listener(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as bound:
        bound.bind(str(path))
        path.chmod(0o666)
        yield


@contextmanager
def a_socket_of_another_type(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
        bound.bind(str(path))
        path.chmod(0o666)
        bound.listen()
        yield


@contextmanager
def a_plain_file(path: Path) -> Iterator[None]:
    path.write_bytes(result(PAM_SUCCESS))
    path.chmod(0o666)
    yield


@contextmanager
def a_folder(path: Path) -> Iterator[None]:
    path.mkdir()
    yield


@contextmanager
def a_link_to_a_service(path: Path) -> Iterator[None]:
    elsewhere = path.with_name("elsewhere")
    with Worker(elsewhere, GENEROUS):
        path.symlink_to(elsewhere)
        yield


@contextmanager
def a_full_backlog(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(0)
        while True:
            client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            client.setblocking(False)
            try:
                client.connect(str(path))
            except BlockingIOError:
                break
        yield


@contextmanager
def a_service_that_refuses(path: Path) -> Iterator[None]:
    with Worker(path, says(REFUSED)):
        yield


@contextmanager
def a_service_of_another_version(path: Path) -> Iterator[None]:
    with Worker(path, says(packet(19, b"\7\7packet: is of version 1, not 7", version=7))):
        yield


@contextmanager
def a_service_that_ends(path: Path) -> Iterator[None]:
    def script(talk: Talk) -> None:
        talk.recv()

    with Worker(path, script):
        yield


@contextmanager
def a_socket_of_somebody(path: Path) -> Iterator[None]:
    with Worker(path, GENEROUS):
        os.chown(path, 1234, 1234)
        yield


@contextmanager
def a_socket_that_is_not_for_all(path: Path) -> Iterator[None]:
    with Worker(path, GENEROUS):
        path.chmod(0o600)
        yield


_LISTEN_AS_SOMEBODY = """
import os, socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
os.setuid(1234)
listener.listen()
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.send(b"PT\\1\\x12\\0")
"""


@contextmanager
def a_listener_of_somebody(path: Path) -> Iterator[None]:
    """The socket's file is root's; who took it over is not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as bound:
        bound.bind(str(path))
        path.chmod(0o666)
        command = [sys.executable, "-I", "-c", _LISTEN_AS_SOMEBODY, str(bound.fileno())]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, pass_fds=[bound.fileno()]
        ) as process:
            assert process.stdout is not None
            assert b"ready\n" == process.stdout.readline()
            yield
            process.kill()
