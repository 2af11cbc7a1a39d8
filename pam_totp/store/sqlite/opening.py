"""Open a store's file: checked, in the schema of this release, with room for the next logins."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from . import reserve
from .database import Database, check_files

if TYPE_CHECKING:
    from collections.abc import Callable

    DatabaseT = TypeVar("DatabaseT", bound=Database)


def open_database(
    path: str, *, administers: bool = False, patience: float | None = None
) -> Database:
    """Open a store's file, if it may be trusted, in the schema of this release.

    ``administers``: fill the reserve up, however large it is; not in the way of a login.
    ``patience``: see Database.
    """
    check_files(path)
    database = connect(path, lambda path: Database(path, patience=patience))
    database.administers = administers
    try:
        if administers:  # reserve.shortage() does not see what the log alone holds
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        reserve.keep(database)
    except BaseException:
        database.close()
        raise
    return database


def connect(path: str, make: Callable[[str], DatabaseT]) -> DatabaseT:
    """Connect to files that were checked, with what ``make`` makes of ``path``."""
    database = make(path)
    try:
        if database.execute("PRAGMA user_version") == [(0,)]:
            raise database.corrupt("is empty")
        database.migrate()
        # Of a copy made with VACUUM INTO, say: only with WAL does FULL outlast a power cut.
        database.execute("PRAGMA journal_mode = WAL")
    except BaseException:
        Database.close(database)
        raise
    return database
