"""Make the roles, the database and the schema, as numbered migrations; meta says how many.

Never edit one that was released: add the next. Each runs in one transaction with its number.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...system.errors import SchemaTooNew

if TYPE_CHECKING:
    from .admin_connection import AdminConnection

_SQL = Path(__file__).parent / "sql"

MIGRATIONS = (
    (
        "tables.sql",
        "sealing.sql",
        "codes.sql",
        "places.sql",
        "hosts.sql",
        "verify.sql",
        "login.sql",
        "administration.sql",
        "offline.sql",
        "rights.sql",
    ),
)


def prepare(connection: AdminConnection) -> None:
    """Make the roles and schemas, and close the database to everybody else: as a superuser.

    It may run again, and changes nothing then.
    """
    with connection.transaction():
        for name in ("roles.sql", "database.sql"):
            _run(connection, name)


def version(connection: AdminConnection) -> int:
    """Return how many migrations the database has seen; 0 for a new one. As totp_owner."""
    with connection.transaction():
        connection.execute("SET LOCAL ROLE totp_owner")
        return _version(connection)


def migrate(connection: AdminConnection) -> None:
    """Apply the missing migrations, each in a transaction: as a member of totp_owner.

    Raises SchemaTooNew where the database has more of them than this release knows.
    """
    for number in range(version(connection), len(MIGRATIONS)):
        with connection.transaction():
            connection.execute("SET LOCAL ROLE totp_owner")
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('totp.migrate'))")
            if _version(connection) != number:  # somebody else was faster
                continue
            for name in MIGRATIONS[number]:
                _run(connection, name)
            connection.execute(
                "INSERT INTO totp.meta (key, value) VALUES ('schema_version', int4send($1::int)) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (number + 1,),
            )
    known = version(connection)
    if known > len(MIGRATIONS):
        raise SchemaTooNew(
            "store",
            f"has schema {known}, this release knows {len(MIGRATIONS)}",
            "install the newer pam_totp on this machine",
        )


def _version(connection: AdminConnection) -> int:
    ((is_there,),) = connection.execute("SELECT to_regclass('totp.meta') IS NOT NULL")
    if not is_there:
        return 0
    ((number,),) = connection.execute("SELECT value FROM totp.meta WHERE key = 'schema_version'")
    return int.from_bytes(number, "big")


def _run(connection: AdminConnection, name: str) -> None:
    connection.run_script((_SQL / name).read_text("utf-8"))
