"""Which accounts this machine's own files name: nobody waits for a directory to look them up."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ..login import identity, membership
from ..system.marks import YOUNG_NS

if TYPE_CHECKING:
    State = tuple[int, ...]

NSCD_SOCKET = "/run/nscd/socket"  # glibc asks it before any file, and it may take its time


class LocalAccounts:
    """The names of /etc/passwd, as long as NSS asks that file first and is content with it."""

    def __init__(self) -> None:
        self._states: tuple[State, ...] = ()
        self._names = b""
        self._are_all = False  # nobody else is asked, also for a name that is not among them

    def has(self, name: str) -> bool:
        """Tell whether getpwnam(3) answers for ``name`` from the file, and at once."""
        try:
            states = tuple(map(_state, (identity.PASSWD_FILE, membership.SWITCH_FILE)))
            if os.path.lexists(NSCD_SOCKET):
                return False
            if states != self._states:
                self._read(states)
            wanted = name.encode("utf-8")
        except (OSError, UnicodeError):
            return False
        if not wanted or wanted[:1] in b"+-#" or any(byte in wanted for byte in b":\n\0"):
            return False
        if self._are_all:
            return True
        start = self._names.find(b"\n" + wanted + b":") + 1
        return start > 0 and _is_entry(self._names[start : self._names.index(b"\n", start)])

    def _read(self, states: tuple[State, ...]) -> None:
        self._names, self._are_all = b"", membership.files_are_all(b"passwd")
        if membership.files_come_first(b"passwd"):
            with open(identity.PASSWD_FILE, "rb") as file:
                self._names = b"\n" + file.read() + b"\n"
        now = time.time_ns()
        is_young = any(abs(now - moment) <= YOUNG_NS for state in states for moment in state[-2:])
        self._states = () if is_young else states  # the next change may not show


def _is_entry(line: bytes) -> bool:
    """Tell whether nss_files reads ``line`` as an account; others it passes over, and asks on."""
    fields = line.split(b":")
    return len(fields) >= 7 and all(map(bytes.isdigit, fields[2:4]))


def _state(path: str) -> State:
    status = os.stat(path)
    return (
        *(status.st_dev, status.st_ino, status.st_size),
        *(status.st_mtime_ns, status.st_ctime_ns),
    )
