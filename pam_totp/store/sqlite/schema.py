"""The tables, as numbered migrations. PRAGMA user_version says how many have been applied.

Never edit one that was released: add the next. Each runs in one transaction with its number.
"""

from __future__ import annotations

import sqlite3

from ...system.errors import SchemaTooNew

# There is no way from these, which had other tables under the numbers 1 to 3.
UNRELEASED = (
    "if it is from before the first release, move it away, run: totpctl init, and enroll everybody "
    "again"
)

MIGRATIONS = (
    """
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE users (
        name TEXT PRIMARY KEY,
        status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'exempt', 'must_enroll')),
        exempt_until INTEGER NOT NULL,
        failures INTEGER NOT NULL CHECK (failures >= 0),
        untold INTEGER NOT NULL CHECK (untold >= 0),
        throttled_until INTEGER NOT NULL,
        guesses_until INTEGER NOT NULL,
        known_places TEXT NOT NULL,
        remembered TEXT NOT NULL,
        own_changes TEXT NOT NULL,
        recovery_salt BLOB,
        uid INTEGER,
        bound_at INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE authenticators (
        id TEXT PRIMARY KEY,
        user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
        label TEXT NOT NULL,
        algorithm TEXT NOT NULL CHECK (algorithm IN ('SHA1', 'SHA256', 'SHA512')),
        digits INTEGER NOT NULL CHECK (digits IN (6, 7, 8)),
        period INTEGER NOT NULL CHECK (period > 0),
        drift INTEGER NOT NULL,
        last_accepted_step INTEGER NOT NULL,
        sealed_secret BLOB NOT NULL,
        created_at INTEGER NOT NULL,
        last_used_at INTEGER,
        clock_offset INTEGER NOT NULL,
        clock_sightings INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('totp', 'hotp')),
        serial TEXT NOT NULL,
        learned INTEGER NOT NULL,
        UNIQUE (user, label)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE recovery_codes (
        user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
        digest BLOB NOT NULL,
        PRIMARY KEY (user, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE group_rules (
        name TEXT PRIMARY KEY,
        rule TEXT NOT NULL CHECK (rule IN ('exempt', 'required')),
        until INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE decoys (
        bucket INTEGER PRIMARY KEY,
        failures INTEGER NOT NULL,
        throttled_until INTEGER NOT NULL,
        guesses_until INTEGER NOT NULL
    ) STRICT;
    """,
)


def version(connection: sqlite3.Connection) -> int:
    """Return how many migrations ``connection``'s database has seen; 0 for a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(
    connection: sqlite3.Connection, path: str, migrations: tuple[str, ...] = MIGRATIONS
) -> None:
    """Apply what is missing of ``migrations``, in one transaction: all of it, or nothing.

    Raises SchemaTooNew where the store has more of them than this release knows.
    """
    if version(connection) < len(migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            _apply_missing(connection, migrations)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite has rolled back itself when the disk is full
                connection.execute("ROLLBACK")
            raise
    refuse_newer(connection, path, migrations)


def refuse_newer(
    connection: sqlite3.Connection, path: str, migrations: tuple[str, ...] = MIGRATIONS
) -> None:
    """Raise SchemaTooNew where the store has more migrations than this release knows."""
    if version(connection) > len(migrations):
        raise SchemaTooNew(
            path,
            f"has schema {version(connection)}, this release knows {len(migrations)}",
            f"install the newer pam_totp again, or restore a backup made by this one; {UNRELEASED}",
        )


def _apply_missing(connection: sqlite3.Connection, migrations: tuple[str, ...]) -> None:
    """Look again, now that nobody else can write: another process may have been faster."""
    for number in range(version(connection), len(migrations)):
        for statement in migrations[number].split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number + 1}")
