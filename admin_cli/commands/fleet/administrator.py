"""Where the fleet is and who administers it, as this machine has it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pam_totp.system import fleet_file, trusted_files
from pam_totp.system.fleet_file import Identity

from ...errors import CommandFailed
from ...session import Session

if TYPE_CHECKING:
    from pam_totp.store.postgresql.administration import Administration

MAX_CA_BYTES = 64 * 1024


class Reached(NamedTuple):
    """``path``: of the file of ``identity``. ``ca``: what the server is checked by, in PEM."""

    url: str
    identity: Identity
    path: str
    ca: str

    @contextlib.contextmanager
    def administration(self) -> Iterator[Administration]:
        """Open the database as the administrator. Raises Unavailable."""
        from pam_totp.store.postgresql.administration import Administration
        from pam_totp.store.postgresql.opening import open_fleet

        with contextlib.closing(open_fleet(self.url, self.identity, self.path)) as connection:
            yield Administration(connection, self.identity.key)


def read(session: Session) -> Reached:
    """Return what this machine knows of its fleet. Raises CommandFailed where it is no
    administrator's.
    """
    path = session.config.fleet_admin
    try:
        identity = fleet_file.read(path)
    except FileNotFoundError:
        raise CommandFailed(
            f"{path}: there is no such file: this machine does not administer a fleet",
            "run this on an administrator's machine; or make a fleet: totpctl fleet init URL",
        ) from None
    if not identity.key:
        raise CommandFailed(
            f"{path} has no key: it is that of a help desk, or of an auditor",
            "run this on an administrator's machine",
        )
    url = identity.store or fleet_url(session)  # hosts may go through a pooler
    if not url:
        raise CommandFailed(
            f"neither {session.config_path} nor {path} says where the fleet's database is",
            f"put this line into {path}: store = postgresql://SERVER/DATABASE",
        )
    ca = trusted_files.read_trusted(identity.ca, MAX_CA_BYTES).decode("ascii", "replace")
    return Reached(url, identity, path, ca)


def fleet_url(session: Session) -> str:
    """Return the store of pam_totp.conf where that is a fleet's, else ""."""
    return session.config.store if session.config.is_fleet else ""
