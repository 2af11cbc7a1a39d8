"""Recovery codes hashed on all cores: a set of ten takes one core some 200 ms.

libsodium runs outside of Python's lock, so threads are enough. Each takes 19 MiB while it hashes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Self

from pam_totp.core import recovery
from pam_totp.system import issuing

_MEMORY_FILE = "/proc/meminfo"
_PART_OF_MEMORY = 4  # of what is available, one part in so many may be used


class NewCodes(NamedTuple):
    """What is handed out, and what is kept of it."""

    codes: list[str]
    salt: bytes
    digests: frozenset[bytes]

    def __repr__(self) -> str:
        return "<NewCodes>"


class CodeMaker:
    """A context manager that makes sets of recovery codes, several at once.

    Left by an exception, it gives up what has not begun.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(threads(), "hashing")

    def begin(self) -> Callable[[], NewCodes]:
        """Begin with a new set; return what waits for it."""
        codes, salt = issuing.new_recovery_codes(), issuing.new_salt()
        digests: list[Future[bytes]] = [
            self._threads.submit(issuing.digest, code, salt) for code in codes
        ]
        return lambda: NewCodes(codes, salt, frozenset(each.result() for each in digests))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._threads.shutdown(cancel_futures=kind is not None)


def new_recovery_codes() -> NewCodes:
    """Make the codes of one person."""
    with CodeMaker() as maker:
        return maker.begin()()


def threads() -> int:
    """Return how many hash at once: one a core, as far as the memory goes."""
    most = _available_memory() // _PART_OF_MEMORY // recovery.ARGON2_MEMORY_BYTES
    return max(1, min(len(os.sched_getaffinity(0)), most))


def _available_memory() -> int:
    """Return the bytes that can be had without swapping; 0 where the kernel does not say."""
    try:
        with open(_MEMORY_FILE, encoding="ascii") as file:
            for line in file:
                name, _, amount = line.partition(":")
                if name == "MemAvailable":
                    return int(amount.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0
