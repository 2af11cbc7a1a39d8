"""Open a store's file: checked, in the schema of this release, with room for the next logins."""

from __future__ import annotations

from ...system.errors import PamTotpError, StoreUnavailable
from . import reserve
from .database import Database, check_files, name_files


def open_database(
    path: str,
    *,
    administers: bool = False,
    patience: float | None = None,
    any_thread: bool = False,
) -> Database:
    """Open a store's file, if it may be trusted, in the schema of this release.

    ``administers``: fill the reserve up, however large it is; not in the way of a login.
    ``patience``, ``any_thread``: see Database.
    """
    files = check_files(path)
    database = _connect(path, patience=patience, any_thread=any_thread)
    database.administers = administers
    try:
        database.files = name_files(path)  # with the log and the index that there may be only now
        if database.files[""] != files[""]:
            raise StoreUnavailable(path, "was replaced a moment ago", "try again")
        if administers:
            _merge_log(database)
        reserve.keep(database)
    except BaseException:
        database.close()
        raise
    return database


def _merge_log(database: Database) -> None:
    """What the log alone holds, reserve.shortage() does not see."""
    try:
        database.execute("PRAGMA wal_checkpoint(PASSIVE)")
    except PamTotpError:  # it may only be read: whoever writes hears of it
        pass


def _connect(path: str, *, patience: float | None, any_thread: bool) -> Database:
    """Connect to files that were checked."""
    database = Database(path, patience=patience, any_thread=any_thread)
    try:
        if database.execute("PRAGMA user_version") == [(0,)]:
            raise database.corrupt("is empty")
        database.migrate()
        # Of a copy made with VACUUM INTO, say: only with WAL does FULL outlast a power cut.
        database.execute("PRAGMA journal_mode = WAL")
    except BaseException:
        database.close()
        raise
    return database
