"""A connection to the fleet's database for one command; what goes wrong on it, in words."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pam_totp.store.postgresql.environment import OWN_ENVIRONMENT, load_pq
from pam_totp.system import postgresql_url
from pam_totp.system.errors import SealingError, StoreRefused, StoreUnreachable, Unavailable
from pam_totp.system.fleet_file import Identity

if TYPE_CHECKING:
    from psycopg import Connection, Error

CONNECT_SECONDS = 5  # for each server of the URL
_STATEMENT_SECONDS = 60
_SETTINGS = (
    ("client_min_messages", "error"),
    ("search_path", "pg_catalog"),
    ("statement_timeout", f"{_STATEMENT_SECONDS}s"),
    ("synchronous_commit", "on"),
)
NO_SUCH_KEY = "TP001"
_NO_FILE = "/dev/null/none"  # in place of those in the home of root
# What a server that cannot be logged in to says, and the command or step that fixes it.
_REFUSALS = (
    ("password authentication failed", "the password may have been changed: see the identity file"),
    ("no pg_hba.conf entry", "add a line for this role and address to the server's pg_hba.conf"),
    ("certificate verify failed", "its certificate is not of this CA, or has expired: see --ca"),
    ("does not match host name", "name the server as its certificate does"),
    ("server does not support SSL", "set ssl = on, ssl_cert_file and ssl_key_file on the server"),
    ("root certificate file", "name the CA's certificate with --ca"),
    ("does not exist", "create it on the server: see docs/howto/fleet.md"),
    ("Peer authentication failed", "run it as root, or use a password: leave out --socket"),
)


@contextlib.contextmanager
def connected(
    url: str, identity: Identity, *, socket: str = "", refused: Unavailable | None = None
) -> Iterator[Connection[Any]]:
    """Open a connection to the server of ``url`` that writes, as the role of ``identity``.

    TLS is checked by the CA of ``identity``. With ``socket``, a folder: through the Unix socket in
    it instead, as the account that is named like the role, where there is one. No variable of the
    environment counts. Raises Unavailable, also for what goes wrong inside; ``refused`` where a key
    opens nothing.
    """
    load_pq()
    import psycopg

    place = postgresql_url.parse(url)
    way: dict[str, Any]
    if socket or place.socket:
        port = place.servers[0][1] if place.servers else postgresql_url.DEFAULT_PORT
        way = {"host": socket or place.socket, "port": str(port), "sslmode": "disable"}
    else:
        way = {
            "host": ",".join(host for host, _ in place.servers),
            "port": ",".join(str(port) for _, port in place.servers),
            "sslmode": "verify-full",
            "sslrootcert": identity.ca,
        }
    try:
        with OWN_ENVIRONMENT, _as_account(identity.user if socket else ""):
            connection = psycopg.connect(
                dbname=place.database,
                user=identity.user,
                password=identity.password or None,
                passfile=_NO_FILE,
                sslcert=identity.certificate or _NO_FILE,
                sslkey=identity.private_key or _NO_FILE,
                gssencmode="disable",
                target_session_attrs="read-write",
                connect_timeout=CONNECT_SECONDS,
                application_name="totpctl",
                client_encoding="utf8",
                options=" ".join(f"-c {name}={value}" for name, value in _SETTINGS),
                autocommit=True,
                **way,
            )
    except psycopg.OperationalError as error:
        raise _unreachable(url, str(error)) from None
    try:
        with connection:
            yield connection
    except psycopg.Error as error:
        if refused is not None and error.sqlstate == NO_SUCH_KEY:
            raise refused from None
        raise _failed(url, error) from None


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


def _unreachable(url: str, words: str) -> Unavailable:
    problem = " ".join(words.split())
    for known, hint in _REFUSALS:
        if known in problem:
            return StoreRefused(url, problem, hint)
    return StoreUnreachable(url, problem, "is the database running, and reachable from here?")


def _failed(url: str, error: Error) -> Unavailable:
    """Return what to raise for a statement that failed: no value of it is in its words."""
    diagnosis = error.diag
    problem = diagnosis.message_primary or "the connection broke; what was asked may have been done"
    if diagnosis.sqlstate == NO_SUCH_KEY:
        hint = "restore the identity file of this administrator from a backup"
        return StoreRefused(url, "the administrator's key does not open this fleet", hint)
    if diagnosis.sqlstate == "TP003":
        user = diagnosis.message_detail or "somebody"
        return SealingError(user, problem, f"enroll this user again: totpctl reset {user}")
    if diagnosis.sqlstate in (
        "3F000",
        "42P01",
        "42883",
        "42703",
    ):  # schema, table, function, column
        problem, hint = f"has no fleet of this release: {problem}", "run: totpctl fleet migrate"
        return StoreRefused(url, problem, hint)
    if diagnosis.sqlstate == "42501":
        return StoreRefused(url, problem, "this role may not do that: run it as an administrator")
    return StoreUnreachable(url, problem, "nothing was changed unless it says so; run it again")
