"""Free pages kept in the database, so that a login that makes rows longer needs no new block.

A row grows at the first login of a person, or with a wrong code, and then its page may split in
two. So the reserve has as many free pages as are in use: each can split once, and no row grows by
so much that its page would have to split twice. On top of these come pages for the rows of all
decoys: one wrong code of an unknown name adds one. What a login could do without, as to note a
place, is done only where there are more free pages than that.

The reserve is filled up, while the disk has room, when the store is opened and when somebody is
enrolled. It is filled beyond what is needed, in proportion to it: so that it falls short once in
some hundred new people, not at each.

SQLite takes free pages first, so each filling writes the whole reserve to the log, and keeps other
writers out meanwhile: seconds, with a hundred thousand people. Logins therefore write a bounded
number of pages. A larger reserve is filled by totpctl; doctor does it once a day.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from ...system.errors import PamTotpError
from . import lasting_files

if TYPE_CHECKING:
    from .database import Database

DECOY_PAGES = 512  # 65536 rows of up to 22 bytes, in pages that are two thirds full
_LEAST = 16  # pages: fewer are not worth a transaction
LOGIN_GROWTH = 256  # pages that a login adds at most
LOGIN_PAGES = 2048  # of a reserve that a login fills: 8 MiB go through the log
LOGIN_PAUSE = 10.0  # seconds, after a login that tried in vain
_COPIES = 2  # of a page that is set aside: one goes through the log
_PAGE_COUNT_AT, _FREE_COUNT_AT = 28, 36  # https://sqlite.org/fileformat.html#the_database_header

_not_before: dict[str, float] = {}  # when logins of this process may try again, by path


def keep(database: Database) -> None:
    """Give log and database the blocks that logins will need, where some are missing.

    As many as the disk has. A full disk denies nobody here: the transaction that needs a block
    fails, and says so. Nor does anybody wait here for another writer: a later opening does it.
    """
    is_login = not database.administers
    if is_login and time.monotonic() < _not_before.get(database.path, 0.0):
        return
    try:
        is_done = _keep(database)
    except (OSError, PamTotpError):
        is_done = False
    if is_login and not is_done:
        _not_before[database.path] = time.monotonic() + LOGIN_PAUSE


def _keep(database: Database) -> bool:
    """Return whether nothing more is to be done, or something was."""
    can_grow = _is_short(*_counts(database)) and _fitting(database) >= _LEAST
    if not (can_grow or lasting_files.is_short(database.path)):
        return True
    ((patience,),) = database.execute("PRAGMA busy_timeout")
    database.execute("PRAGMA busy_timeout = 0")
    try:
        database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return _fill_up(database)
    finally:
        database.execute(f"PRAGMA busy_timeout = {patience}")


def has_room(database: Database) -> bool:
    """Tell whether there are more free pages than those that logins cannot do without."""
    pages, free = _counts(database)
    return free > _needed(pages - free)


class Shortage(NamedTuple):
    """Room for logins that is missing in the files of a store: a full disk then denies them."""

    missing: str  # what, and how much of it
    needed: int  # bytes that have to be free for all of it
    free: int  # bytes

    @property
    def fits(self) -> bool:
        """Whether totpctl restores it, in one step or more, with nobody in the way."""
        return self.needed <= self.free


def shortage(path: str) -> Shortage | None:
    """Return what of the room for logins is missing on the disk; None where all of it is there.

    An administrator's opening fills it up, if the disk has room: so ask after that. OSError where
    there is no store.
    """
    missing, sizes = [], {}
    for suffix, size in (("-wal", lasting_files.LOG_BYTES), ("-shm", lasting_files.INDEX_BYTES)):
        try:
            found = sizes[suffix] = os.stat(path + suffix).st_size
        except FileNotFoundError:
            sizes[suffix] = 0
            missing.append(f"{path}{suffix} is missing")
        else:
            if found < size:
                missing.append(f"{path}{suffix} has {found // 1024} of {size // 1024} KiB")
    # What the log holds does not count here: an administrator's opening has merged it.
    header = lasting_files.header_of(path)
    pages, free = (
        int.from_bytes(header[at : at + 4], "big") for at in (_PAGE_COUNT_AT, _FREE_COUNT_AT)
    )
    needed = _needed(pages - free)
    growth = 0
    if free < needed:
        missing.append(f"{path} has {free} of {needed} free pages")
        logged = max(lasting_files.LOG_BYTES, sizes["-wal"]) // lasting_files.PAGE_BYTES
        growth = _room_for(needed, free, logged) * lasting_files.PAGE_BYTES
    if not missing:
        return None
    log = max(lasting_files.LOG_BYTES - sizes["-wal"], 0)
    index = max(lasting_files.INDEX_BYTES - sizes["-shm"], 0)
    # The reserve comes last, from what the log has left.
    room_needed = index + max(lasting_files.room_for_log(sizes["-wal"]), log + growth)
    room = os.statvfs(os.path.dirname(path))
    return Shortage("; ".join(missing), room_needed, room.f_bavail * room.f_frsize)


def _needed(pages_in_use: int) -> int:
    return pages_in_use + DECOY_PAGES


def _is_short(pages: int, free: int) -> bool:
    """Tell whether there is less than what is needed and half of what is kept beyond that."""
    needed = _needed(pages - free)
    return free < needed + _spare(needed) // 2


def _spare(needed: int) -> int:
    """Return how many pages are kept beyond ``needed`` where the reserve is filled up."""
    return needed // 4


def _counts(database: Database) -> tuple[int, int]:
    ((pages,),) = database.execute("PRAGMA page_count")
    ((free,),) = database.execute("PRAGMA freelist_count")
    return pages, free


def _fitting(database: Database) -> int:
    """Return how many pages are to be set aside, and can be.

    Pages that are free already pass through the log as well: SQLite takes them first.
    """
    pages, free = _counts(database)
    needed = _needed(pages - free)
    room = os.statvfs(os.path.dirname(database.path))
    there = room.f_bavail * room.f_frsize // lasting_files.PAGE_BYTES - free
    fitting = min(needed + _spare(needed) - free, there // (2 * _COPIES))
    if database.administers:
        return fitting
    return min(fitting, LOGIN_GROWTH, LOGIN_PAGES - free)


def _room_for(needed: int, free: int, logged: int) -> int:
    """Return how many pages of the disk have to be free for the reserve to grow to ``needed``.

    In as many steps as _fitting() takes for it. The log, which has ``logged`` pages, keeps what
    it grows by until the next login; its frames have headers, for which one more step is added.
    """
    growth = needed - free + max(needed - logged, 0)
    return growth + needed + (2 * _COPIES + 1) * _LEAST


def _fill_up(database: Database) -> bool:
    """Return whether log and reserve have what they can have now."""
    database.execute("BEGIN IMMEDIATE")
    extended = None
    try:
        is_done = lasting_files.fill_up_log(database.path)
        if is_done:
            pages, free = _counts(database)
            more = _fitting(database)
            if _is_short(pages, free) and more >= _LEAST:
                # First the blocks, then the pages: a disk that fills up in between would else
                # leave a log that cannot be merged.
                extended = database.extend(pages, more)
                if extended is not None:
                    _add_free_pages(database, free + more)
                else:
                    is_done = False
        database.execute("COMMIT")
    except BaseException:
        if database.connection.in_transaction:
            if extended is not None:
                database.cut(extended)
            database.execute("ROLLBACK")
        raise
    return is_done


def _add_free_pages(database: Database, pages: int) -> None:
    """Have ``pages`` free ones: in a table that holds them, and goes again."""
    database.touch_key_page()
    database.execute("CREATE TABLE spare (content)")
    chained = lasting_files.PAGE_BYTES - 4  # each begins with the number of the next
    size = (pages - 1) * chained  # one more has the row
    database.execute("INSERT INTO spare VALUES (zeroblob(?))", (size,))
    database.execute("DROP TABLE spare")
