"""A folder as a machine of a fleet: the files that say who it is to the database."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pam_totp.system import fleet_file
from pam_totp.system.fleet_file import Identity
from tests.support.postgres import ADMIN_KEY, PASSWORD, Database

HOST = "web1"
ADMINISTRATOR = Identity(user="test_admin", key=ADMIN_KEY)  # over a socket: no password, no CA


def url(database: Database) -> str:
    return f"postgresql://localhost:{database.cluster.port}/{database.name}"


def socket_url(database: Database) -> str:
    """Over a socket there is no TLS, and no password is asked for."""
    return f"postgresql:///{database.name}?socket={database.cluster.folder}"


def admin_file(
    database: Database, folder: Path, *, user: str = "test_admin", key: bytes = ADMIN_KEY
) -> Path:
    """Write who an administrator is, or with another ``user`` and no ``key`` a help desk."""
    identity = Identity(user=user, password=PASSWORD, key=key, ca=_ca(database, folder))
    return _written(folder / "pam_totp.fleet-admin", identity)


def host_file(database: Database, folder: Path, *, host: str = HOST) -> Path:
    """Let ``host`` join, as one of all groups, and write who it is."""
    token, key = os.urandom(32), os.urandom(32)
    with database.connect() as connection:
        added = "SELECT totp.add_host(%s, %s, %s, ARRAY['*'], 60)"
        connection.execute(added, (ADMIN_KEY, host, token))
        connection.execute("CALL totp.join(%s, %s, %s)", (host, token, key))
    ca = _ca(database, folder)
    identity = Identity(host=host, key=key, user="totp_login", password=PASSWORD, ca=ca)
    return _written(folder / "pam_totp.fleet", identity)


def _ca(database: Database, folder: Path) -> str:
    """Copy the certificate of the CA to a place that is trusted: the cluster's is not ours."""
    path = folder / "fleet-ca.pem"
    if not path.exists():
        shutil.copyfile(database.cluster.ca, path)
        path.chmod(0o644)
    return str(path)


def _written(path: Path, identity: Identity) -> Path:
    path.write_bytes(fleet_file.content(identity))
    path.chmod(0o600)
    return path
