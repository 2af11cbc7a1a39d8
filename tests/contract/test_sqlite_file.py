"""The SQLite store's file: its schema, how it is opened, and how it comes into being."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
from pathlib import Path

import pytest

from pam_totp import errors, store, trusted_files
from pam_totp.errors import SchemaTooNew
from pam_totp.store import schema
from tests.contract.raw import connect, dump
from tests.contract.sample_records import full_record
from tests.faults.processes import Meet, Waiting, together
from tests.support.place import Place

ADD_A_NOTE = "ALTER TABLE users ADD COLUMN note TEXT; CREATE TABLE notes (text TEXT) STRICT;"
NEXT = (*schema.MIGRATIONS, ADD_A_NOTE)
LATEST = len(schema.MIGRATIONS)


def save(place: Place, name: str) -> None:
    with place.open() as opened, opened.transaction(name) as transaction:
        transaction.save(full_record(name))


def load(place: Place, name: str) -> object:
    with place.open() as opened, opened.transaction(name) as transaction:
        return transaction.record


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


class TestOpening:
    def pragmas(self, place: Place) -> dict[str, object]:
        with place.open() as opened:
            return {
                name: opened.database.connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
            }

    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}

    def test_wal_full_sync_foreign_keys_and_secure_delete_are_in_force(self, place: Place) -> None:
        assert self.wanted == self.pragmas(place)

    def test_wal_is_in_force_on_a_copy_that_vacuum_made(self, place: Place) -> None:
        """A copy made with VACUUM INTO has a rollback journal, whose commit may not last."""
        connection = connect(place.store_path)
        connection.execute("VACUUM INTO ?", (str(place.folder / "copy.db"),))
        connection.close()
        (place.folder / "copy.db").replace(place.store_path)
        place.store_path.chmod(0o600)
        assert self.wanted == self.pragmas(place)

    def test_opening_never_makes_a_store(self, place: Place) -> None:
        place.store_path.unlink()
        with pytest.raises(errors.StoreMissing, match=r"store\.db"):
            place.open()
        assert [] == names_in(place.store_path.parent)

    def test_a_store_that_vanishes_while_it_is_opened_is_not_made_anew(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def check_and_lose(path: str) -> os.stat_result:
            status = os.lstat(path)
            os.unlink(path)
            return status

        sealer = place.sealer()
        monkeypatch.setattr(trusted_files, "check_file", check_and_lose)
        with pytest.raises(errors.Unavailable):
            store.open_store(str(place.store_path), sealer)
        assert [] == names_in(place.store_path.parent)

    def test_an_empty_file_is_refused_and_stays_empty(self, place: Place) -> None:
        place.store_path.write_bytes(b"")
        with pytest.raises(errors.StoreCorrupt, match="is empty"):
            place.open()
        assert 0 == place.store_path.stat().st_size

    @pytest.mark.parametrize("name", ["100%", "what?", "a#b", "%41", "sp ace", "'", '"', "&"])
    def test_the_path_of_a_store_is_only_a_path(self, place: Place, name: str) -> None:
        path = place.folder / name / f"{name}.db"
        assert store.create_store(str(path), place.sealer()) is True
        with store.open_store(f"sqlite:{path}", place.sealer()) as opened:
            with opened.transaction("alice") as transaction:
                transaction.save(full_record())
            assert {f"{name}.db", f"{name}.db-wal", f"{name}.db-shm"} == set(names_in(path.parent))
        assert [f"{name}.db"] == names_in(path.parent)

    def test_a_second_connection_does_not_loosen_what_the_first_of_its_process_holds(
        self, place: Place
    ) -> None:
        """Closing any descriptor of a file drops a process's POSIX locks on it. Whoever closes
        the store next would then take itself for the last, and its log away from the first.
        """

        def write(pause: Meet) -> str:
            pause()
            save(place, "alice")
            return "written"

        with Waiting(write) as other, place.open() as first:
            assert first.load("alice") is None
            place.open().close()
            other.go()
            assert "written" == other.returned()
            assert ["store.db", "store.db-shm", "store.db-wal"] == names_in(place.store_path.parent)
            with first.transaction("bob") as transaction:
                transaction.save(full_record("bob")._replace(authenticators=()))
        assert full_record() == load(place, "alice")
        assert full_record("bob")._replace(authenticators=()) == load(place, "bob")

    def test_closing_leaves_one_file(self, place: Place) -> None:
        save(place, "alice")
        assert ["store.db"] == names_in(place.store_path.parent)


class TestCreation:
    @pytest.fixture
    def path(self, place: Place) -> Path:
        """Where a store is to be, in a folder that is not there yet."""
        return place.folder / "new" / "store.db"

    def test_the_first_creates_and_the_second_touches_nothing(
        self, place: Place, path: Path
    ) -> None:
        assert store.create_store(str(path), place.sealer()) is True
        before = path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino
        assert store.create_store(str(path), place.sealer()) is False
        assert before == (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
        assert ["store.db"] == names_in(path.parent)

    def test_a_store_with_users_in_it_is_not_made_anew(self, place: Place) -> None:
        save(place, "alice")
        assert store.create_store(str(place.store_path), place.sealer()) is False
        assert full_record() == load(place, "alice")

    def test_whatever_stands_in_its_place_is_left_alone(self, place: Place, path: Path) -> None:
        path.parent.mkdir(0o700)
        path.symlink_to(place.folder / "elsewhere")
        assert store.create_store(str(path), place.sealer()) is False
        assert path.is_symlink()
        assert not (place.folder / "elsewhere").exists()

    @pytest.mark.parametrize("round_number", range(5))
    def test_of_many_processes_at_once_exactly_one_creates(
        self, place: Place, path: Path, round_number: int
    ) -> None:
        sealer = place.sealer()
        path.parent.mkdir(0o700)

        def create(_number: int, meet: Meet) -> bool:
            meet()
            return store.create_store(str(path), sealer)

        assert [False] * 7 + [True] == sorted(together(8, create))
        assert ["store.db"] == names_in(path.parent)
        with store.open_store(str(path), sealer) as opened:
            assert [] == opened.check()

    def test_of_many_processes_that_find_no_folder_exactly_one_creates(self, place: Place) -> None:
        sealer = place.sealer()
        for number in range(10):
            path = place.folder / f"new{number}" / "store.db"

            def create(_number: int, meet: Meet, path: Path = path) -> bool:
                meet()
                return store.create_store(str(path), sealer)

            assert [False] * 7 + [True] == sorted(together(8, create))

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077, 0o177, 0o777])
    def test_folder_and_file_are_for_their_owner_alone_whatever_the_umask(
        self, place: Place, path: Path, umask: int
    ) -> None:
        sealer = place.sealer()
        before = os.umask(umask)
        try:
            store.create_store(str(path), sealer)
        finally:
            os.umask(before)
        assert oct(0o700) == oct(stat.S_IMODE(path.parent.stat().st_mode))
        assert oct(0o600) == oct(stat.S_IMODE(path.stat().st_mode))

    def test_the_files_beside_an_open_store_are_for_their_owner_alone(self, place: Place) -> None:
        before = os.umask(0)
        try:
            with place.open() as opened, opened.transaction("alice") as transaction:
                transaction.save(full_record())
                files = list(place.store_path.parent.iterdir())
                modes = {oct(stat.S_IMODE(file.stat().st_mode)) for file in files}
        finally:
            os.umask(before)
        assert 3 == len(files)
        assert {oct(0o600)} == modes

    @pytest.mark.parametrize("suffix", ["", "-journal", "-wal", "-shm"])
    @pytest.mark.parametrize(
        "content",
        [b"", b"half a store", random.Random(1).randbytes(70_000)],
        ids=["empty", "short", "noise"],
    )
    def test_what_a_crashed_creation_left_is_swept_away(
        self, place: Place, path: Path, suffix: str, content: bytes
    ) -> None:
        path.parent.mkdir(0o700)
        (path.parent / f"store.db.new{suffix}").write_bytes(content)
        assert store.create_store(str(path), place.sealer()) is True
        assert ["store.db"] == names_in(path.parent)
        with store.open_store(str(path), place.sealer()) as opened:
            assert [] == opened.check()

    @pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
    def test_a_store_is_not_created_beside_what_another_left_behind(
        self, place: Place, path: Path, suffix: str
    ) -> None:
        """SQLite would play that store's log into the new one."""
        path.parent.mkdir(0o700)
        left = path.with_name(f"store.db{suffix}")
        left.write_bytes(b"of another store")
        with pytest.raises(errors.Unavailable) as refusal:
            store.create_store(str(path), place.sealer())
        assert str(left) == refusal.value.subject
        assert refusal.value.hint
        assert [left.name] == names_in(path.parent)
        left.unlink()
        assert store.create_store(str(path), place.sealer()) is True

    def test_a_link_in_the_place_of_the_unfinished_store_is_not_followed(
        self, place: Place, path: Path
    ) -> None:
        victim = place.folder / "victim"
        victim.write_bytes(b"somebody's file")
        path.parent.mkdir(0o700)
        (path.parent / "store.db.new").symlink_to(victim)
        assert store.create_store(str(path), place.sealer()) is True
        assert b"somebody's file" == victim.read_bytes()
        assert not path.is_symlink()

    def test_a_folder_that_others_can_write_is_refused(self, place: Place, path: Path) -> None:
        path.parent.mkdir()
        path.parent.chmod(0o777)
        with pytest.raises(errors.InsecureFile, match="is writable by others"):
            store.create_store(str(path), place.sealer())
        assert [] == names_in(path.parent)

    def test_a_new_store_names_its_sealing_key_and_opens_with_no_other(
        self, place: Place, path: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "other").mkdir()
        other = Place(tmp_path / "other").sealer()
        store.create_store(str(path), other)
        with pytest.raises(errors.SealingError) as refusal:
            store.open_store(str(path), place.sealer())
        assert str(place.key_path) == refusal.value.subject
        assert str(path) in refusal.value.problem
        assert "restore the sealing key" in refusal.value.hint
