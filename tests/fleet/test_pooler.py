"""A hundred hosts behind pgbouncer, configured as docs/howto/fleet-pooler.md says.

A thousand each night.
"""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pam_totp.core.verifier import ACCEPTED, CODE, REPLAYED, Answer, Policy
from pam_totp.store import LoginAttempt
from pam_totp.store.postgresql.client import Client
from pam_totp.store.postgresql.connection import DatabaseConnection, ServerAddress
from pam_totp.store.postgresql.host_store import HostStore
from pam_totp.system import fleet_file
from pam_totp.system.audit import Source
from tests.docs.blocks import blocks_of
from tests.fleet.machines import DATABASE, FleetMachine
from tests.fleet.standby import until
from tests.support import thorough
from tests.support.place import ROOT, SECRET, code_now
from tests.support.postgres import Cluster, free_port

HOSTS = 1000 if thorough.NIGHTLY else 100
SERVER_CONNECTIONS = 5
PAGE = ROOT / "docs" / "howto" / "fleet-pooler.md"
_DIGEST = (
    "SELECT '\"' || rolname || '\" \"' || rolpassword || '\"' FROM pg_authid WHERE rolname = %s"
)


@pytest.fixture(scope="module")
def pooler(server: Cluster, founded: Path) -> Iterator[int]:
    """Start pgbouncer in front of the fleet's database; give its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configure(folder, server, port)
        subprocess.run(["chown", "-R", "postgres", folder], check=True)
        account = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
        command = [*account, "pgbouncer", folder / "pgbouncer.ini"]
        with more_descriptors(), subprocess.Popen(command) as process:
            try:
                until(lambda: process.poll() is not None or listens(port))
                yield port
            finally:
                process.kill()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def configure(folder: Path, server: Cluster, port: int) -> None:
    """Do what the page says, for the database of these tests."""
    with server.connect() as connection:
        row = connection.execute(_DIGEST, ("totp_login",)).fetchone()
    assert row is not None
    (folder / "userlist.txt").write_text(f"{row[0]}\n")
    hba = server.data / "pg_hba.conf"
    hba.write_text(f"local all totp_login scram-sha-256\n{hba.read_text()}")
    server.signal("HUP")
    for name in ("server.pem", "server.key"):
        shutil.copy(server.folder / name, folder)
    (block,) = (block for block in blocks_of(PAGE) if block.kind == "ini")
    place = f"host={server.folder} port={server.port} dbname={DATABASE}"
    text = block.text.replace("/etc/pgbouncer", str(folder)).replace("6432", str(port))
    text = re.sub(r"= /(?:var/log|run)/postgresql", f"= {folder}", text)
    text = text.replace("host=/run/postgresql port=5432 dbname=pam_totp", place)
    (folder / "pgbouncer.ini").write_text(text.replace("pam_totp =", f"{DATABASE} ="))


@contextlib.contextmanager
def more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.root
def test_many_idle_hosts_take_a_handful_of_connections(
    server: Cluster, pooler: int, admin: FleetMachine, web: FleetMachine
) -> None:
    url = f"postgresql://localhost:{pooler}/{DATABASE}"
    web.done("join", "-", answers=admin.token("pooled", "--yes", "--url", url))
    assert f"store = {url}\n" in web.settings()
    identity = fleet_file.read(str(web.host_path))
    web.place.enrol("alice")
    key = fleet_file.read(str(admin.admin_path)).key
    with server.connect(database=DATABASE) as connection:
        connection.execute("INSERT INTO totp.users (name, status) VALUES ('alice', 'active')")
        connection.execute(
            "INSERT INTO totp.authenticators (id, user_name, label, algorithm, digits, period, "
            "sealed_secret) VALUES ('x', 'alice', 'phone', 'SHA1', 6, 30, "
            "totp.seal_secret(%s, %s, 'alice', 'x', 'SHA1', 6, 30, 'totp'))",
            (key, SECRET),
        )

    where = ServerAddress("localhost", pooler, "127.0.0.1")

    def ask(number: int) -> DatabaseConnection:
        deadline = time.monotonic() + 60
        opened = DatabaseConnection(where, DATABASE, identity, deadline)
        asked = (identity.host, identity.key, f"u{number}")
        opened.execute("CALL totp.admission($1, $2, $3, '', NULL)", asked, deadline)
        return opened

    # The one that counts comes first: psycopg's own waiting knows no descriptor above 1,023.
    with server.connect() as connection, more_descriptors(), contextlib.ExitStack() as stack:
        with ThreadPoolExecutor(8) as threads:
            for opened in threads.map(ask, range(HOSTS)):
                stack.callback(opened.close)
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'totp_login'"
        ).fetchone()
        assert row is not None
        assert 1 <= row[0] <= SERVER_CONNECTIONS
        code = code_now()
        assert [ACCEPTED, REPLAYED] == [log_in(url, identity, code) for _ in range(2)]


def log_in(url: str, identity: fleet_file.Identity, code: str) -> str:
    """Answer as alice at a host behind the pooler; return what came of it."""
    with contextlib.closing(Client(url, identity)) as client:
        asked = HostStore(client)
        asked.admission("alice")
        verdict = asked.verify(LoginAttempt(
            "alice", Answer(CODE, code), Policy(), is_decoy=False,
            source=Source("sshd:auth"),
        ))  # fmt: skip
    assert verdict is not None
    return verdict.outcome
