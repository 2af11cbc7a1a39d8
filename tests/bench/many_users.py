"""Enroll a million people in a store of pam_totp, each with a sealed secret of their own.

A million take some 20 s of the processor, and 450 MiB of the disk.

Rows are copied from those of somebody who was enrolled as totpctl does it, whatever columns they
have. They go in by the order of their keys, in one transaction, without a log: nobody needs the
store if that fails.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from pam_totp.core.users import Authenticator
from pam_totp.store import sealing
from pam_totp.store.sqlite.rows import binding
from tests.support.place import SECRET

_DECOY_PAGES = 1024  # more than is reserved for decoys


def fill_store(path: Path, sealer: sealing.Sealer, first: str, others: Sequence[str]) -> None:
    """Give ``others`` rows like those of ``first``, and the store the free pages it wants then."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -262144")
    connection.execute("BEGIN")
    people = sorted(others)
    _copy_row(connection, "users", ("name",), ((person,) for person in people))
    changed = ("user", "id", "sealed_secret")
    _copy_row(connection, "authenticators", changed, (_phone(sealer, person) for person in people))
    _add_free_pages(connection)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


def _copy_row(
    connection: sqlite3.Connection,
    table: str,
    changed: tuple[str, ...],
    changes: Iterable[tuple[object, ...]],
) -> None:
    """Add copies of the one row of ``table``, with the values of ``changes`` in these columns."""
    connection.execute(f"CREATE TEMP TABLE model AS SELECT * FROM {table}")
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    others = [column for column in columns if column not in changed]
    connection.executemany(
        f"INSERT INTO {table} ({', '.join((*changed, *others))}) "
        f"SELECT {', '.join((*'?' * len(changed), *others))} FROM temp.model",
        changes,
    )
    connection.execute("DROP TABLE temp.model")


def _phone(sealer: sealing.Sealer, person: str) -> tuple[str, str, bytes]:
    phone = Authenticator(f"phone of {person}", "phone", SECRET)
    return person, phone.id, sealer.seal(SECRET, *binding(person, phone))


def _add_free_pages(connection: sqlite3.Connection) -> None:
    """Reserve what pam_totp reserves: a free page for each one in use, and some more."""
    ((pages,),) = connection.execute("PRAGMA page_count")
    ((free,),) = connection.execute("PRAGMA freelist_count")
    ((size,),) = connection.execute("PRAGMA page_size")
    connection.execute("CREATE TABLE spare (content)")
    wanted = ((pages - free) * 5 // 4 + _DECOY_PAGES) * size
    connection.execute("INSERT INTO spare VALUES (zeroblob(?))", (wanted,))
    connection.execute("DROP TABLE spare")
