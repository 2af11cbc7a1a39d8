"""Have the QR code of a secret drawn, by a program of its own.

What draws it, segno and pyotp, is never loaded into a process that logs people in. The program
lies beside this package, as the worker does; the secret goes to it through a socket, for argv and
environment of a process can be read by others.
"""

from __future__ import annotations

import _signal
import _socket
import os
import time
from typing import TYPE_CHECKING

from ..system import embedding

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = os.path.normpath(f"{os.path.realpath(__file__)}/../../../picture")  # beside the package
SECONDS = 10.0  # the program takes a fifth of one
MAX_BYTES = 64 * 1024
MAX_COLUMNS = 80  # of a terminal

_INTERPRETER = "/usr/bin/python3"
_ENVIRONMENT = {"PATH": embedding.PATH, "LC_ALL": "C.UTF-8"}


class _NotDone(OSError):
    """The program still runs, so that its number is its own."""


def draw(
    secret: bytes, user: str, place: str, issuer: str, label: str = ""
) -> tuple[str, list[str]]:
    """Return the otpauth URI, of the account ``user`` at ``place``, and the lines of its QR code.

    ``label``: of a device that is not the first.

    Without lines where it would be wider than a terminal, and without either where the program
    fails: whoever asks shows the secret itself.
    """
    said = "\0".join((secret.hex(), user, place, issuer, label)).encode("utf-8", "surrogateescape")
    try:
        drawn = _run(said).decode("utf-8").split("\n")
    except (OSError, UnicodeError):
        return "", []
    uri, lines = drawn[0], drawn[1:-1]
    if not uri.startswith("otpauth://") or not (uri.isascii() and uri.isprintable()):
        return "", []
    return uri, lines if max(map(len, lines), default=0) <= MAX_COLUMNS else []


def _run(said: bytes) -> bytes:
    """Let the program read ``said``, and return all that it writes. Raises OSError."""
    ours, its = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        try:
            child = os.posix_spawn(
                _INTERPRETER,
                [_INTERPRETER, "-IS", PROGRAM],
                _ENVIRONMENT,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, its.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, its.fileno(), 1),
                    (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
                ],
                setsigmask=(),
            )
        finally:
            its.close()
        try:
            return b"".join(_dialogue(ours, said))
        except _NotDone:
            os.kill(child, _signal.SIGKILL)
            raise
        finally:
            _wait_for(child)
    finally:
        ours.close()


def _dialogue(program: _socket.socket, said: bytes) -> Iterator[bytes]:
    """Yield what comes until the program closes its end. Raises _NotDone, or another OSError."""
    deadline = time.monotonic() + SECONDS
    left = MAX_BYTES
    program.sendall(said, _socket.MSG_NOSIGNAL)  # there is room for it
    program.shutdown(_socket.SHUT_WR)
    while True:
        program.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            chunk = program.recv(left)
        except TimeoutError:
            raise _NotDone("it takes too long") from None
        if not chunk:
            return
        yield chunk
        left -= len(chunk)
        if left == 0:
            raise _NotDone("it writes too much")


def _wait_for(child: int) -> None:
    try:
        os.waitpid(child, 0)
    except ChildProcessError:  # the application has it waited for already
        pass
