"""A synchronous standby, and commits that wait for it in vain."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from tests.support.postgres import Cluster, Database

CANCEL = """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = %s AND wait_event = 'SyncRep'
"""


@contextmanager
def standby_of(primary: Cluster) -> Iterator[Cluster]:
    """Give a synchronous standby."""
    standby = Cluster(primary=primary)
    try:
        primary.configure({"synchronous_standby_names": "*"})
        primary.signal("HUP")
        with primary.connect() as connection:
            until(
                lambda: (
                    [("sync",)]
                    == connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
                )
            )
        yield standby
    finally:
        standby.remove()


def receiver_of(standby: Cluster) -> int:
    with standby.connect() as connection:
        row = connection.execute("SELECT pid FROM pg_stat_wal_receiver").fetchone()
    assert row is not None
    return int(row[0])


def cancel_waits(database: Database, role: str, call: Future[Any]) -> int:
    """Cancel every wait of ``role`` for the standby until ``call`` has ended; return how many."""
    count = 0
    while not call.done():
        rows = database.execute(CANCEL, (role,))
        count += len(rows)
        time.sleep(0.05)
    return count


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
