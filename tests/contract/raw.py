"""A store's file past the store: what is in it, whatever its schema."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pam_totp.store.sqlite import schema


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=30)


def dump(path: Path) -> list[str]:
    """Return the whole store as SQL, with the version of its schema."""
    connection = connect(path)
    lines = [*connection.iterdump(), str(schema.version(connection))]
    connection.close()
    return lines
