"""What takes long is tried in full by ``./tests/run nightly``; every other run takes a sample.

A sample is the same each time, and such that a broken rule fails it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

NIGHTLY = bool(os.environ.get("PAM_TOTP_NIGHTLY"))
FUZZ_SECONDS = float(os.environ.get("PAM_TOTP_FUZZ_SECONDS") or (300 if NIGHTLY else 0))

# Properties are tried on so many examples: see examples().
FACTOR = 10 if NIGHTLY else 1

# A process that is killed on entering any other call leaves what a kill at the next of these does.
_CHANGES = (
    *("pwrite64", "write", "ftruncate", "fallocate", "fchmod", "unlink", "unlinkat", "rename"),
    *("renameat", "renameat2", "link", "linkat", "mkdir", "mkdirat", "fsync", "fdatasync"),
)

T = TypeVar("T")


def some(everything: Sequence[T], one_of: int) -> list[T]:
    """Return one of so many, the first and the last among them."""
    if NIGHTLY:
        return list(everything)
    return [*everything[:-1:one_of], *everything[-1:]]


def examples(count: int) -> int:
    """Return on how many examples a property is tried, where every run tries ``count``."""
    return count * FACTOR


def kills(
    steps: Sequence[tuple[str, int]], calls: Sequence[tuple[str, str]]
) -> list[tuple[str, int]]:
    """Return at which of ``steps`` to kill: of those with the same files on the disk, one.

    ``calls`` are the same system calls as strace shows them. The last step is always one.
    """
    if NIGHTLY:
        return list(steps)
    changing = [
        step for step, (name, rest) in zip(steps[:-1], calls, strict=False) if _changes(name, rest)
    ]
    return [*changing, *steps[-1:]]


def _changes(name: str, rest: str) -> bool:
    return name in _CHANGES or (name == "openat" and "O_CREAT" in rest)
