"""A new store, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import TYPE_CHECKING

from ...system import atomic_files, lock_file, trusted_files
from ...system.errors import StoreUnavailable
from ..sealing import DECOY_KEY, KEY_BYTES
from . import lasting_files
from .database import SUFFIXES, Database

# ioctl_iflags(2): the files that are made in such a folder are written over, not copied.
_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, _FS_NOCOW_FL = 0x80086601, 0x40086602, 0x00800000

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..sealing import Sealer


def create_database(path: str, sealer: Sealer, more: Iterable[str] = ()) -> bool:
    """Create folder (0700) and file (0600); a crash leaves a whole store or none.

    ``more``: statements for what else is in the file.
    """
    folder = os.path.dirname(path)
    _make_folder(folder)
    trusted_files.check_folder(folder)
    if os.path.lexists(path):
        return False
    with lock_file.held(path):  # two at once: the second finds the store
        if os.path.lexists(path):
            return False
        _refuse_files_of_another_store(path)
        _write_in_place(folder)
        unfinished = f"{path}.new"
        for suffix in ("", *SUFFIXES):
            atomic_files.remove(unfinished + suffix)
        _make_empty_file(unfinished)
        _fill(unfinished, sealer, more)
        atomic_files.rename(unfinished, path)
    return True


def _make_folder(folder: str) -> None:
    """Make it for the owner alone, whatever the umask; leave one that is there as it is."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    os.chmod(folder, 0o700)


def _write_in_place(folder: str) -> None:
    """Let btrfs take no new block for one that is written again, in the files of a new store.

    Other file systems do so anyway, and know no such flag: whatever they say is no failure.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        known = fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, struct.pack("l", 0))
        (flags,) = struct.unpack("l", known)
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, struct.pack("l", flags | _FS_NOCOW_FL))
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _make_empty_file(path: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _refuse_files_of_another_store(path: str) -> None:
    """SQLite would play the log of a store that was moved away into the new one.

    Not one that was merged: what it holds is in that store, and it goes.
    """
    if _is_void(f"{path}-wal"):
        for suffix in ("-wal", "-shm"):
            if os.path.lexists(path + suffix):
                trusted_files.check_file(path + suffix)
                os.unlink(path + suffix)
    for suffix in SUFFIXES:
        if os.path.lexists(path + suffix):
            raise StoreUnavailable(
                path + suffix,
                "was left behind by another store",
                "move it to where that store went, under that store's name",
            )


def _is_void(log: str) -> bool:
    if not os.path.isfile(log) or os.path.islink(log):
        return False
    return not lasting_files.has_content(log)


def _fill(path: str, sealer: Sealer, more: Iterable[str]) -> None:
    database = Database(path, lasting=False)
    try:
        database.migrate()
        database.execute(
            "INSERT INTO meta (key, value) VALUES "
            "('sealing_key_id', ?), ('decoy_key', ?), ('last_write', x'')",
            (sealer.key_id, sealer.seal(os.urandom(KEY_BYTES), *DECOY_KEY)),
        )
        for statement in more:
            database.execute(statement)
        database.execute("PRAGMA journal_mode = WAL")
    finally:
        database.close()
