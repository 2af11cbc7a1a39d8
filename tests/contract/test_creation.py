"""How the file of a SQLite store comes into being."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pytest

from pam_totp import store
from pam_totp.system import errors
from tests.contract.sample_records import full_record
from tests.contract.saving import load, names_in, save
from tests.faults.processes import Meet, together
from tests.support.place import Place


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

    def test_a_store_is_created_beside_a_log_that_was_merged_before_its_store_was_moved(
        self, place: Place
    ) -> None:
        place.enrol("alice")
        place.store_path.rename(place.folder / "away.db")
        assert store.create_store(str(place.store_path), place.sealer()) is True
        with place.open() as opened:
            assert opened.load("alice") is None

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
