"""Connections that stay open for a moment: what a worker saves between one login and the next.

A connection is lent to one login at a time, and only if it still is one to the files that lie
there now. Writers of this process wait in line here, not in SQLite, which would have them sleep.
"""

from __future__ import annotations

import _thread
import sqlite3
import time
from typing import TYPE_CHECKING

from ...system.errors import PamTotpError
from . import reserve, schema
from .database import Database, check_files, name_files, patience_or_usual
from .opening import connect

if TYPE_CHECKING:
    from .database import Files

LINGER = 2.0  # seconds: then the write-ahead log is merged, as after a login alone
MAX_IDLE = 8

_CLOSED = sqlite3.connect(":memory:", check_same_thread=False)
_CLOSED.close()


class Pool:
    """Lends connections; safe to use from many threads."""

    def __init__(self) -> None:
        self.writer = _thread.allocate_lock()
        self._opening = _thread.allocate_lock()
        self._lock = _thread.allocate_lock()  # of what follows
        self._idle: list[PooledDatabase] = []

    def open(
        self, path: str, *, administers: bool = False, patience: float | None = None
    ) -> Database:
        """See opening.open_database: the same checks, each time.

        Not while another thread opens or closes: check_files() may read the database, and closing
        it then takes from the other connection its locks (sqlite.org/howtocorrupt.html, section
        2.2). Of one that is open here, check_files() keeps its hands off. The reserve is filled
        after that: nobody waits here for it.
        """
        with self._opening:
            files = check_files(path)
        while True:
            database = self._take(path, patience_or_usual(patience))
            if database is None:
                with self._opening:
                    database = connect(path, lambda path: PooledDatabase(path, self, patience))
                    database.files = name_files(path)
                database.administers = administers
                try:
                    reserve.keep(database)
                except BaseException:
                    self._disconnect(database)
                    raise
                return database
            if database.is_current(files):
                database.administers = administers
                return database
            self._disconnect(database)

    def give_back(self, database: PooledDatabase) -> None:
        database.idle_since = time.monotonic()
        with self._lock:
            if len(self._idle) < MAX_IDLE:
                self._idle.append(database)
                return
        self._disconnect(database)

    def close_idle(self, linger: float = LINGER, patience: float = 0.0) -> bool:
        """Close what nobody has used for ``linger`` seconds; return whether some are left.

        Wait at most ``patience`` seconds for threads that open or close: then all are left.
        """
        before = time.monotonic() - linger
        if not self._opening.acquire(timeout=patience):
            return bool(self._idle)
        try:
            with self._lock:
                old = [database for database in self._idle if database.idle_since <= before]
                self._idle = [database for database in self._idle if database.idle_since > before]
                left = bool(self._idle)
            for database in old:
                database.disconnect()
        finally:
            self._opening.release()
        return left

    def _disconnect(self, database: PooledDatabase) -> None:
        with self._opening:
            database.disconnect()

    def _take(self, path: str, patience: float) -> PooledDatabase | None:
        with self._lock:
            for number in reversed(range(len(self._idle))):
                idle = self._idle[number]
                if (idle.path, idle.patience) == (path, patience):
                    return self._idle.pop(number)
        return None


class PooledDatabase(Database):
    """A connection that returns to its pool when it is closed; its holder is left without one."""

    def __init__(self, path: str, pool: Pool, patience: float | None) -> None:
        super().__init__(path, any_thread=True, patience=patience)
        self.idle_since = 0.0
        self._pool = pool
        self._writing = False
        self.files: Files = {}

    def is_current(self, files: Files) -> bool:
        """Tell whether this is a connection to ``files``, which lie there now, as we know them."""
        try:
            return self.files == files and self._schema_is_current()
        except PamTotpError:
            return False

    def _schema_is_current(self) -> bool:
        return self.execute("PRAGMA user_version") == [(len(schema.MIGRATIONS),)]

    def begin(self, mode: str) -> None:
        self.refuse_nesting()
        if mode == "IMMEDIATE":
            if not self._pool.writer.acquire(timeout=self.patience):
                raise self.busy()
            self._writing = True
        try:
            super().begin(mode)
        except BaseException:
            self._written()
            raise

    def commit(self) -> None:
        try:
            super().commit()
        finally:
            self._written()

    def roll_back(self) -> None:
        try:
            super().roll_back()
        finally:
            self._written()

    def close(self) -> None:
        if self.connection is _CLOSED:
            return
        if self.connection.in_transaction:
            self.disconnect()
            return
        kept = PooledDatabase.__new__(PooledDatabase)
        kept.__dict__.update(self.__dict__)
        self.connection = _CLOSED
        self._pool.give_back(kept)

    def disconnect(self) -> None:
        super().close()
        self.connection = _CLOSED
        self._written()

    def _written(self) -> None:
        if self._writing:
            self._writing = False
            self._pool.writer.release()
