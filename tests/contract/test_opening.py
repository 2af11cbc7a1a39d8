"""How the file of a SQLite store is opened and closed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from pam_totp import store
from pam_totp.store.sqlite import database, lasting_files
from pam_totp.system import errors, trusted_files
from pam_totp.system.errors import StoreCorrupt, StoreUnavailable
from tests.contract.raw import connect
from tests.contract.sample_records import full_record
from tests.contract.saving import load, names_in, save
from tests.faults.processes import Meet, Waiting
from tests.support.place import Place


def files_of(place: Place) -> list[os.stat_result]:
    return [place.store_path.with_name(n).stat() for n in names_in(place.store_path.parent)]


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
        assert {f"{name}.db", f"{name}.db-wal", f"{name}.db-shm"} == set(names_in(path.parent))

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

    def test_closing_leaves_the_files_and_a_log_that_holds_nothing(self, place: Place) -> None:
        save(place, "alice")
        assert ["store.db", "store.db-shm", "store.db-wal"] == names_in(place.store_path.parent)
        assert not lasting_files.has_content(f"{place.store_path}-wal")
        for suffix in ("-wal", "-shm"):
            place.store_path.with_name(f"store.db{suffix}").unlink()
        assert full_record() == load(place, "alice")

    def test_no_login_makes_a_file_or_a_longer_one(self, place: Place) -> None:
        save(place, "alice")
        before = [(s.st_ino, s.st_size, s.st_blocks) for s in files_of(place)]
        for number in range(200):
            with place.open() as opened, opened.transaction("alice") as transaction:
                assert transaction.record is not None
                transaction.save(transaction.record._replace(failures=number))
        assert before == [(s.st_ino, s.st_size, s.st_blocks) for s in files_of(place)]

    def test_a_killed_process_leaves_a_log_that_counts_and_files_that_stay(
        self, place: Place
    ) -> None:
        save(place, "alice")
        inodes = [status.st_ino for status in files_of(place)]

        def die(pause: Meet) -> None:
            with place.open() as opened, opened.transaction("alice") as transaction:
                transaction.save(full_record()._replace(failures=7))
            with place.open() as opened, opened.transaction("alice") as transaction:
                transaction.save(full_record()._replace(failures=8))
                pause()

        with Waiting(die):
            pass
        record = load(place, "alice")
        assert record is not None
        assert 7 == record.failures
        assert inodes == [status.st_ino for status in files_of(place)]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_NOMEM, StoreUnavailable),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreUnavailable),
        (sqlite3.SQLITE_FULL, StoreUnavailable),
        (sqlite3.SQLITE_PROTOCOL, StoreUnavailable),
        (sqlite3.SQLITE_CORRUPT, StoreCorrupt),
        (sqlite3.SQLITE_NOTADB, StoreCorrupt),
        (sqlite3.SQLITE_ERROR, StoreCorrupt),
    ],
)
def test_only_a_damaged_store_is_called_damaged(tmp_path: Path, code: int, kind: type) -> None:
    """For that, the hint is to restore a backup, which may cost enrollments."""
    error = sqlite3.OperationalError("words of SQLite")
    error.sqlite_errorcode = code
    found = database.explain(error, str(tmp_path / "store.db"))
    assert kind is type(found)
    assert (kind is StoreCorrupt) == ("backup" in found.hint)
