"""A store that the first release made, and this one takes over."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from pam_totp.core.admission import GroupRule
from pam_totp.core.users import UserRecord
from pam_totp.store.sqlite import schema
from pam_totp.system.errors import SchemaTooNew
from tests.contract.raw import connect, dump
from tests.contract.sample_records import full_record
from tests.faults.processes import Meet, Waiting
from tests.support.place import Place

LATEST = len(schema.MIGRATIONS)
# As the first release made it, to the letter.
SCHEMA_1 = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'exempt', 'must_enroll')),
    failures INTEGER NOT NULL CHECK (failures >= 0),
    throttled_until INTEGER NOT NULL,
    recovery_salt BLOB,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE authenticators (
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    label TEXT NOT NULL,
    algorithm TEXT NOT NULL CHECK (algorithm IN ('SHA1', 'SHA256', 'SHA512')),
    digits INTEGER NOT NULL CHECK (digits IN (6, 8)),
    period INTEGER NOT NULL CHECK (period > 0),
    drift INTEGER NOT NULL,
    last_accepted_step INTEGER NOT NULL,
    sealed_secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    UNIQUE (user, label)
) STRICT, WITHOUT ROWID;
CREATE TABLE recovery_codes (
    user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    digest BLOB NOT NULL,
    PRIMARY KEY (user, digest)
) STRICT, WITHOUT ROWID;
CREATE TABLE decoys (
    bucket INTEGER PRIMARY KEY,
    failures INTEGER NOT NULL,
    throttled_until INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 1;
"""
# What it kept of a user.
USERS_1 = "name, status, failures, throttled_until, recovery_salt, created_at, updated_at"
AUTHENTICATORS_1 = (
    "id, user, label, algorithm, digits, period, drift, last_accepted_step, sealed_secret, "
    "created_at, last_used_at"
)
PHONE, TABLET = full_record().authenticators
# What she is after that: her wrong codes, whatever they were, have not been told.
ALICE = full_record()._replace(
    exempt_until=0,
    uid=None,
    bound_at=0,
    untold=full_record().failures,
    guesses_until=0,
    authenticators=(PHONE, TABLET._replace(clock_offset=0, clock_sightings=0)),
)


def load(place: Place) -> UserRecord | None:
    with place.open() as opened, opened.transaction("alice") as transaction:
        return transaction.record


@pytest.fixture
def old(place: Place) -> Place:
    """A place whose store the first release made, with ALICE in it."""
    with place.open() as opened, opened.transaction("alice") as transaction:
        transaction.save(ALICE)
    connection = connect(place.store_path)
    columns = {
        "meta": "*",
        "users": USERS_1,
        "authenticators": AUTHENTICATORS_1,
        "recovery_codes": "*",
    }
    rows = {
        table: connection.execute(f"SELECT {names} FROM {table}").fetchall()
        for table, names in columns.items()
    }
    connection.close()
    place.store_path.unlink()
    connection = connect(place.store_path)
    connection.executescript(SCHEMA_1)
    for table, found in rows.items():
        for row in found:
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    place.store_path.chmod(0o600)
    return place


def test_it_is_still_the_first_migration(tmp_path: Path) -> None:
    made = [connect(tmp_path / name) for name in ("old.db", "new.db")]
    made[0].executescript(SCHEMA_1)
    schema.migrate(made[1], "", schema.MIGRATIONS[:1])
    shapes = []
    for connection in made:
        tables = connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")
        shapes.append([(name, (sql or "").split()) for name, sql in tables])
        assert 1 == schema.version(connection)
        connection.close()
    assert shapes[0] == shapes[1]


def test_its_store_is_taken_over_with_all_that_is_in_it(old: Place) -> None:
    assert ALICE == load(old)
    with old.open() as opened:
        assert () == opened.group_rules()
        assert [] == opened.check()
        opened.save_group_rule(GroupRule("staff", "required"))
        with opened.transaction("alice") as transaction:
            transaction.save(full_record())
    assert full_record() == load(old)
    with old.open() as opened:
        assert (GroupRule("staff", "required"),) == opened.group_rules()
        assert [] == opened.check()
        opened.confirm_absence()
    connection = connect(old.store_path)
    assert LATEST == schema.version(connection)
    connection.close()


def test_whoever_was_exempt_stays_so_without_end(old: Place) -> None:
    connection = connect(old.store_path)
    connection.execute("UPDATE users SET status = 'exempt'")
    connection.close()
    assert ALICE._replace(status="exempt") == load(old)


@pytest.mark.parametrize(
    "moment",
    ["BEGIN", "ALTER TABLE users", "CREATE TABLE group_rules", "PRAGMA user_version =", "COMMIT"],
)
def test_a_process_that_is_killed_on_the_way_leaves_it_as_it_was(old: Place, moment: str) -> None:
    before = dump(old.store_path)

    def die(pause: Meet) -> str:
        pause()
        connection = connect(old.store_path)

        def watch(statement: str) -> None:
            if statement.strip().startswith(moment):
                os.kill(os.getpid(), signal.SIGKILL)

        connection.set_trace_callback(watch)
        schema.migrate(connection, str(old.store_path))
        return "not killed"

    with Waiting(die) as killed:
        killed.go()
        assert None is killed.returned()
    assert before == dump(old.store_path)
    assert ALICE == load(old)


def test_a_migration_that_finds_the_disk_full_leaves_it_as_it_was(old: Place) -> None:
    before = dump(old.store_path)
    connection = connect(old.store_path)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        schema.migrate(connection, str(old.store_path))
    connection.close()
    assert before == dump(old.store_path)
    assert ALICE == load(old)


def test_the_first_release_refuses_what_this_one_has_opened(old: Place) -> None:
    old.open().close()
    before = dump(old.store_path)
    connection = connect(old.store_path)
    with pytest.raises(SchemaTooNew, match=f"has schema {LATEST}, this release knows 1"):
        schema.migrate(connection, str(old.store_path), schema.MIGRATIONS[:1])
    connection.close()
    assert before == dump(old.store_path)
