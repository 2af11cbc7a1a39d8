"""Runs programs of the tree in forks of one process, which has loaded the libraries.

Most of what totpctl takes is spent on loading click, nacl and the like, and its own modules, and
tests start it some thousand times. A fork finds the libraries loaded; and what is the project's own
where it was told to load that. In a machine it forgets that again where other files are installed.

This file is both ends: Starter for a test, and main() for the process that forks.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from types import CodeType
from typing import IO, Any

# What most commands load that is not the project's.
_LIBRARIES = (
    *("click", "click.shell_completion", "nacl.bindings", "pyotp", "segno", "sqlite3"),
    *("ctypes", "ctypes.util", "datetime", "difflib", "getpass", "hashlib", "ipaddress"),
    *("pathlib", "pwd", "resource", "shutil", "tempfile", "urllib.parse"),
)
_REQUEST_BYTES = 128 * 1024


class Running:
    """One run of a program. ``ended``: the descriptor that says how it ended."""

    def __init__(self, ended: socket.socket) -> None:
        self._ended = ended
        self._pid = 0

    @property
    def pid(self) -> int:
        """Return its process id, once it has been forked."""
        if not self._pid:
            self._pid = int(self._ended.recv(16))
        return self._pid

    def wait(self, timeout: float) -> int:
        """Return how it ended, as subprocess does. Raises TimeoutError."""
        with self._ended:
            assert self.pid
            self._ended.settimeout(timeout)
            status = self._ended.recv(16)
        assert status, "the process that forks is gone"
        return int(status)


class Starter:
    """A process started by ``interpreter``, in the ``environment`` that Python starts in.

    ``packages``: of these it has loaded all modules. ``prepare``: what it has run, with ``given``
    as its standard input.
    """

    def __init__(
        self,
        interpreter: Sequence[str],
        environment: Mapping[str, str],
        *packages: str,
        prepare: str = "",
        given: bytes = b"",
    ) -> None:
        self._control, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with inside, _in_memory("stdin") as stdin:
            stdin.write(given)
            stdin.seek(0)
            self._process = subprocess.Popen(
                [*interpreter, __file__, str(inside.fileno()), prepare, *packages],
                env=environment,
                stdin=stdin,
                stdout=subprocess.DEVNULL,  # as in a run no terminal
                pass_fds=[inside.fileno()],
            )

    def close(self) -> None:
        self._control.close()
        self._process.wait(10)

    def start(
        self,
        program: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        standard: Sequence[int],
        *,
        at_terminal: bool = False,
    ) -> Running:
        """Start ``program``, as ``python3 -c`` does, with exactly ``environment``.

        ``standard``: its standard input, output and error. ``at_terminal``: which are the terminal
        of a session of its own.
        """
        umask = os.umask(0o077)
        os.umask(umask)
        request = {
            "program": program,
            "arguments": list(arguments),
            "environment": dict(environment),
            "folder": os.getcwd(),
            "umask": umask,
            "at_terminal": at_terminal,
        }
        ended, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with inside:
            descriptors = [inside.fileno(), *standard]
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        return Running(ended)

    def run(
        self,
        program: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        typed: bytes,
        timeout: float,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``program`` to its end, with ``typed`` as its standard input."""
        with _in_memory("stdout") as stdout, _in_memory("stderr") as stderr:
            with _pipe_with(typed) as stdin:
                standard = [file.fileno() for file in (stdin, stdout, stderr)]
                running = self.start(program, arguments, environment, standard)
            status = running.wait(timeout)
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(
                list(arguments), status, stdout.read(), stderr.read()
            )


def _in_memory(name: str) -> IO[bytes]:
    return open(os.memfd_create(name), "w+b")


def _pipe_with(content: bytes) -> IO[bytes]:
    """Return the end of a pipe that gives ``content``, and then no more."""
    reads, writes = os.pipe()
    size = max(len(content), select.PIPE_BUF)
    assert fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, size) >= size
    with open(writes, "wb") as end:
        end.write(content)
    return open(reads, "rb")


def main() -> str | None:
    """Fork for each request. Returns in each fork, with its program; None once nobody asks."""
    control = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    if not sys.flags.isolated:
        sys.path[0] = ""  # as with -c, and not the folder of this file
    for library in _LIBRARIES:
        importlib.import_module(library)
    for package in sys.argv[3:]:
        load_all_of(package)
    exec(sys.argv[2], {"__name__": "__main__"})
    gc.freeze()
    running: dict[int, tuple[int, socket.socket]] = {}  # by pidfd: the process, and who waits
    while True:
        readable, _, _ = select.select([control, *running], [], [])
        for ended in set(readable) & set(running):
            pid, reply = running.pop(ended)
            _, status = os.waitpid(pid, 0)
            os.close(ended)
            with reply, contextlib.suppress(OSError):  # nobody waits for this one any more
                reply.send(str(os.waitstatus_to_exitcode(status)).encode())
        if control in readable:
            request, descriptors, _, _ = socket.recv_fds(control, _REQUEST_BYTES, 4)
            if not request:
                break
            pid = os.fork()
            if pid == 0:
                control.close()
                return _become(json.loads(request), descriptors[1:])
            reply = socket.socket(fileno=descriptors[0])
            with contextlib.suppress(OSError):
                reply.send(str(pid).encode())
            running[os.pidfd_open(pid)] = (pid, reply)
            for descriptor in descriptors[1:]:
                os.close(descriptor)
    for pid, _ in running.values():
        os.kill(pid, signal.SIGKILL)
    control.close()
    return None


def load_all_of(package: str) -> None:
    folders = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(folders, f"{package}."):
        importlib.import_module(module.name)


def _become(wanted: dict[str, Any], standard: list[int]) -> str:
    """Turn this fork into what Python is before it runs the program, and return that."""
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
    os.closerange(3, 256)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    time.tzset()
    os.chdir(wanted["folder"])
    os.umask(wanted["umask"])
    if wanted["at_terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # as Python has it
        signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
    sys.argv = ["-c", *wanted["arguments"]]
    program: str = wanted["program"]
    return program


def status_of(program: str | CodeType, **names: str) -> int:
    """Run ``program`` with ``names``; return the exit status that Python then has."""
    status: object = 0
    try:
        exec(program, {"__name__": "__main__", **names})
    except SystemExit as error:
        status = error.code or 0
        if not isinstance(status, int):
            sys.stderr.write(f"{status}\n")
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    gc.collect()  # a file that was left open is complained of
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return 120
    return status if isinstance(status, int) else 1


if __name__ == "__main__":
    program = main()
    if program is not None:
        os._exit(status_of(program))  # to take all modules down takes longer than most commands
