"""Marks: what lstat(2) said of files, and of each folder and link on the way to them.

Whoever keeps what they have read or opened looks at the marks before they use it once more. A mark
that has changed, be it by a chmod far up, means: check, read and open again, with all the rules.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from . import trusted_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    Mark = tuple[int, ...]

# What changes so soon after it has been read may change without a sign: a time stamp is as coarse
# as the kernel's clock ticks.
YOUNG_NS = 1_000_000_000
SELDOM_SECONDS = 1.0
_ABSENT: Mark = ()


class Marks:
    """Marks of some paths, as they are now.

    ``contents``: files that were read. ``opened``: files that are open: whether a path still
    leads to the same file, of the same owner and mode. ``entries``: folders in which no file may
    come, go or be replaced unseen. ``seldom``: files that are open and are looked at once in
    SELDOM_SECONDS: lstat(2) of a file that is written all the time costs its next fdatasync(2)
    the inode as well (multigrain time stamps, Linux 6.13).
    """

    __slots__ = ("_at", "_fixed", "_seldom", "_stamped")

    def __init__(
        self,
        *,
        contents: Iterable[str] = (),
        opened: Iterable[str] = (),
        entries: Iterable[str] = (),
        seldom: Iterable[str] = (),
    ) -> None:
        read, fixed, rare = tuple(contents), tuple(opened), tuple(seldom)
        folders = list(entries)
        for path in read:
            if _stamp(path) == _ABSENT:  # only its folder tells whether it was there meanwhile
                folders.append(os.path.dirname(path))
        ways: dict[str, None] = {}
        for folder in (*folders, *map(os.path.dirname, (*read, *fixed, *rare))):
            ways |= dict.fromkeys(trusted_files.way_to(os.path.abspath(folder)))
        # A link that is replaced may get the number of the old one.
        links = [path for path in ways if os.path.islink(path)]
        stamped = (*read, *map(os.path.realpath, folders), *links)
        for path in stamped:
            ways.pop(path, None)
        self._stamped = tuple((path, _stamp(path)) for path in stamped)
        self._fixed = tuple((path, _identity(path)) for path in (*ways, *fixed))
        self._seldom = tuple((path, _identity(path)) for path in rare)
        self._at = time.monotonic()

    def hold(self) -> bool:
        """Tell whether all of it still is as it was marked."""
        for path, mark in self._fixed:
            if _identity(path) != mark:
                return False
        for path, mark in self._stamped:
            if _stamp(path) != mark:
                return False
        now = time.monotonic()
        if now - self._at >= SELDOM_SECONDS:
            for path, mark in self._seldom:
                if _identity(path) != mark:
                    return False
            self._at = now
        return True

    def are_settled(self) -> bool:
        """Tell whether everything that was read is so old that its next change will show."""
        now = time.time_ns()
        return all(
            mark == _ABSENT or abs(now - moment) > YOUNG_NS
            for _, mark in self._stamped
            for moment in mark[-2:]
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Marks):
            return NotImplemented
        ours, theirs = ((marks._stamped, marks._fixed, marks._seldom) for marks in (self, other))
        return ours == theirs

    __hash__ = None  # type: ignore[assignment]  # it is compared, and changes


def _identity(path: str) -> Mark:
    """Return mode, inode, device and owner.

    Not how many links there are: of a folder that changes with each folder that is made in it.
    """
    try:
        status = os.lstat(path)
    except OSError:
        return _ABSENT
    return (*status[:3], status.st_uid)


def _stamp(path: str) -> Mark:
    """Return that, and size and times: in ns, of the last change of content and of inode."""
    try:
        status = os.lstat(path)
    except OSError:
        return _ABSENT
    return (*status[:3], status.st_uid, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
