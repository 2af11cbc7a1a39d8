"""One SQLite file: which files may be trusted, how it is opened, what its errors mean."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any

from ...system import trusted_files
from ...system.errors import (
    PamTotpError,
    StoreBusy,
    StoreCorrupt,
    StoreMissing,
    StoreUnavailable,
)
from . import lasting_files, schema

if TYPE_CHECKING:
    Files = dict[str, tuple[int, int]]

BUSY_TIMEOUT = 5.0  # seconds: the patience of a connection that was given none
# A log that does not grow is synced twice as fast as one that does. So a commit that finds fewer
# pages in it than these must fit into the rest: a batch of 64 answers, with two pages each.
CHECKPOINT_PAGES = 100
QUIET_PAGES = 25  # fewer are not worth a checkpoint, even if nobody waits

SUFFIXES = ("-wal", "-shm", "-journal")  # of the files that SQLite keeps beside a database
_ERROR, _BUSY, _READ_ONLY, _CANNOT_OPEN = 1, 5, 8, 14
_OTHER_TABLES = ("no such ", "has no column")  # what _ERROR says then; it says more than that
_PRIMARY_CODES = {  # https://www.sqlite.org/rescode.html: the low byte of an extended code
    3: ("permission denied", "look at: ls -l {folder}"),
    7: ("needs more memory than there is", "look at: free -h"),
    _BUSY: (
        "has been locked by another process for too long",
        "try again; see which process holds it: {holders}",
    ),
    _READ_ONLY: ("is read-only", "{read_only}"),
    10: ("cannot be read or written", "look at the disk: dmesg; {no_room}"),
    13: ("cannot be written: no space left", "{no_room}"),
    15: ("could not be locked", "look at the disk: dmesg; {no_room}"),
    _CANNOT_OPEN: ("cannot be opened", "look at: ls -l {folder}; {no_room}"),
}
_RESTORE_HINT = (
    "restore {path} from a backup; failing that, move it away and run: totpctl init (then nobody "
    "is enrolled)"
)
# SQLite quotes a damaged schema in its words, which need not be UTF-8 then.
_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_CLOSED = sqlite3.connect(":memory:", check_same_thread=False)
_CLOSED.close()
_PAGE_SIZE_AT, _PAGE_COUNT_AT, _HEADER_BYTES = 16, 28, 32  # https://sqlite.org/fileformat.html


class Database:
    """A connection. Not to be shared between threads: ``any_thread`` is for one after the other."""

    def __init__(
        self,
        path: str,
        *,
        any_thread: bool = False,
        lasting: bool = True,
        patience: float | None = None,
    ) -> None:
        """Connect to a file that is there. FULL: a commit has reached the disk when it returns.

        ``lasting``: the log and its index stay when the connection closes. ``patience``: how many
        seconds to wait for another writer, before StoreBusy; None: BUSY_TIMEOUT.
        """
        self.path = path
        self.patience = patience_or_usual(patience)
        self.administers = False  # see open_database()
        self.files: Files = {}  # that it is a connection to
        self._is_writable = False  # as far as is known
        self._hold = lasting_files.Hold(path) if lasting else None
        try:
            self.connection = sqlite3.connect(
                uri_of(path, "mode=rw"),
                timeout=self.patience,
                isolation_level=None,
                uri=True,
                check_same_thread=not any_thread,
            )
        except _ERRORS as error:
            if self._hold is not None:
                self._hold.close(_CLOSED)
            raise explain(error, path) from None
        try:
            self.execute("PRAGMA synchronous = FULL")
            self.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            self.execute("PRAGMA foreign_keys = ON")
            self.execute("PRAGMA secure_delete = ON")
            self.execute("PRAGMA temp_store = MEMORY")
            self.execute("PRAGMA trusted_schema = OFF")
            self.execute(f"PRAGMA journal_size_limit = {lasting_files.LOG_BYTES}")
        except BaseException:
            Database.close(self)
            raise

    def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return all rows. Raises StoreUnavailable or StoreCorrupt, never sqlite3.Error."""
        try:
            return self.connection.execute(statement, parameters).fetchall()
        except _ERRORS as error:
            raise explain(error, self.path) from None

    def follow_schema(self) -> None:
        """Migrate a file that has had another schema since it was opened. Raises SchemaTooNew.

        StoreUnavailable in a transaction, which the next one to ask is not in.
        """
        if not self.connection.in_transaction:
            self.migrate()
            return
        schema.refuse_newer(self.connection, self.path)
        raise StoreUnavailable(self.path, "has another schema than a moment ago", "try again")

    def migrate(self) -> None:
        try:
            schema.migrate(self.connection, self.path)
        except _ERRORS as error:
            raise explain(error, self.path) from None

    def begin(self, mode: str) -> None:
        """Begin a transaction: DEFERRED for a snapshot, IMMEDIATE to be the only writer."""
        self.refuse_nesting()
        self.execute(f"BEGIN {mode}")
        if mode == "IMMEDIATE" and not self._is_writable:
            # Of a file that it had to open to read, SQLite begins to read, and says nothing.
            try:
                self.execute("DELETE FROM meta WHERE 0")
            except BaseException:
                self.execute("ROLLBACK")
                raise
            self._is_writable = True

    def refuse_nesting(self) -> None:
        try:
            if not self.connection.in_transaction:
                return
        except _ERRORS as error:
            raise explain(error, self.path) from None
        raise ValueError("this connection is in a transaction already")

    def commit(self) -> None:
        """Make it durable, or roll back and raise."""
        try:
            self.execute("COMMIT")
        except BaseException:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        if self.connection.in_transaction:  # SQLite may have done so itself, on a full disk
            self.execute("ROLLBACK")

    def touch_key_page(self) -> None:
        """Have every commit rewrite the page that names the sealing key.

        SQLite plays a write-ahead log into whatever store it lies beside. Of a log that another
        store left behind, this page then tells that it does not belong here.
        """
        self.execute("UPDATE meta SET value = randomblob(8) WHERE key = 'last_write'")

    def checkpoint(self) -> None:
        """Merge the log, unless it holds little, and restart it: for when nobody waits.

        The first page of a log costs one more sync, so one is written here.
        """
        if self._hold is None or self.connection.in_transaction:
            return
        pages, merged = self._hold.logged() or (1, 0)
        try:
            if pages - merged >= QUIET_PAGES:
                ((_, pages, merged),) = self.execute("PRAGMA wal_checkpoint(PASSIVE)")
            if pages == merged:
                self.begin("IMMEDIATE")
                self.touch_key_page()
                self.commit()
        except PamTotpError:  # another one does it
            self.roll_back()

    def extend(self, pages: int, more: int) -> int | None:
        """See lasting_files.Hold.extend: None without a hold."""
        return None if self._hold is None else self._hold.extend(pages, more)

    def cut(self, size: int) -> None:
        """See lasting_files.Hold.cut."""
        if self._hold is not None:
            self._hold.cut(size)

    def corrupt(self, problem: str) -> StoreCorrupt:
        return StoreCorrupt(self.path, problem, _hint(_RESTORE_HINT, self.path))

    def not_ours(self) -> StoreCorrupt:
        return self.corrupt("holds a row that pam_totp did not write")

    def close(self) -> None:
        if self._hold is None:
            self.connection.close()
        else:
            self._hold.close(self.connection)


def check_files(path: str) -> Files:
    """Raise InsecureFile, StoreMissing or StoreCorrupt where no store may be opened."""
    trusted_files.check_folder(os.path.dirname(path))
    files = name_files(path)
    for suffix in files:
        _close_to_others(path + suffix)
    try:
        if _is_cut_off(path):
            raise StoreCorrupt(path, "is cut off", _hint(_RESTORE_HINT, path))
    except FileNotFoundError:
        raise _missing(path) from None
    return files


def _close_to_others(path: str) -> None:
    """Take from others what they need to lock the file, and so to deny logins; where that can be.

    By name: to open and close it would let go of the locks that SQLite holds for this process.
    """
    try:
        status = os.lstat(path)
        if status.st_uid == os.geteuid() and status.st_mode & 0o077:
            os.chmod(path, 0o600)
    except OSError:
        pass


def name_files(path: str) -> Files:
    """Check the files that are there, by suffix; return the device and inode of each."""
    files = {}
    for suffix in ("", *SUFFIXES):
        try:
            status = trusted_files.check_file(path + suffix)
        except FileNotFoundError:
            if not suffix:
                raise _missing(path) from None
        else:
            files[suffix] = (status.st_dev, status.st_ino)
    return files


def patience_or_usual(patience: float | None) -> float:
    return BUSY_TIMEOUT if patience is None else patience


def uri_of(path: str, parameters: str) -> str:
    """Return the file: URI of ``path`` (https://www.sqlite.org/uri.html)."""
    escaped = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{escaped}?{parameters}"


def explain(error: Exception, path: str) -> PamTotpError:
    """Turn SQLite's error, which may quote values, into our own words."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == _CANNOT_OPEN and os.statvfs(os.path.dirname(path)).f_flag & os.ST_RDONLY:
        code = _READ_ONLY
    if code in _PRIMARY_CODES:
        problem, hint = _PRIMARY_CODES[code]
        kind = StoreBusy if code == _BUSY else StoreUnavailable
        return kind(path, problem, _hint(hint, path))
    if code == _ERROR and any(words in str(error) for words in _OTHER_TABLES):
        hint = f"restore it from a backup; {schema.UNRELEASED}"
        return StoreCorrupt(path, "does not have the tables of this release", hint)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreCorrupt(path, f"is damaged or not a store ({name})", _hint(_RESTORE_HINT, path))


def _missing(path: str) -> StoreMissing:
    from ...system import disks  # no login needs it, but one that fails

    points = disks.unmounted_points(path)
    problem = (
        f"there is no store, and {points[0]} is not mounted" if points else "there is no store"
    )
    return StoreMissing(path, problem, disks.missing_hint(path))


def _is_cut_off(path: str) -> bool:
    """Tell whether the file is shorter than its first page says: SQLite would take the rest for
    empty. Only without a log of pages, from which that rest may still be on its way. Not while
    this process has it open, or opens it: its locks would fall.
    """
    with lasting_files.kept_from_opening(path) as is_open_here:
        return not is_open_here and _is_short(path)


def _is_short(path: str) -> bool:
    for _ in range(2):
        try:
            if lasting_files.has_content(f"{path}-wal"):
                return False
        except FileNotFoundError:
            pass
        with open(path, "rb") as file:
            header = file.read(_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
        if not header.startswith(b"SQLite format 3\0"):
            return False  # not for us to explain
        page_size = int.from_bytes(header[_PAGE_SIZE_AT : _PAGE_SIZE_AT + 2], "big")
        pages = int.from_bytes(header[_PAGE_COUNT_AT:_HEADER_BYTES], "big")
        if size >= pages * (65536 if page_size == 1 else page_size):
            return False
    return True


def _hint(template: str, path: str) -> str:
    from ...system import disks  # no login needs it, but one that fails

    return template.format(
        path=path,
        folder=os.path.dirname(path),
        holders=disks.holders_hint(path),
        read_only=disks.read_only_hint(path),
        no_room=disks.no_room_hint(path),
    )
