"""A throw-away PostgreSQL, from Debian's package: a cluster in a folder of its own.

It listens on a unix socket, where everybody is trusted and only its own user gets in, and on
localhost with TLS, by a certificate of a CA made for it, where roles need a password. A cluster
has a guard, which stops it and removes its folder when this process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from pam_totp.store.postgresql import migrations
from pam_totp.store.postgresql.admin_connection import AdminConnection
from pam_totp.system import postgresql_url
from pam_totp.system.fleet_file import Identity

ADMIN_KEY = bytes(range(32))
PASSWORD = "password of a test"  # of every login role made here
_TEMPLATE = "totp_template"
_FIRST_PORT_OF_CONNECTIONS = 32_768  # Linux's default: net.ipv4.ip_local_port_range

_GUARD = """
"$@" >"$folder/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT $server 2>/dev/null
wait $server
rm -rf "$folder"
"""
# Tests that are about what a crash leaves ask for fsync; nobody else waits for a disk.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "ssl": "on",
    "log_min_messages": "warning",
    "autovacuum": "off",
    "listen_addresses": "localhost",
}
_HBA = """
local     all,replication all         trust
hostssl   all             +with_certificate localhost cert
hostssl   all             all         localhost scram-sha-256
"""


class Cluster:
    """A running server. ``port`` is the same on both; ``folder`` holds all of it."""

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        primary: Cluster | None = None,
        parent: Path | None = None,
    ) -> None:
        """``settings``: of postgresql.conf; with ``primary`` it is a standby of that.

        ``parent``: where its folder comes to lie, instead of where temporary files do.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="pam_totp-postgres.", dir=parent))
        self.data = self.folder / "data"
        self.ca = self.folder / "ca.pem"
        self._guard: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        self._owner = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._has_template = False
        try:
            shutil.chown(self.folder, self._owner)
            self.port = free_port()
            if primary is None:
                self._run(
                    "initdb", "--no-sync", "--auth=trust", "--username=postgres",
                    "--encoding=UTF8", "--locale=C.UTF-8", f"--pgdata={self.data}",
                )  # fmt: skip
            else:
                self._run(
                    "pg_basebackup", "--no-sync", "--checkpoint=fast", "--write-recovery-conf",
                    f"--pgdata={self.data}", f"--dbname={primary.dsn()}",
                )  # fmt: skip
            self._make_certificates(primary)
            self.configure(_SETTINGS | dict(settings or {}))
            (self.data / "pg_hba.conf").write_text(_HBA)
            if self.port != postgresql_url.DEFAULT_PORT:  # which a URL with a socket means
                name = self.folder / ".s.PGSQL"
                os.symlink(f"{name}.{self.port}", f"{name}.{postgresql_url.DEFAULT_PORT}")
            self.start()
        except BaseException:
            self.remove()
            raise

    # Running

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append ``settings``, which count from the next start or reload on."""
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            for name, value in settings.items():
                file.write(f"{name} = '{value}'\n")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        server = [
            *self._as_owner(), f"{programs()}/postgres", "-D", str(self.data),
            "-p", str(self.port), "-k", str(self.folder),
            "-c", f"ssl_cert_file={self.folder}/server.pem",
            "-c", f"ssl_key_file={self.folder}/server.key", "-c", f"ssl_ca_file={self.ca}",
        ]  # fmt: skip
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", *server],
            stdin=subprocess.PIPE,
            env=os.environ | {"folder": str(self.folder)},
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                log = (self.folder / "log").read_text() if (self.folder / "log").exists() else ""
                assert self._guard.poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.02)
            else:
                return

    def signal(self, name: str) -> None:
        """Send the postmaster a signal: INT stops it, QUIT is a crash, HUP reloads."""
        subprocess.run(["/bin/kill", "-s", name, self.pid()], check=True)

    def pid(self) -> str:
        """Return the process id of the postmaster."""
        return (self.data / "postmaster.pid").read_text().split("\n", 1)[0]

    def stop(self, how: str = "INT") -> None:
        """Stop it, and keep its data. ``how``: INT ends all sessions, QUIT is a crash."""
        pid = self.pid()
        self.signal(how)
        deadline = time.monotonic() + 60
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self._end_guard(keep=True)

    def promote(self) -> None:
        """Make a standby the primary."""
        with self.connect() as connection:
            assert [(True,)] == connection.execute("SELECT pg_promote()").fetchall()

    def remove(self) -> None:
        """Stop it, and remove its folder."""
        self._end_guard(keep=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    # Asking

    def dsn(self, user: str = "postgres", database: str = "postgres") -> str:
        """Return how to connect over the unix socket, as libpq takes it."""
        return f"host={self.folder} port={self.port} user={user} dbname={database}"

    def connect(
        self, user: str = "postgres", database: str = "postgres"
    ) -> psycopg.Connection[Any]:
        """Connect over the unix socket, each statement a transaction."""
        return psycopg.connect(self.dsn(user, database), autocommit=True)

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return a certificate of the CA for ``name``, and its private key."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        if not certificate.exists():
            _certify(self.folder, name, [])
        return certificate, key

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Give a fresh database, with the schema and the keys of an administrator."""
        if not self._has_template:
            self._make_template()
        name = f"totp_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        with self._administered(name) as inside:
            migrations.prepare(inside)  # a copy has not the rights of the database itself
        yield Database(self, name)
        with self.connect() as connection:  # another: the server may have been restarted
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _make_template(self) -> None:
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {_TEMPLATE}")
        with self._administered(_TEMPLATE) as inside:
            migrations.prepare(inside)
            migrations.migrate(inside)
        with self.connect(database=_TEMPLATE) as connection:
            connection.execute("SELECT totp.make_keys(%s)", (ADMIN_KEY,))
            connection.execute(f"ALTER ROLE totp_login PASSWORD '{PASSWORD}'")
            connection.execute("CREATE ROLE with_certificate")
            for role in ("admin", "helpdesk", "auditor"):
                connection.execute(
                    f"CREATE ROLE test_{role} LOGIN IN ROLE totp_{role} PASSWORD '{PASSWORD}'"
                )
        self._has_template = True

    def _administered(self, name: str) -> AbstractContextManager[AdminConnection]:
        url = f"postgresql:///{name}?socket={self.folder}"
        return closing(AdminConnection(url, Identity(user="postgres"), "postgres"))

    def _end_guard(self, *, keep: bool) -> None:
        if self._guard is None:
            return
        if keep:  # or it would clear away
            self._guard.kill()
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(60)
        self._guard = None

    def _as_owner(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return ["setpriv", f"--reuid={self._owner}", f"--regid={self._owner}", "--init-groups"]

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_owner(), f"{programs()}/{program}", *arguments]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _make_certificates(self, primary: Cluster | None) -> None:
        """One CA for a primary and its standbys: clients know a single one."""
        if primary is None:
            _openssl(
                "req", "-x509", *_NEW_KEY, "-subj", "/CN=CA of a test", "-days", "2",
                "-keyout", str(self.folder / "ca.key"), "-out", str(self.ca),
            )  # fmt: skip
        else:
            for name in ("ca.key", "ca.pem"):
                shutil.copy(primary.folder / name, self.folder)
        _certify(self.folder, "server", ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        shutil.chown(self.folder / "server.key", self._owner)


class Database:
    """A database of a test in ``cluster``."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def connect(self, user: str = "postgres") -> psycopg.Connection[Any]:
        """Connect as ``user``: postgres, totp_login, test_admin, test_helpdesk, test_auditor."""
        return self.cluster.connect(user, self.name)

    def execute(
        self, sql: str, parameters: Sequence[Any] = (), user: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Run one statement in a connection of its own, and return its rows."""
        with self.connect(user) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        """Forget all that a test has put in: sooner done than a new database is made."""
        with self.connect() as connection:
            connection.execute(
                "TRUNCATE totp.users, totp.authenticators, totp.recovery_codes, totp.group_rules;"
                "UPDATE totp.decoys SET failures = DEFAULT, throttled_until = DEFAULT,"
                " guesses_until = DEFAULT, last_request = DEFAULT, last_verdict = DEFAULT"
                " WHERE last_request IS NOT NULL"
            )

    def stop_clock(self, now: int) -> None:
        """From now on it is ``now`` for the database, a unix time in seconds."""
        self.execute(
            f"CREATE OR REPLACE FUNCTION totp.unix_time() RETURNS bigint VOLATILE RETURN {now}"
        )


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _certify(folder: Path, name: str, options: list[str]) -> None:
    subject = "localhost" if name == "server" else name
    _openssl(
        "req", "-x509", *_NEW_KEY, "-subj", f"/CN={subject}", "-days", "2", *options,
        "-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"),
        "-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem"),
        "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    (folder / f"{name}.key").chmod(0o600)


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def programs() -> Path:
    """Return the folder of the newest release that is installed."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def free_port() -> int:
    """Return a port that nothing listens on, and that the kernel gives to no connection."""
    while True:
        port = random.SystemRandom().randrange(10_000, _FIRST_PORT_OF_CONNECTIONS)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
