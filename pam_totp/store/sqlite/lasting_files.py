"""Keep the files beside a database when the last connection closes: a login then needs no new one.

SQLite removes its write-ahead log and the index of it (-wal, -shm) when nobody has the database
open any more. Then any account that takes every inode, or every block, denies the next login.
Python before 3.12 cannot tell SQLite to leave them, so locks do. An open file description lock
(fcntl(2)) conflicts with SQLite's own locks even within one process:

- One on the database, shared, while a connection closes: SQLite cannot have the database for
  itself then, and removes nothing (sqlite3WalClose in wal.c).
- One on the index, shared, while a connection opens: SQLite does not cut the index to nothing,
  which would let go of its blocks (unixLockSharedMemory in os_unix.c). The first connection
  clears the header of the index instead, for the same effect: SQLite rebuilds it from the log.

A log whose pages are all in the database is made void by the last connection that closes. So it
can be played into no other store that is restored or moved to its place.
"""

from __future__ import annotations

import _thread
import fcntl
import os
import struct
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

LOG_BYTES = 1024 * 1024  # 254 pages: what database.CHECKPOINT_PAGES leaves is for one large batch
_ROOM = 2  # only where there is this many times as much
INDEX_BYTES = 32768
PAGE_BYTES = 4096  # SQLite's default

# https://sqlite.org/walformat.html and os_unix.c
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510
_INDEX_HEADER, _DEAD_MAN_SWITCH = 136, 128
_HEADER_COPY, _LAST_FRAME_AT, _MERGED_AT, _IS_SET_AT = 48, 16, 96, 12
_LOG_HEADER = 32
_DATABASE_HEADER = 100

_lock = _thread.allocate_lock()
_kept: dict[tuple[int, int], _Files] = {}  # by device and inode of the database


class _Files:
    """What this process has open of one store. POSIX locks fall with any descriptor: all stay."""

    def __init__(self) -> None:
        self.connections = 0
        self.database: int | None = None
        self.log: tuple[int, int] | None = None  # which file that is; None: there was none yet
        self.index: int | None = None


class Hold:
    """One connection's part in keeping the files. Never raises: then SQLite does as it does."""

    def __init__(self, path: str) -> None:
        """Prepare the index at ``path`` for a connection that is about to be made."""
        self._path = path
        self._key: tuple[int, int] | None = None
        with _lock:
            try:
                self._key = _identity(path)
                files = _kept.get(self._key)
                if files is None:
                    files = _kept[self._key] = _Files()
                    files.database = _open(path)
                    files.log = _identity_if_any(f"{path}-wal")
                    _clear_index(files, f"{path}-shm")
                files.connections += 1
            except OSError:
                if self._key is not None and not _kept[self._key].connections:
                    _forget(self._key)
                self._key = None

    def close(self, connection: sqlite3.Connection) -> None:
        """Close ``connection``: its log merged, and the files left where they are."""
        with _lock:
            key, self._key = self._key, None
            files = None if key is None else _kept.get(key)
            if key is None or files is None:
                connection.close()
                return
            files.connections -= 1
            if files.connections:
                connection.close()
                return
            try:
                _merge(connection)
                _set_lock(files.database, fcntl.F_RDLCK, _SHARED_FIRST, _SHARED_SIZE)
                connection.close()
                if key == _identity(self._path) or files.log == _identity(f"{self._path}-wal"):
                    _void_log(files, self._path)
            except OSError:
                pass
            finally:
                connection.close()
                _forget(key)

    def extend(self, pages: int, more: int) -> int | None:
        """Give the database blocks for ``more`` pages than its ``pages``, written.

        Return the size before; None where the end of it is still on its way from the log: then
        others may be writing there. Only inside a transaction that writes. OSError where there is
        no room. Nothing else that opens or closes waits for it: the descriptor stays while this
        connection does.
        """
        descriptor = self._database()
        if descriptor is None:
            return None
        start = os.fstat(descriptor).st_size
        if start < pages * PAGE_BYTES:
            return None
        _write_zeros(descriptor, start, (pages + more) * PAGE_BYTES)
        return start

    def cut(self, size: int) -> None:
        """Take back what extend() did, in the same transaction."""
        descriptor = self._database()
        if descriptor is not None:
            os.ftruncate(descriptor, size)

    def logged(self) -> tuple[int, int] | None:
        """Return how many pages the log has, and how many of these are merged; None: not known.

        Whoever writes meanwhile may make that wrong. To ask for the size of the log by its name
        would make the next sync of it slower.
        """
        with _lock:
            files = None if self._key is None else _kept.get(self._key)
            if files is None:
                return None
            try:
                if files.index is None:  # there was none yet when this process opened the store
                    files.index = _open(f"{self._path}-shm")
                header = os.pread(files.index, _INDEX_HEADER, 0)
            except OSError:
                return None
        if len(header) < _INDEX_HEADER:
            return None
        return _number(header, _LAST_FRAME_AT), _number(header, _MERGED_AT)

    def _database(self) -> int | None:
        with _lock:
            files = None if self._key is None else _kept.get(self._key)
            return None if files is None else files.database


@contextmanager
def kept_from_opening(path: str) -> Iterator[bool]:
    """Tell whether ``path`` is open in this process, while it neither opens nor closes anything.

    For whoever reads the file by itself: when any descriptor is closed, SQLite's locks fall
    (sqlite.org/howtocorrupt.html, section 2.2).
    """
    with _lock:
        yield _identity_if_any(path) in _kept


def has_content(log: str) -> bool:
    """Tell whether a log may hold what its database does not. FileNotFoundError without a log."""
    descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return any(os.read(descriptor, _LOG_HEADER))
    finally:
        os.close(descriptor)


def is_short(path: str) -> bool:
    """Tell whether the log at ``path`` is shorter than what a login may come to need."""
    try:
        return os.stat(f"{path}-wal").st_size < LOG_BYTES
    except OSError:
        return False


def room_for_log(size: int) -> int:
    """Return how many bytes have to be free for a log of ``size`` bytes to get its blocks."""
    return _ROOM * max(LOG_BYTES - size, 0)


def fill_up_log(path: str) -> bool:
    """Give the log its blocks, written: to write over them takes none. OSError where that fails.

    Only inside a transaction that writes: nobody else adds to the log then. A disk that is too
    small for that is left what it has; False then.
    """
    descriptor = os.open(f"{path}-wal", os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        room = os.fstatvfs(descriptor)
        start = os.fstat(descriptor).st_size
        if room.f_bavail * room.f_frsize < room_for_log(start):
            return False
        _write_zeros(descriptor, start, LOG_BYTES)
    finally:
        os.close(descriptor)
    return True


def _write_zeros(descriptor: int, start: int, end: int) -> None:
    """Write a file on from ``start``, its end, to ``end``, durably; or cut it again, and raise."""
    at = start
    try:
        while at < end:
            at += os.pwrite(descriptor, bytes(end - at), at)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, start)
        raise


def header_of(path: str) -> bytes:
    """Return the header of the database as it is on the disk, without what the log holds.

    By the descriptor that is kept, if there is one: SQLite's locks fall with any that is closed.
    """
    with _lock:
        files = _kept.get(_identity(path))
        if files is not None and files.database is not None:
            return os.pread(files.database, _DATABASE_HEADER, 0)
        with open(path, "rb") as file:
            return file.read(_DATABASE_HEADER)


def _identity(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _identity_if_any(path: str) -> tuple[int, int] | None:
    try:
        return _identity(path)
    except OSError:
        return None


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)


def _set_lock(descriptor: int | None, kind: int, start: int, length: int) -> None:
    """Raise OSError where somebody else holds a lock that conflicts, without waiting."""
    if descriptor is not None:
        request = struct.pack("hhqqi0q", kind, os.SEEK_SET, start, length, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)


def _clear_index(files: _Files, index: str) -> None:
    try:
        files.index = _open(index)
        if os.fstat(files.index).st_size < INDEX_BYTES:
            return
        try:
            _set_lock(files.index, fcntl.F_WRLCK, _DEAD_MAN_SWITCH, 1)
        except OSError:  # somebody has it open: then it is right as it is
            pass
        else:
            os.pwrite(files.index, bytes(_INDEX_HEADER), 0)
        _set_lock(files.index, fcntl.F_RDLCK, _DEAD_MAN_SWITCH, 1)
    except OSError:  # none yet, or one that is just being opened or closed: SQLite sees to it
        return


def _merge(connection: sqlite3.Connection) -> None:
    import sqlite3

    try:
        if connection.in_transaction:
            connection.rollback()
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except (sqlite3.Error, UnicodeDecodeError):  # it stays in the log, which stays too
        pass


def _void_log(files: _Files, path: str) -> None:
    """Clear the header of a log that is merged; OSError where somebody else has the store open."""
    if files.index is None:
        files.index = _open(f"{path}-shm")
    _set_lock(files.index, fcntl.F_WRLCK, _DEAD_MAN_SWITCH, 1)
    header = os.pread(files.index, _INDEX_HEADER, 0)
    if len(header) < _INDEX_HEADER or not header[_IS_SET_AT]:
        return
    if header[:_HEADER_COPY] != header[_HEADER_COPY : 2 * _HEADER_COPY]:
        return
    if _number(header, _LAST_FRAME_AT) != _number(header, _MERGED_AT):
        return
    log = os.open(f"{path}-wal", os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.pwrite(files.index, bytes(_INDEX_HEADER), 0)
        os.pwrite(log, bytes(_LOG_HEADER), 0)
    finally:
        os.close(log)


def _number(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], sys.byteorder)


def _forget(key: tuple[int, int]) -> None:
    files = _kept.pop(key)
    for descriptor in (files.database, files.index):
        if descriptor is not None:
            os.close(descriptor)
