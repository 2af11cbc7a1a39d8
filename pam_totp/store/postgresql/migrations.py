"""Make the roles, the database and the schema, as numbered migrations; meta says how many.

Never edit one that was released: add the next. Each runs in one transaction with its number.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...system.errors import SchemaTooNew

if TYPE_CHECKING:
    import psycopg

_SQL = Path(__file__).parent / "sql"

MIGRATIONS = (
    (
        "tables.sql",
        "sealing.sql",
        "codes.sql",
        "hosts.sql",
        "verify.sql",
        "login.sql",
        "administration.sql",
        "offline.sql",
        "rights.sql",
    ),
)


def prepare(connection: psycopg.Connection[Any]) -> None:
    """Make the roles and schemas, and close the database to everybody else: as a superuser.

    It may run again, and changes nothing then.
    """
    with connection.transaction():
        for name in ("roles.sql", "database.sql"):
            _run(connection, name)


def version(connection: psycopg.Connection[Any]) -> int:
    """Return how many migrations the database has seen; 0 for a new one. As totp_owner."""
    with connection.transaction():
        connection.execute("SET LOCAL ROLE totp_owner")
        return _version(connection)


def migrate(connection: psycopg.Connection[Any]) -> None:
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
                "INSERT INTO totp.meta (key, value) VALUES ('schema_version', int4send(%s::int)) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (number + 1,),
            )
    known = version(connection)
    if known > len(MIGRATIONS):
        raise SchemaTooNew(
            connection.info.dbname,
            f"has schema {known}, this release knows {len(MIGRATIONS)}",
            "install the newer pam_totp on this machine",
        )


def _version(connection: psycopg.Connection[Any]) -> int:
    found = connection.execute("SELECT to_regclass('totp.meta') IS NOT NULL").fetchone()
    if found != (True,):
        return 0
    row = connection.execute("SELECT value FROM totp.meta WHERE key = 'schema_version'").fetchone()
    assert row is not None
    return int.from_bytes(row[0], "big")


def _run(connection: psycopg.Connection[Any], name: str) -> None:
    connection.execute((_SQL / name).read_bytes())
