"""Throw-away machines, none of which has a network, and a database server that all can reach.

A port of the server is a socket in a folder that every machine sees; in each machine that is to
reach it, a program listens on the same port of 127.0.0.1, which is the server's name there.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support import forward
from tests.support.machine import Machine

SHARED = Path("/fleet")  # as every machine sees the folder
_PROGRAM = [sys.executable, str(forward.__file__)]
_WAIT = 'until grep -q ":$1 " /proc/net/tcp; do sleep 0.02; done'


@contextlib.contextmanager
def machines(names: Sequence[str], folder: Path) -> Iterator[dict[str, Machine]]:
    """Start one for each of ``names``; ``folder`` is what they share."""
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Machine((folder, SHARED))) for name in names}


def serve(machine: Machine, port: int) -> None:
    """Let other machines reach ``port`` of 127.0.0.1 of this one."""
    _start(machine, f"unix:{SHARED}/{port}", f"tcp:127.0.0.1:{port}")


@contextlib.contextmanager
def served_from_outside(folder: Path, port: int) -> Iterator[None]:
    """Let machines reach ``port`` of the machine that runs the tests."""
    command = [*_PROGRAM, f"unix:{folder}/{port}", f"tcp:127.0.0.1:{port}"]
    with subprocess.Popen(command) as process:
        yield
        process.kill()


def reach(machine: Machine, name: str, port: int) -> None:
    """Let ``machine`` reach ``port`` of the server, by its ``name``."""
    machine.run("sh", "-c", f"echo '127.0.0.1 {name}' >>/etc/hosts")
    _start(machine, f"tcp:127.0.0.1:{port}", f"unix:{SHARED}/{port}")
    machine.run("sh", "-c", _WAIT, "sh", f"{port:04X}")


def _start(machine: Machine, listen: str, connect: str) -> None:
    machine.run("sh", "-c", '"$@" </dev/null >/dev/null 2>&1 &', "sh", *_PROGRAM, listen, connect)
