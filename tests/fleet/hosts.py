"""A host of the fleet as the product has it: an identity, a client, and what it asks."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from pam_totp.core import verifier
from pam_totp.core.verifier import Answer, Policy, Verdict
from pam_totp.store import LoginAttempt
from pam_totp.store.postgresql.client import Client
from pam_totp.store.postgresql.host_store import HostStore
from pam_totp.system.audit import Source
from pam_totp.system.fleet_file import Identity
from tests.fleet.reporting import Reporter
from tests.support.postgres import PASSWORD, Cluster, Database

SOURCE = Source("sshd:auth", "alice", "198.51.100.7")


def identity_of(database: Database, folder: Path, name: str = "a") -> Identity:
    """Let the host ``name`` join, and return its identity; ``folder`` is where it keeps files."""
    joined = Reporter(database, name)
    return Identity(
        host=name,
        key=joined.key,
        user="totp_login",
        password=PASSWORD,
        ca=trusted_copy(database.cluster.ca, folder),
    )


def trusted_copy(path: Path, folder: Path) -> str:
    """Return a copy that belongs to us: the cluster's files are its own user's."""
    copied = folder / path.name
    shutil.copy(path, copied)
    copied.chmod(0o600)
    return str(copied)


def url_of(database: Database, *ports: int) -> str:
    """Return a URL of ``database``, by way of ``ports`` or of its own one."""
    servers = ",".join(f"localhost:{port}" for port in ports or (database.cluster.port,))
    return f"postgresql://{servers}/{database.name}"


def verify(client: Client, code: str, user: str = "alice", patience: float = 8) -> Verdict:
    """Return the verdict on ``code``; the 12 s of a question are long for a test."""
    answer = Answer(verifier.CODE, code)
    verdict = HostStore(client, patience).verify(
        LoginAttempt(user, answer, Policy(), is_decoy=False, source=SOURCE)
    )
    assert verdict is not None
    return verdict


def asking(client: Client, patience: float = 8) -> float:
    """Ask once, and return the seconds that it took; raises what the question does."""
    begun = time.monotonic()
    HostStore(client, patience).admission("alice")
    return time.monotonic() - begun


def sessions(cluster: Cluster) -> int:
    """Return how many sessions of hosts the server has."""
    with cluster.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'totp_login'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def end_sessions(cluster: Cluster) -> None:
    """Close all sessions of hosts, and wait for that."""
    with cluster.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE usename = 'totp_login'"
        )
