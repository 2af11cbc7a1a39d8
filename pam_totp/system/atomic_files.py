"""A file is there whole, and on the disk, or not at all, whenever the power goes."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


_NO_NAMELESS_FILES = (errno.EOPNOTSUPP, errno.EISDIR)  # EISDIR: the kernel knows of none
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.ENOENT)  # ENOENT: there is no /proc


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


def write_new_whole(path: str, content: bytes) -> None:
    """Make the file ``path``, for its owner alone; the name is there once all of it is on the disk.

    Where the file system has no files without names (FAT, NFS), its first bytes have the name, and
    it is removed if it cannot be finished. Raises FileExistsError, also for a link.
    """
    if not _write_nameless(path, content):
        _write_or_remove(path, content)
    sync_folder(os.path.abspath(path))


def _write_nameless(path: str, content: bytes) -> bool:
    """Write a file that is given its name at last; return False where there are none."""
    folder = os.path.dirname(path) or "."
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in _NO_NAMELESS_FILES:
            return False
        raise
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
        try:
            # Its source is absolute: src_dir_fd says that the link in /proc is to be followed.
            os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return False
            raise
    return True


def _write_or_remove(path: str, content: bytes) -> None:
    try:
        write_new(path, content)
    except FileExistsError:
        raise
    except BaseException:
        remove(path)
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
