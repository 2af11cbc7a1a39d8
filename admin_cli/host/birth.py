"""When a file was made: statx(2), which Python does not offer."""

from __future__ import annotations

import ctypes
import os
import sys

_AT_FDCWD = -100  # fcntl.h
_STATX_BTIME = 0x800  # linux/stat.h
_SIZEOF_STATX = 256
_STX_MASK, _STX_BTIME = 0, 80  # offsets in struct statx


def born_at(path: str) -> int | None:
    """Return the unix time at which ``path`` was made; None if the file system does not say."""
    statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)
    if statx is None:
        return None
    buffer = ctypes.create_string_buffer(_SIZEOF_STATX)
    if statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, buffer) != 0:
        return None
    mask = int.from_bytes(buffer.raw[_STX_MASK : _STX_MASK + 4], sys.byteorder)
    seconds = int.from_bytes(buffer.raw[_STX_BTIME : _STX_BTIME + 8], sys.byteorder, signed=True)
    return seconds if mask & _STATX_BTIME and seconds > 0 else None
