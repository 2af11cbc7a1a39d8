"""When a file was made: statx(2), which Python does not offer; and when an account was, by that."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pwd

    from .accounts import Shadow

_AT_FDCWD = -100  # fcntl.h
_STATX_BTIME = 0x800  # linux/stat.h
_SIZEOF_STATX = 256
_DAY = 86400  # seconds
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


def is_younger(entry: pwd.struct_passwd, shadow: Shadow | None, bound_at: int) -> bool:
    """Return whether home folder and password were made after ``bound_at``.

    A home folder that came with its whole file system, as after a move to another disk, says
    nothing: the folder above it is as young.
    """
    if not bound_at or shadow is None or shadow.changed is None:
        return False
    if shadow.changed < bound_at // _DAY:
        return False
    home, above = born_at(entry.pw_dir), born_at(os.path.dirname(entry.pw_dir))
    return home is not None and above is not None and above <= bound_at < home
