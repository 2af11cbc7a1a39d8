"""A file is there whole, and on the disk, or not at all, whenever the power goes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def write_new(path: str, content: bytes, finish: Callable[[int], None] | None = None) -> None:
    """Make the file ``path``, for its owner alone, on the disk when this returns.

    ``finish`` is given its descriptor, to change mode, owner and attributes before that. The name
    itself is durable after sync_folder(). Raises FileExistsError, also for a link; any OSError
    names the file.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(path, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            if finish is not None:
                finish(file.fileno())
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = error.filename or path
        raise


def rename(unfinished: str, path: str) -> None:
    """Let a file that is whole take the name ``path``, in the same folder, durably."""
    os.rename(unfinished, path)
    sync_folder(path)


def remove(path: str) -> None:
    """Remove ``path`` if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def sync_folder(path: str) -> None:
    """Make the names in the folder of ``path`` durable."""
    folder = os.path.dirname(path)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = folder
        raise
    finally:
        os.close(descriptor)
