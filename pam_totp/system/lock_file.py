"""Let one process at a time create or replace a file that this machine cannot do without.

The lock is a file for its owner alone. Not the folder: anybody who can open it for reading can lock
it, and keep others waiting for as long as they like.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import PamTotpError

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".lock"
PATIENCE, _PAUSE = 10.0, 0.1  # seconds


@contextmanager
def held(path: str) -> Iterator[None]:
    """Keep others from ``path`` while the block runs, by a file beside it that is then removed.

    Its folder must be one that was checked. Waits for another holder, but not for ever: then
    raises PamTotpError. One that was killed holds nothing; OSError where no file can be made.
    """
    lock = path + SUFFIX
    descriptor = _take(lock)
    try:
        yield
    finally:
        if _is_still_there(lock, descriptor):
            os.unlink(lock)  # while it is held: a process that waits for it finds that it is gone
        os.close(descriptor)


def acquire(descriptor: int, seconds: float) -> bool:
    """Lock an open file, waiting ``seconds`` for another holder; False if that one has it still."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                return False
            time.sleep(_PAUSE)
        else:
            return True


def _take(lock: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    give_up = time.monotonic() + PATIENCE
    while True:
        descriptor = os.open(lock, flags, 0o600)
        try:
            is_ours = acquire(descriptor, give_up - time.monotonic())
            if is_ours and _is_still_there(lock, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if not is_ours:
            break
    from .disks import holders_hint

    raise PamTotpError(lock, "is locked by another process", f"see who: {holders_hint(lock)}")


def _is_still_there(lock: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(lock), os.fstat(descriptor))
    except FileNotFoundError:
        return False
