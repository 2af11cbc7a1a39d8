"""One session with one server, in which nothing waits beyond a deadline.

libpq's functions come from psycopg.pq, which never wait themselves; the waiting is here, by
poll(2): select(2) knows no descriptor above 1,023, and a service may have thousands. libpq is told
the address, so that it looks up no name. Times are those of time.monotonic().
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import select
import stat
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ...system import trusted_files
from ...system.errors import InsecureFile, StoreRefused
from . import failures
from .environment import OWN_ENVIRONMENT, load_pq
from .failures import CallFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...system.fleet_file import Identity

    Value = str | int | bool | bytes | dict[str, Any] | Sequence[str] | Sequence[bytes] | None

_VERBOSE = 2  # PQERRORS_VERBOSE: an error of connecting has an SQLSTATE in its text alone
_NOWHERE = "/dev/null/nothing"  # in place of a file of the caller's home folder
# Once a connection is idle or waits: a host that is gone without a word is noticed.
_KEEPALIVE = {
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}

# Types of results: pg_type.oid.
_BOOL, _BYTEA, _JSONB = 16, 17, 3802
_INTEGERS = (20, 21, 23)


class ServerAddress(NamedTuple):
    """Where one server listens. ``host``: the name that its certificate has to have.

    ``address``: of that name; "" where ``host`` is the folder of a Unix socket.
    """

    host: str
    port: int
    address: str

    def __str__(self) -> str:
        if not self.address:
            return self.host
        return f"{self.host}:{self.port}"


class DatabaseConnection:
    """Each statement is a transaction, unless the caller begins one. Not for two threads at once.

    Raises CallFailed; when it is made, Unavailable as well, for files that are not to be trusted.
    ``used_at``: when it last answered.
    """

    def __init__(
        self, server: ServerAddress, database: str, identity: Identity, deadline: float
    ) -> None:
        self.server = server
        self.used_at = 0.0
        self._warnings = 0
        self._pq = load_pq()
        parameters = _parameters(server, database, identity)
        with OWN_ENVIRONMENT:
            self._libpq = self._pq.PGconn.connect_start(_conninfo(parameters))
            try:
                self._connect(deadline)
                # Any host can set that for the role that all log in as: no reason to go offline.
                if self._libpq.parameter_status(b"default_transaction_read_only") == b"on":
                    raise failures.does_not_let_write()
            except self._pq_error() as error:
                self.close()
                raise failures.unreachable("the connection was cut") from error
            except BaseException:
                self.close()
                raise
        self.used_at = time.monotonic()

    def execute(
        self, sql: str, values: Sequence[Value], deadline: float, *, in_transaction: bool = False
    ) -> tuple[list[tuple[Any, ...]], bool]:
        """Run one statement, in one round trip; return its rows, and whether it is done for good.

        ``in_transaction``: the caller's is open after it, and nothing is done before its end.

        It is not where the server gave a warning: a commit that no longer waits for a standby is
        one. It has been committed only when the server is ready for the next statement.
        """
        results = self._ask(
            lambda: self._libpq.send_query_params(
                sql.encode(),
                [_encoded(value) for value in values],
                param_formats=[int(isinstance(value, bytes)) for value in values],
            ),
            deadline,
            in_transaction=in_transaction,
        )
        return _rows(results[0]), self._warnings == 0

    def run_script(self, sql: str, deadline: float, *, in_transaction: bool = False) -> bool:
        """Run several statements, whose words hold no secret: an error may quote them.

        Returns whether they are done for good: see execute().
        """
        self._ask(
            lambda: self._libpq.send_query(sql.encode()),
            deadline,
            in_transaction=in_transaction,
            may_quote=True,
        )
        return self._warnings == 0

    def encrypted_password(self, role: str, password: str) -> str:
        """Return what the server keeps of a ``password`` of ``role``; it is sent nothing else."""
        digest: bytes = self._libpq.encrypt_password(
            password.encode(), role.encode(), b"scram-sha-256"
        )
        return digest.decode()

    def has_ended(self) -> bool:
        """Tell whether the server has closed it, or said something unasked: no use any more."""
        return _wait(self._libpq.socket, select.POLLIN, 0)

    def close(self) -> None:
        """Say good-bye, waiting for nothing."""
        self._libpq.finish()

    # Connecting

    def _connect(self, deadline: float) -> None:
        status = self._pq.PollingStatus
        if self._libpq.status == self._pq.ConnStatus.BAD:
            raise failures.of_connecting(self._error_message(), was_reached=True)
        self._libpq.notice_handler = self._take_notice
        _functions().PQsetErrorVerbosity(ctypes.c_void_p(self._libpq.pgconn_ptr), _VERBOSE)
        polled, was_reached = status.WRITING, False
        while polled != status.OK:
            events = select.POLLIN if polled == status.READING else select.POLLOUT
            if not _wait(self._libpq.socket, events, deadline):
                raise failures.unreachable(
                    "does not answer in time" if was_reached else "cannot be reached in time"
                )
            polled = self._libpq.connect_poll()
            if polled == status.FAILED:
                raise failures.of_connecting(self._error_message(), was_reached=was_reached)
            was_reached = was_reached or self._libpq.status != self._pq.ConnStatus.STARTED
        self._libpq.nonblocking = 1

    def _error_message(self) -> str:
        message: bytes = self._libpq.error_message
        return message.decode("utf-8", "replace")

    # A statement

    def _ask(
        self,
        send: Callable[[], None],
        deadline: float,
        *,
        in_transaction: bool,
        may_quote: bool = False,
    ) -> list[Any]:
        """Return the results of what ``send`` puts on its way, of which there is one at least."""
        self._warnings = 0
        try:
            send()
            self._send(deadline)
            results = self._results(deadline)
        except self._pq_error() as error:
            raise _sent(failures.unreachable("the connection was cut")) from error
        except CallFailed as failure:
            raise _sent(failure) from None
        for result in results:
            if result.status not in (self._pq.ExecStatus.TUPLES_OK, self._pq.ExecStatus.COMMAND_OK):
                raise self._failed(result, may_quote=may_quote)
        status = self._pq.TransactionStatus
        expected = status.INTRANS if in_transaction else status.IDLE
        if not results or self._libpq.transaction_status != expected:
            raise _sent(failures.unreachable("the connection was cut"))
        self.used_at = time.monotonic()
        return results

    def _send(self, deadline: float) -> None:
        while self._libpq.flush():
            events = select.POLLIN | select.POLLOUT
            if not _wait(self._libpq.socket, events, deadline):
                raise failures.unreachable("takes nothing any more")
            self._libpq.consume_input()

    def _results(self, deadline: float) -> list[Any]:
        results: list[Any] = []
        while True:
            while self._libpq.is_busy():
                if not _wait(self._libpq.socket, select.POLLIN, deadline):
                    raise failures.unreachable("does not answer in time")
                self._libpq.consume_input()
            result = self._libpq.get_result()
            if result is None:
                return results
            results.append(result)

    def _failed(self, result: Any, *, may_quote: bool) -> CallFailed:
        field = self._pq.DiagnosticField
        state = result.error_field(field.SQLSTATE)
        if state is None:
            return _sent(failures.unreachable("the connection was cut"))
        text = result.error_message.decode("utf-8", "replace")
        failure = failures.by_sqlstate(state.decode("ascii", "replace"), text)
        if may_quote:
            failure.problem = result.error_field(field.MESSAGE_PRIMARY).decode("utf-8", "replace")
        is_connected = self._libpq.status == self._pq.ConnStatus.OK
        # An error of the statement has undone it; one of the session comes after a commit as well.
        failure.was_sent = not is_connected
        failure.is_usable = is_connected and failure.sqlstate != failures.READ_ONLY
        return failure

    def _take_notice(self, result: Any) -> None:
        severity = result.error_field(self._pq.DiagnosticField.SEVERITY_NONLOCALIZED)
        self._warnings += severity == b"WARNING"

    def _pq_error(self) -> type[Exception]:
        from psycopg import Error

        return Error


def _functions() -> ctypes.CDLL:
    """Return the same libpq that psycopg has loaded, for what it has no name for."""
    return ctypes.CDLL("libpq.so.5")


def _sent(failure: CallFailed) -> CallFailed:
    failure.was_sent = True
    return failure


def _wait(descriptor: int, events: int, deadline: float) -> bool:
    """Wait until one of ``events`` is possible, or has failed; False: the deadline came first."""
    poller = select.poll()
    poller.register(descriptor, events)
    left = max(deadline - time.monotonic(), 0)
    return bool(poller.poll(left * 1000))


def _parameters(server: ServerAddress, database: str, identity: Identity) -> dict[str, str]:
    parameters = {
        "host": server.host,
        "port": str(server.port),
        "dbname": database,
        "user": identity.user,
        "password": identity.password,
        "passfile": _NOWHERE,
        "application_name": "pam_totp",
        "client_encoding": "UTF8",
        "gssencmode": "disable",
        "target_session_attrs": "primary",
        "sslcert": identity.certificate or _NOWHERE,
        "sslkey": identity.private_key or _NOWHERE,
        "sslcrl": _NOWHERE,
        **_KEEPALIVE,
    }
    if not server.address:
        return parameters | {"sslmode": "disable", "requirepeer": _owner(server.host)}
    _check(identity.ca)
    for path in (identity.certificate, identity.private_key):
        if path:
            _check(path)
    tls = {"sslmode": "verify-full", "sslrootcert": identity.ca}
    return parameters | tls | {"hostaddr": server.address}


def _check(path: str) -> None:
    """Refuse a file that is missing, or that others can write. Raises Unavailable."""
    trusted_files.check_folder(os.path.dirname(path))
    try:
        trusted_files.check_file(path)
    except OSError as error:
        hint = "compare it with the identity of this host"
        raise StoreRefused(path, error.strerror or "cannot be read", hint) from None


def _owner(folder: str) -> str:
    """Return who has to serve the socket in ``folder``: whose the folder is."""
    try:
        status = os.stat(folder)
        owner = pwd.getpwuid(status.st_uid).pw_name
    except (OSError, KeyError):
        raise failures.unreachable("there is no such folder") from None
    if status.st_mode & stat.S_IWOTH:
        raise InsecureFile(folder, "is writable by others", f"run: chmod o-w {folder}")
    return owner


def _conninfo(parameters: dict[str, str]) -> bytes:
    quoted = []
    for name, value in parameters.items():
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        quoted.append(f"{name}='{escaped}'")
    return " ".join(quoted).encode()


def _encoded(value: Value) -> bytes | None:
    """Return a parameter as PostgreSQL reads it; bytes are sent as they are."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bool | int):
        return str(value).lower().encode()
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict):
        return json.dumps(value).encode()
    return ("{" + ",".join(_element(element) for element in value) + "}").encode()


def _element(element: str | bytes) -> str:
    text = f"\\x{element.hex()}" if isinstance(element, bytes) else element
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rows(result: Any) -> list[tuple[Any, ...]]:
    columns = range(result.nfields)
    kinds = [result.ftype(column) for column in columns]
    return [
        tuple(_decoded(result.get_value(row, column), kinds[column]) for column in columns)
        for row in range(result.ntuples)
    ]


def _decoded(value: bytes | None, kind: int) -> object:
    if value is None:
        return None
    if kind in _INTEGERS:
        return int(value)
    if kind == _BOOL:
        return value == b"t"
    if kind == _BYTEA:
        return bytes.fromhex(value[2:].decode("ascii"))
    if kind == _JSONB:
        return json.loads(value)
    return value.decode()
