"""One connection of an administrator to the fleet's database: transactions, and statements in them.

A command makes one, uses it and ends: nothing is asked again, except to be let in.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ...system.errors import (
    SchemaTooNew,
    StoreBusy,
    StoreRefused,
    StoreUnavailable,
    Unavailable,
)
from .client import Client
from .failures import CallFailed
from .migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...system.fleet_file import Identity
    from .connection import Value

_CONNECTING = 12.0  # seconds, for all servers
_ANSWERING = 60.0  # to open all secrets of a large fleet
_LOCKED = 5.0  # as long as SQLite waits for another writer
_IDLE = 10.0  # a machine that dies within a transaction must not keep logins waiting

# What the database takes for granted, and how long it waits for locks, statements and us, in ms.
_SETTINGS = """
SELECT set_config('synchronous_commit', 'on', false),
       set_config('client_min_messages', 'warning', false),
       set_config('standard_conforming_strings', 'on', false),
       set_config('search_path', 'pg_catalog, pg_temp', false),
       set_config('lock_timeout', $1, false),
       set_config('statement_timeout', $2, false),
       set_config('idle_in_transaction_session_timeout', $3, false),
       totp.schema_version()
"""
_AGAIN = "try again"
_RESTORE = "restore this file from the machine of another administrator"
_MIGRATE = "run: totpctl fleet migrate"


class AdminConnection:
    """Statements outside begin() and commit() are durable one by one."""

    def __init__(
        self, url: str, identity: Identity, path: str, *, patience: float | None = None
    ) -> None:
        """Log in as ``identity``, which the file ``path`` holds.

        ``patience``: seconds to wait for a row that somebody else is changing, before StoreBusy.
        Raises Unavailable.
        """
        self._path = path
        client = Client(url, identity)
        try:
            self._connection = client.connect(time.monotonic() + _CONNECTING)
        except CallFailed as failure:
            raise self._told(failure) from None
        try:
            self._prepare(_LOCKED if patience is None else patience)
        except BaseException:
            self.close()
            raise

    def execute(
        self, statement: str, values: Sequence[Value] = (), *, in_transaction: bool = False
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows. ``in_transaction``: one is open after it."""
        deadline = time.monotonic() + _ANSWERING
        try:
            rows, is_durable = self._connection.execute(
                statement, values, deadline, in_transaction=in_transaction
            )
        except CallFailed as failure:
            raise self._told(failure) from None
        if not (in_transaction or is_durable):
            raise StoreUnavailable(
                "store",
                "it was saved, but the standby has not confirmed it",
                "look at pg_stat_replication on the server that writes",
            )
        return rows

    def begin(self) -> None:
        self.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", in_transaction=True)

    def commit(self) -> None:
        self.execute("COMMIT")

    def roll_back(self) -> None:
        """Undo the open transaction. Whatever has happened to the connection, nothing is kept."""
        try:
            self.execute("ROLLBACK")
        except Unavailable:
            self.close()

    def close(self) -> None:
        self._connection.close()

    def _prepare(self, patience: float) -> None:
        limits = (max(patience, 0.001), _ANSWERING, _IDLE)
        ((*_, version),) = self.execute(_SETTINGS, [str(int(s * 1000)) for s in limits])
        if version < len(MIGRATIONS):
            raise StoreRefused("store", f"the schema is too old: {version}", _MIGRATE)
        if version > len(MIGRATIONS):
            raise SchemaTooNew(
                "store",
                f"has schema {version}, this release knows {len(MIGRATIONS)}",
                "install the newer pam_totp on this machine",
            )

    def _told(self, failure: CallFailed) -> Unavailable:
        if failure.sqlstate == "TP001":
            return StoreRefused(self._path, "does not hold the key of this fleet", _RESTORE)
        if failure.sqlstate == "42501":
            problem = "does not have the rights for this in the database"
            return StoreRefused(self._path, problem, "ask an administrator of the fleet")
        if failure.sqlstate == "55P03":
            return StoreBusy("store", "the user is locked by another process", _AGAIN)
        if failure.sqlstate[:2] in ("22", "23"):
            problem = f"takes no such value, and nothing was changed (SQLSTATE {failure.sqlstate})"
            return StoreUnavailable("store", problem, failure.hint)
        return failure.kind("store", failure.problem, failure.hint)
