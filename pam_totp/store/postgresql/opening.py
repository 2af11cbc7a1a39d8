"""Open a fleet's database to administer it, where its schema is that of this release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...system.errors import SchemaTooNew, StoreRefused
from .admin_connection import AdminConnection
from .migrations import MIGRATIONS

if TYPE_CHECKING:
    from ...system.fleet_file import Identity

_LOCKED = 5.0  # seconds, as long as SQLite waits for another writer


def open_fleet(
    url: str,
    identity: Identity,
    source: str,
    *,
    patience: float | None = None,
    administrator: str = "",
) -> AdminConnection:
    """Log in to a database that has the schema of this release: see AdminConnection.

    ``patience``: None: as long as SQLite waits for another writer. Raises Unavailable.
    """
    connection = AdminConnection(
        url,
        identity,
        source,
        patience=_LOCKED if patience is None else patience,
        administrator=administrator,
    )
    try:
        ((version,),) = connection.execute("SELECT totp.schema_version()")
        if version < len(MIGRATIONS):
            raise StoreRefused(
                "store", f"the schema is too old: {version}", "run: totpctl fleet migrate"
            )
        if version > len(MIGRATIONS):
            raise SchemaTooNew(
                "store",
                f"has schema {version}, this release knows {len(MIGRATIONS)}",
                "install the newer pam_totp on this machine",
            )
    except BaseException:
        connection.close()
        raise
    return connection
