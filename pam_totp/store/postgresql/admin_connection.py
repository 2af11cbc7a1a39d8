"""One connection of an administrator to the fleet's database: transactions, and statements in them.

A command makes one, uses it and ends: nothing is asked again, except to be let in.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from typing import TYPE_CHECKING, Any

from ...system.errors import (
    StoreBusy,
    StoreRefused,
    StoreUnavailable,
    Unavailable,
)
from .client import Client
from .environment import load_pq
from .failures import CallFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ...system.fleet_file import Identity
    from .connection import Value

_CONNECTING = 12.0  # seconds, for all servers
_ANSWERING = 60.0  # to open all secrets of a large fleet
_LATER = 5.0  # than the server gives up: its word tells more than none
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
       set_config('totp.administrator', $4, false)
"""
_AGAIN = "try again"
_RESTORE = "restore this file from the machine of another administrator"
_RIGHTS = "it takes an administrator of the fleet; for init and migrate, a superuser of the server"


class AdminConnection:
    """Statements outside a transaction are durable one by one."""

    def __init__(
        self,
        url: str,
        identity: Identity,
        source: str,
        *,
        socket: str = "",
        patience: float = _ANSWERING,
        administrator: str = "",
    ) -> None:
        """Log in as ``identity``, of which ``source`` says in errors where it is from.

        ``socket``: a folder, to connect through the Unix socket in it, as the account that is named
        like the role, where there is one. ``patience``: seconds to wait for what somebody else has
        locked, before StoreBusy. ``administrator``: whose name events of the database are to have
        beside that of the role. Raises Unavailable.
        """
        self._source = source
        self._is_in_transaction = False
        client = Client(url, identity, socket=socket)
        load_pq()  # an account that is not root may not be able to read it
        try:
            with _as_account(identity.user if socket else ""):
                self._connection = client.connect(time.monotonic() + _CONNECTING)
        except CallFailed as failure:
            raise self._told(failure) from None
        limits = (max(patience, 0.001), _ANSWERING, _IDLE)
        try:
            milliseconds = [str(int(seconds * 1000)) for seconds in limits]
            stated = os.uname().nodename + (f" ({administrator})" if administrator else "")
            utf8 = stated.encode("utf-8", "backslashreplace").decode()
            self.execute(_SETTINGS, [*milliseconds, utf8])
        except BaseException:
            self.close()
            raise

    def execute(self, statement: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows. Raises Unavailable."""
        rows: list[tuple[Any, ...]] = []

        def run(deadline: float) -> bool:
            found, is_durable = self._connection.execute(
                statement, values, deadline, in_transaction=self._is_in_transaction
            )
            rows.extend(found)
            return is_durable

        self._run(run)
        return rows

    def run_script(self, statements: str) -> None:
        """Run several statements, whose words hold no secret. Raises Unavailable."""
        self._run(
            lambda deadline: self._connection.run_script(
                statements, deadline, in_transaction=self._is_in_transaction
            )
        )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all that is done inside, or nothing. Inside another one, it is a part of that."""
        if self._is_in_transaction:
            yield
            return
        self.begin()
        try:
            yield
        except BaseException:
            self.roll_back()
            raise
        self.commit()

    def begin(self) -> None:
        self._is_in_transaction = True
        try:
            self.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        except BaseException:
            self._is_in_transaction = False
            raise

    def commit(self) -> None:
        self._is_in_transaction = False
        self.execute("COMMIT")

    def roll_back(self) -> None:
        """Undo the open transaction. Whatever has happened to the connection, nothing is kept."""
        self._is_in_transaction = False
        try:
            self.execute("ROLLBACK")
        except Unavailable:
            self.close()

    def encrypted_password(self, role: str, password: str) -> str:
        """Return what the server keeps of a ``password`` of ``role``, to be sent in its place."""
        return self._connection.encrypted_password(role, password)

    def close(self) -> None:
        self._connection.close()

    def _run(self, statement: Callable[[float], bool]) -> None:
        try:
            is_durable = statement(time.monotonic() + _ANSWERING + _LATER)
        except CallFailed as failure:
            raise self._told(failure) from None
        if not (self._is_in_transaction or is_durable):
            raise StoreUnavailable(
                "store",
                "it was saved, but the standby has not confirmed it",
                "look at pg_stat_replication on the server that writes",
            )

    def _told(self, failure: CallFailed) -> Unavailable:
        if failure.sqlstate == "TP001":
            return StoreRefused(self._source, "does not hold the key of this fleet", _RESTORE)
        if failure.sqlstate == "42501":
            problem = "does not have the rights for this in the database"
            return StoreRefused(self._source, problem, _RIGHTS)
        if failure.sqlstate == "55P03":
            return StoreBusy("store", "is locked by another process", _AGAIN)
        if failure.sqlstate[:2] in ("22", "23"):
            problem = f"takes no such value, and nothing was changed (SQLSTATE {failure.sqlstate})"
            return StoreUnavailable("store", problem, failure.hint)
        problem = failure.problem
        if failure.was_sent and not self._is_in_transaction:
            problem += "; what was asked may have been done all the same"
        return failure.kind("store", problem, failure.hint)


@contextlib.contextmanager
def _as_account(name: str) -> Iterator[None]:
    """Be the account ``name`` to the other end of a Unix socket: what "peer" asks for."""
    try:
        uid = pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        uid = os.geteuid()
    if os.geteuid() != 0 or uid == 0:
        yield
        return
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
