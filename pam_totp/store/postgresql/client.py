"""Client: asks the fleet's database from several threads, again and again until there is an answer.

A question goes out over a connection that is kept, or over a new one to the first server that lets
us write. What may pass is tried again, with a random pause so that a thousand hosts do not come
back in step, until the deadline of the question.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

from ...system import postgresql_url
from ...system.errors import (
    StoreBusy,
    StoreCorrupt,
    StoreRefused,
    StoreUnreachable,
    Unavailable,
)
from . import failures
from .connection import DatabaseConnection, ServerAddress
from .failures import CallFailed
from .name_lookup import addresses_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...system.fleet_file import Identity
    from .connection import Value

MAX_CONNECTIONS = 8
_KEPT = 60.0  # seconds without a question after which a connection is not used any more
_CONNECTING = 4.0  # at most, for one address: name, TCP, TLS, login
_ANSWERING = 4.0  # at most, before another connection, or another server, is tried
_LOOK = "look at the log of the server"
_SCHEMA = "compare releases of pam_totp; then run: totpctl fleet migrate"
_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Client:
    """What one process has of the fleet's database; any thread may use it.

    Nothing is connected before the first question. ``socket``: a folder; the server of ``url`` runs
    on this machine, and is reached through the Unix socket in it. Raises StoreRefused for a URL
    that is none.
    """

    def __init__(self, url: str, identity: Identity, *, socket: str = "") -> None:
        try:
            address = postgresql_url.parse(url)
        except ValueError as error:
            raise StoreRefused("store", f"is to be {error}", "run: totpctl doctor") from None
        self.identity = identity
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._lock = threading.Lock()
        self._idle: list[DatabaseConnection] = []  # the latest used last
        self._database = address.database
        self._is_local = bool(socket or address.socket)
        self._order = list(address.servers)
        if self._is_local:
            port = address.servers[0][1] if address.servers else postgresql_url.DEFAULT_PORT
            self._order = [(socket or address.socket, port)]
        self._is_closed = False
        self._trouble: Unavailable | None = None  # why nobody was answered since somebody was
        self._answered_at = float("-inf")

    def call(
        self,
        procedure: str,
        arguments: Sequence[Value],
        *,
        results: int = 1,
        deadline: float,
        repeatable: bool = True,
    ) -> tuple[Any, ...]:
        """Return the ``results`` of a ``procedure`` of schema totp: see ask()."""
        sql = f"CALL totp.{procedure}({_places(arguments)}{', NULL' * results})"
        rows = self.ask(sql, arguments, deadline=deadline, repeatable=repeatable)
        return _only(procedure, rows) if results else ()

    def ask(
        self, sql: str, arguments: Sequence[Value], *, deadline: float, repeatable: bool = True
    ) -> list[tuple[Any, ...]]:
        """Return the rows that one statement answers; what it wrote is durable.

        ``deadline``: by time.monotonic(). ``repeatable``: that it is done twice, because an answer
        was lost, changes nothing. Raises Unavailable.
        """
        if not self._slots.acquire(timeout=max(deadline - time.monotonic(), 0)):
            trouble = self._trouble or StoreBusy("store", "too many questions at once", _LOOK)
            raise type(trouble)(*trouble.args)
        try:
            rows = self._ask(sql, arguments, deadline, repeatable=repeatable)
        except Unavailable as error:
            self._trouble = error
            raise
        finally:
            self._slots.release()
        self._trouble = None
        self._answered_at = time.monotonic()
        return rows

    def has_answered_lately(self) -> bool:
        """Tell whether somebody was answered a moment ago, and nobody in vain since."""
        if isinstance(self._trouble, StoreUnreachable):
            return False
        return time.monotonic() - self._answered_at < _ANSWERING

    def close(self) -> None:
        """Close all that are idle; the others, once their questions are answered."""
        with self._lock:
            self._is_closed = True
            gone, self._idle = self._idle, []
        for connection in gone:
            connection.close()

    # A question

    def _ask(
        self, sql: str, arguments: Sequence[Value], deadline: float, *, repeatable: bool
    ) -> list[tuple[Any, ...]]:
        pause, before = _PAUSE, None
        while True:
            length = pause * random.uniform(0.5, 1.5)  # noqa: S311
            try:
                return self._try(sql, arguments, deadline, repeatable=repeatable)
            except CallFailed as failure:
                is_final = not failure.may_pass or (failure.was_sent and not repeatable)
                if is_final or time.monotonic() + length >= deadline:
                    if before is not None and time.monotonic() >= deadline:
                        failure = before  # the last attempt had no time to find out why
                    raise failure.kind("store", failure.problem, failure.hint) from None
                before = failure
            time.sleep(length)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _try(
        self, sql: str, arguments: Sequence[Value], deadline: float, *, repeatable: bool
    ) -> list[tuple[Any, ...]]:
        connection = self._kept_connection() or self.connect(deadline)
        limit = _within(_ANSWERING, deadline) if repeatable else deadline
        try:
            rows, is_durable = connection.execute(sql, arguments, limit)
        except CallFailed as failure:
            if failure.is_usable:
                self._keep(connection)
            else:
                connection.close()
                self._avoid(connection.server[:2])
            raise
        except ValueError as error:  # text that is none, in JSON or in UTF-8
            connection.close()
            raise StoreCorrupt("store", "answers what is not text", _SCHEMA) from error
        except BaseException:
            connection.close()
            raise
        self._keep(connection)
        if not is_durable:
            raise failures.not_durable()
        return rows

    # Connections

    def connect(self, deadline: float) -> DatabaseConnection:
        """Return one to the first server that lets us in and writes; the caller closes it.

        Raises CallFailed, or Unavailable.
        """
        failed: list[CallFailed] = []
        servers = list(self._order)
        for number, server in enumerate(servers):
            share = (deadline - time.monotonic()) / (len(servers) - number)
            limit = _within(min(share, _CONNECTING), deadline)
            try:
                return self._connect_to(server, limit)
            except CallFailed as failure:
                failed.append(failure)
                self._avoid(server)
        raise failures.worst(failed)

    def _connect_to(self, server: tuple[str, int], deadline: float) -> DatabaseConnection:
        host, port = server
        failed: list[CallFailed] = []
        try:
            addresses = ("",) if self._is_local else addresses_of(host, deadline)
        except CallFailed as failure:
            raise failure.at(f"{host}:{port}") from None
        for number, address in enumerate(addresses):
            share = (deadline - time.monotonic()) / (len(addresses) - number)
            where = ServerAddress(host, port, address)
            limit = _within(share, deadline)
            try:
                return DatabaseConnection(where, self._database, self.identity, limit)
            except CallFailed as failure:
                failed.append(failure.at(str(where)))
        raise failures.worst(failed)

    def _kept_connection(self) -> DatabaseConnection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.used_at > time.monotonic() - _KEPT and not connection.has_ended():
                return connection
            connection.close()

    def _keep(self, connection: DatabaseConnection) -> None:
        with self._lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def _avoid(self, server: tuple[str, int]) -> None:
        """Let ``server`` be the last one to be tried, and use no connection to it any more."""
        with self._lock:
            self._order.remove(server)
            self._order.append(server)
            gone = [one for one in self._idle if one.server[:2] == server]
            self._idle = [one for one in self._idle if one not in gone]
        for connection in gone:
            connection.close()


def _within(seconds: float, deadline: float) -> float:
    return min(time.monotonic() + seconds, deadline)


def _places(arguments: Sequence[Value]) -> str:
    return ", ".join(f"${number}" for number in range(1, len(arguments) + 1))


def _only(function: str, rows: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    if len(rows) != 1:
        raise StoreCorrupt("store", f"{function} answers {len(rows)} rows", _SCHEMA)
    return rows[0]
