"""The PostgreSQL that tests run on: nothing of it is left, and it can be reached as a host does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.support.place import ROOT
from tests.support.postgres import PASSWORD, Cluster, Database

_ONE = """
import time
from tests.support.postgres import Cluster
cluster = Cluster()
print(cluster.folder, cluster.pid(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_however_the_tests_end(how: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _ONE], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    folder, pid = process.stdout.readline().decode().split()
    process.send_signal(how)
    process.wait(10)
    process.stdout.close()
    deadline = time.monotonic() + 30
    while Path(folder).exists() or Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_data_outlives_a_crash_a_stop_and_its_primary() -> None:
    own = Cluster({"fsync": "on"})
    try:
        with own.connect() as connection:
            connection.execute("CREATE TABLE kept (number int)")
            connection.execute("INSERT INTO kept VALUES (1)")
        for how in ("QUIT", "INT"):
            own.stop(how)
            own.start()
            with own.connect() as connection:
                assert [(1,)] == connection.execute("SELECT number FROM kept").fetchall()
        standby = Cluster(primary=own)
        try:
            own.stop("QUIT")
            standby.promote()
            with standby.connect() as connection:
                assert [(1,)] == connection.execute("SELECT number FROM kept").fetchall()
        finally:
            standby.remove()
    finally:
        own.remove()
    assert not own.folder.exists()


def over_tls(cluster: Cluster, database: Database, **options: str) -> psycopg.Connection:
    return psycopg.connect(
        f"host=localhost port={cluster.port} user=totp_login dbname={database.name}",
        **{"sslmode": "verify-full", "sslrootcert": str(cluster.ca), **options},
    )


def test_hosts_connect_with_tls_and_a_password_or_a_certificate(
    cluster: Cluster, database: Database
) -> None:
    over_tls(cluster, database, password=PASSWORD).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        over_tls(cluster, database, password="another")
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        over_tls(cluster, database, password=PASSWORD, sslmode="disable")
    certificate, key = (str(path) for path in cluster.issue("totp_login"))
    with cluster.connect() as connection:
        connection.execute("GRANT with_certificate TO totp_login")
        try:
            over_tls(cluster, database, sslcert=certificate, sslkey=key).close()
            with pytest.raises(psycopg.OperationalError):
                over_tls(cluster, database, password=PASSWORD)
        finally:
            connection.execute("REVOKE with_certificate FROM totp_login")


def test_only_its_own_user_reaches_the_socket_and_the_data(cluster: Cluster) -> None:
    status = os.stat(cluster.folder)
    assert 0o700 == status.st_mode & 0o777
    assert 0 != status.st_uid
