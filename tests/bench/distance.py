"""A login over PostgreSQL at a distance, in two ways; and how late a black hole denies.

Single statements are what a host would send that reads the tables, judges, and writes itself: in
the fleet's database no host may.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from pam_totp.core.verifier import CODE, Answer, Policy
from pam_totp.login.fleet import Fleet, Lent
from pam_totp.store import LoginAttempt
from pam_totp.store.postgresql.client import Client
from pam_totp.store.postgresql.host_store import PATIENCE
from pam_totp.store.postgresql.kept_kit import KeptKit
from pam_totp.system.errors import StoreUnreachable
from tests.fleet.hosts import SOURCE, identity_of, url_of
from tests.fleet.reporting import enroll
from tests.support.postgres import PASSWORD, Cluster, Database
from tests.support.relay import SILENCE, Relay

from .rounds import rounds

if TYPE_CHECKING:
    from pam_totp.store import LoginStore

DISTANCE = 0.005  # seconds there and back
QUESTIONS, STATEMENTS = "two questions", "single statements"
LOGINS = rounds(100)
_READ = (
    "SELECT * FROM totp.users WHERE name = 'alice'",
    "SELECT * FROM totp.authenticators WHERE user_name = 'alice'",
)
# Before the prompt, and then in a transaction.
_SINGLE = (
    *(*_READ, "SELECT * FROM totp.group_rules", "SELECT * FROM totp.decoys WHERE bucket = 1"),
    *("BEGIN", f"{_READ[0]} FOR UPDATE", _READ[1]),
    "SELECT * FROM totp.recovery_codes WHERE user_name = 'alice'",
    "UPDATE totp.authenticators SET last_accepted_step = last_accepted_step",
    *("UPDATE totp.users SET updated_at = updated_at WHERE name = 'alice'", "COMMIT"),
)


def distance() -> dict[str, Any]:
    """Return the seconds of each login, by how it asks; and how late a black hole denies."""
    cluster = Cluster({"fsync": "on"})
    try:
        with tempfile.TemporaryDirectory() as folder, cluster.database() as database:
            enroll(database, "alice")
            with Relay(cluster.port) as relay:
                relay.delay = DISTANCE / 2
                client = Client(url_of(database, relay.port), identity_of(database, Path(folder)))
                kit = KeptKit(f"{folder}/kit", f"{folder}/key", may_answer=False)
                times = _both_ways(database, relay, Lent(client, kit))
                late = _denied_late(relay, Lent(client, kit))
                client.close()
    finally:
        cluster.remove()
    return {"times": times, "late": late}


def _both_ways(database: Database, relay: Relay, lent: Lent) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {QUESTIONS: [], STATEMENTS: []}
    with psycopg.connect(
        f"host=localhost port={relay.port} dbname={database.name} user=test_admin",
        password=PASSWORD,
        autocommit=True,
    ) as connection:
        for _ in range(LOGINS + 1):
            database.execute("UPDATE totp.users SET failures = 0, throttled_until = 0")
            found[QUESTIONS].append(_seconds(lambda: _ask(lent)))
            found[STATEMENTS].append(_seconds(lambda: _state(connection)))
    return {name: times[1:] for name, times in found.items()}  # the first ones connect


def _ask(lent: Lent) -> None:
    def verify(store: LoginStore) -> object:
        answer = Answer(CODE, "000000")
        return store.verify(LoginAttempt("alice", answer, Policy(), is_decoy=False, source=SOURCE))

    one = _fleet(lent)
    one.look_up("alice", SOURCE.place)
    one.ask(verify)


def _state(connection: psycopg.Connection[Any]) -> None:
    for statement in _SINGLE:
        connection.execute(statement)


def _denied_late(relay: Relay, lent: Lent) -> float:
    """Return by how many seconds a login exceeds what a question may take, of a black hole."""
    relay.fail_open(SILENCE)
    relay.fail(SILENCE)

    def ask() -> None:
        try:
            _fleet(lent).look_up("alice", SOURCE.place)
        except StoreUnreachable:
            return
        raise AssertionError("somebody has answered")

    return _seconds(ask) - PATIENCE


def _fleet(lent: Lent) -> Fleet:
    return Fleet("postgresql:", lambda: nullcontext(lent))


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
