"""How the schema of a SQLite store goes from one release to the next."""

from __future__ import annotations

import sqlite3

import pytest

from pam_totp.store.sqlite import schema
from pam_totp.system.errors import SchemaTooNew
from tests.contract.raw import connect, dump
from tests.contract.sample_records import full_record
from tests.contract.saving import load, save
from tests.faults.processes import Meet, together
from tests.support.place import Place

ADD_A_NOTE = "ALTER TABLE users ADD COLUMN note TEXT; CREATE TABLE notes (text TEXT) STRICT;"
NEXT = (*schema.MIGRATIONS, ADD_A_NOTE)
LATEST = len(schema.MIGRATIONS)


class TestMigrations:
    def test_a_new_store_has_the_latest_schema(self, place: Place) -> None:
        connection = connect(place.store_path)
        assert LATEST == schema.version(connection)
        connection.close()

    def test_an_old_store_takes_the_next_migration_and_keeps_its_data(self, place: Place) -> None:
        save(place, "alice")
        connection = connect(place.store_path)
        schema.migrate(connection, str(place.store_path), NEXT)
        assert LATEST + 1 == schema.version(connection)
        assert [("alice", None)] == connection.execute("SELECT name, note FROM users").fetchall()
        assert [] == connection.execute("SELECT text FROM notes").fetchall()
        connection.execute(f"PRAGMA user_version = {LATEST}")
        connection.close()
        assert full_record() == load(place, "alice")

    def test_migrating_twice_is_migrating_once(self, place: Place) -> None:
        connection = connect(place.store_path)
        schema.migrate(connection, str(place.store_path), NEXT)
        connection.close()
        before = dump(place.store_path)
        connection = connect(place.store_path)
        schema.migrate(connection, str(place.store_path), NEXT)
        connection.close()
        assert before == dump(place.store_path)

    @pytest.mark.parametrize(
        "broken",
        [
            (f"{ADD_A_NOTE} NONSENSE",),
            (f"{ADD_A_NOTE} CREATE TABLE users (name TEXT)",),
            (f"{ADD_A_NOTE} INSERT INTO users (name) VALUES ('alice')",),
            (ADD_A_NOTE, "DELETE FROM users; NONSENSE"),
        ],
    )
    def test_a_migration_that_fails_leaves_everything_as_it_was(
        self, place: Place, broken: tuple[str, ...]
    ) -> None:
        save(place, "alice")
        before = dump(place.store_path)
        connection = connect(place.store_path)
        with pytest.raises(sqlite3.Error):
            schema.migrate(connection, str(place.store_path), (*schema.MIGRATIONS, *broken))
        assert not connection.in_transaction
        connection.close()
        assert before == dump(place.store_path)
        assert full_record() == load(place, "alice")

    def test_a_store_of_a_newer_release_is_refused_and_left_alone(self, place: Place) -> None:
        save(place, "alice")
        connection = connect(place.store_path)
        schema.migrate(connection, str(place.store_path), NEXT)
        connection.close()
        before = dump(place.store_path)
        with pytest.raises(SchemaTooNew) as refusal:
            place.open()
        assert str(place.store_path) == refusal.value.subject
        assert f"schema {LATEST + 1}" in refusal.value.problem
        assert "newer" in refusal.value.hint
        assert before == dump(place.store_path)

    def test_many_processes_migrating_at_once_migrate_once(self, place: Place) -> None:
        save(place, "alice")

        def migrate(_number: int, meet: Meet) -> int:
            connection = connect(place.store_path)
            meet()
            schema.migrate(connection, str(place.store_path), NEXT)
            return schema.version(connection)

        assert [LATEST + 1] * 8 == together(8, migrate)
        connection = connect(place.store_path)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(users)")]
        assert 1 == columns.count("note")
        assert [("alice",)] == connection.execute("SELECT name FROM users").fetchall()
        connection.close()

    def test_a_newer_release_that_migrates_first_is_not_undone(self, place: Place) -> None:
        """Two releases open an old store at once, and the newer one gets the lock first."""
        path, newest = place.store_path, (*NEXT, "CREATE TABLE later (text TEXT) STRICT")

        class Overtaken(sqlite3.Connection):
            def execute(self, statement, *parameters):
                if statement == "BEGIN IMMEDIATE":
                    other = connect(path)
                    schema.migrate(other, str(path), newest)
                    other.close()
                return super().execute(statement, *parameters)

        connection = sqlite3.connect(path, isolation_level=None, factory=Overtaken)
        with pytest.raises(SchemaTooNew):
            schema.migrate(connection, str(path), NEXT)
        connection.close()
        connection = connect(path)
        assert len(newest) == schema.version(connection)
        connection.close()
