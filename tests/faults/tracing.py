"""strace, attached to a waiting process: to see what it writes, to kill it there, to fail it."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults.processes import Meet, Waiting
from tests.support import thorough

# Whatever changes a file, a lock or what others see. A '?': not on every architecture.
SYSTEM_CALLS = (
    "openat,close,fcntl,pwrite64,write,fsync,fdatasync,ftruncate,fallocate,fchmod,?unlink,unlinkat,"
    "?rename,?renameat,renameat2,?link,linkat,?mkdir,mkdirat,connect,sendto"
)
_CALL = re.compile(r"^(?:\d+ +)?([a-z0-9_]+)\((.*)$")
_PR_SET_PTRACER, _ANY = 0x59616D61, ctypes.c_ulong(-1)


def traced(
    action: Callable[[Meet], Any], trace: Path, *inject: str
) -> tuple[Any, list[tuple[str, str]]]:
    """Run ``action(pause)`` in a process; from its pause on strace watches, and ``inject``s.

    Return what it returned (None if it was killed first), and the system calls it made as pairs
    of name and the rest of strace's line.
    """

    def observed(pause: Meet) -> Any:
        # Where Yama keeps processes from tracing their siblings: let them.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)
        return action(pause)

    with Waiting(observed) as process, attached(process.pid, trace, *inject) as strace:
        process.go()
        result = process.returned()
        strace.wait(60)
    return result, list(calls_in(trace))


@contextmanager
def attached(pid: int, trace: Path, *inject: str) -> Iterator[subprocess.Popen[str]]:
    """Watch a process with strace, and ``inject``; afterwards it goes on by itself."""
    command = ["strace", "-f", "-y", "-o", str(trace), f"--attach={pid}"]
    command += [f"--trace={SYSTEM_CALLS}", *(f"--inject={expression}" for expression in inject)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        first = strace.stderr.readline()
        if "attached" not in first:
            strace.kill()
            message = "strace cannot attach to a process here, and these tests need it to: "
            raise AssertionError(message + first)
        try:
            yield strace
        finally:
            strace.terminate()  # it lets go of a process that is still there


def calls_in(trace: Path) -> Iterator[tuple[str, str]]:
    """Return the system calls in what strace wrote, as pairs of name and the rest of the line."""
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _CALL.match(line)
        if match:
            yield match[1], match[2]


def schedule(calls: list[tuple[str, str]]) -> list[tuple[str, int]]:
    """Return each of ``calls`` as strace counts them: a name, and the how many-eth of it."""
    seen: dict[str, int] = {}
    steps = []
    for name, _ in calls:
        seen[name] = seen.get(name, 0) + 1
        steps.append((name, seen[name]))
    return steps


def kills(folder: Path, action: Callable[[Meet], Any]) -> Iterator[tuple[Any, bool]]:
    """Yield what ``action`` returned, and whether it was killed: unharmed first, then each kill.

    ``folder`` is as it was before each of them.
    """
    original, trace = folder.with_name("original"), folder.with_name("trace")
    shutil.copytree(folder, original)
    result, calls = traced(action, trace)
    assert 10 < len(calls)
    yield result, False
    for name, number in thorough.kills(schedule(calls), calls):
        shutil.rmtree(folder)
        shutil.copytree(original, folder)
        result, calls = traced(action, trace, f"{name}:signal=KILL:when={number}")
        assert (name, "?") == (calls[-1][0], calls[-1][1][-1]), "the kill missed"
        assert result is None
        yield result, True
