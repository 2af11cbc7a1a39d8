"""Names and labels alone, read without a trace: for completions, which nobody asked to act.

Opening a store migrates it, and may write to its log. This does neither, and needs no key.
"""

from __future__ import annotations

import os
import sqlite3
from typing import NamedTuple

from ...system import trusted_files
from ...system.config_values import split_store_url
from . import lasting_files
from .database import name_files, uri_of


class Person(NamedTuple):
    name: str
    status: str
    labels: tuple[str, ...]


def people(url: str) -> list[Person]:
    """Return everyone who has a record, by name.

    What was committed a moment ago may be missing. Raises Unavailable and sqlite3.Error.
    """
    _, path = split_store_url(url)
    trusted_files.check_folder(os.path.dirname(path))
    files = name_files(path)
    # Without a log that holds pages the file is the whole store; a reader would write the index.
    has_log = {"-wal", "-shm"} <= files.keys() and lasting_files.has_content(f"{path}-wal")
    how = "mode=ro" if has_log else "immutable=1"
    connection = sqlite3.connect(uri_of(path, how), timeout=0, uri=True)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        labels: dict[str, list[str]] = {}
        for name, label in connection.execute(
            "SELECT user, label FROM authenticators ORDER BY user, label"
        ):
            labels.setdefault(name, []).append(label)
        users = connection.execute("SELECT name, status FROM users ORDER BY name")
        return [Person(name, status, tuple(labels.get(name, ()))) for name, status in users]
    finally:
        connection.close()
