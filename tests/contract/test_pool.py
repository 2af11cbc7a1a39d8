"""The store contract over connections that stay open, and when one may not be lent again."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pam_totp import store
from pam_totp.store.sealing import generate_key_file
from pam_totp.store.sqlite import database, lasting_files, opening, pool, reserve, schema
from pam_totp.store.sqlite.pool import Pool
from pam_totp.store.sqlite.store import SQLiteStore
from pam_totp.system.errors import (
    InsecureFile,
    PamTotpError,
    SchemaTooNew,
    SealingError,
    StoreMissing,
)
from tests.contract.store_contract import StoreContract
from tests.contract.test_pool_writers import count_failure
from tests.contract.test_sqlite_store import SQLiteBackend
from tests.support.place import Place


class TestPooledStore(StoreContract):
    @pytest.fixture
    def place(self, place_in_use: Place) -> Place:
        return place_in_use

    @pytest.fixture
    def backend(self, place: Place, keeper: Pool) -> SQLiteBackend:
        return SQLiteBackend(place)


def connections_made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    real = sqlite3.connect

    def connect(name: str, **options: object) -> sqlite3.Connection:
        made.append(name)
        return real(name, **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(database.sqlite3, "connect", connect)
    return made


def beside(place: Place) -> list[str]:
    return sorted(path.name for path in place.store_path.parent.iterdir())


# Lent again


def test_one_connection_serves_one_login_after_the_other(
    place: Place, keeper: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.enrol("alice")
    keeper.close_idle(linger=0)
    made = connections_made(monkeypatch)
    assert [1, 2, 3, 4, 5] == [count_failure(place) for _ in range(5)]
    assert 1 == len(made)


def test_two_at_once_have_a_connection_each(place: Place, keeper: Pool) -> None:
    place.enrol("alice")
    with place.open() as first, place.open() as second:
        assert first.database.connection is not second.database.connection  # type: ignore[attr-defined]


def test_no_more_than_a_few_are_kept(
    place: Place, keeper: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = [place.open() for _ in range(pool.MAX_IDLE + 3)]
    for one in opened:
        one.close()
    made = connections_made(monkeypatch)
    again = [place.open() for _ in range(pool.MAX_IDLE + 3)]
    assert 3 == len(made)
    for one in again:
        one.close()


def test_stores_of_two_paths_are_not_mixed_up(
    place: Place, tmp_path_factory: pytest.TempPathFactory, keeper: Pool
) -> None:
    other = Place(tmp_path_factory.mktemp("other"))
    place.enrol("alice")
    other.enrol("bob")
    for _ in range(3):
        with place.open() as here, other.open() as there:
            assert (True, False) == (bool(here.load("alice")), bool(here.load("bob")))
            assert (False, True) == (bool(there.load("alice")), bool(there.load("bob")))


def test_what_nobody_has_used_for_a_while_is_closed_and_the_log_is_merged(
    place: Place, keeper: Pool
) -> None:
    place.enrol("alice")
    assert keeper.close_idle()
    assert ["store.db", "store.db-shm", "store.db-wal"] == beside(place)
    assert not keeper.close_idle(linger=0)
    assert ["store.db", "store.db-shm", "store.db-wal"] == beside(place)
    assert not lasting_files.has_content(f"{place.store_path}-wal")


@contextlib.contextmanager
def opening_held_up(
    place: Place, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> Iterator[None]:
    """Open in another thread, whose call of ``name`` in ``module`` waits meanwhile."""
    real, arrived, go_on = getattr(module, name), threading.Event(), threading.Event()

    def wait(*arguments: object) -> object:
        if threading.current_thread() is opener:
            arrived.set()
            assert go_on.wait(30)
        return real(*arguments)

    monkeypatch.setattr(module, name, wait)
    opener = threading.Thread(target=lambda: place.open(administers=False).close(), daemon=True)
    opener.start()
    assert arrived.wait(30)
    try:
        yield
    finally:
        go_on.set()
        opener.join(30)


def result_of(called: Callable[[], object]) -> object:
    """Call it in a thread; fail where it has to wait for another one."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(called()), daemon=True)
    thread.start()
    thread.join(10)
    assert results, "still waits"
    return results[0]


def test_closing_what_is_idle_does_not_wait_for_an_opening(
    place: Place, keeper: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main thread of a service closes, and has to tell the watchdog that it lives."""
    place.enrol("alice")
    first = place.open()
    with opening_held_up(place, monkeypatch, pool, "connect"):
        first.close()
        assert result_of(lambda: keeper.close_idle(linger=0)) is True
    assert not keeper.close_idle(linger=0)


def test_nobody_waits_for_a_login_that_fills_the_reserve(
    place: Place, keeper: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.enrol("alice")
    first = place.open()
    with opening_held_up(place, monkeypatch, reserve, "keep"):
        second = result_of(place.open)
        assert isinstance(second, SQLiteStore)
        assert second.load("alice")
        first.close()
        assert result_of(lambda: keeper.close_idle(linger=0)) is False
        second.close()


def test_who_has_given_a_connection_back_holds_nothing(place: Place, keeper: Pool) -> None:
    place.enrol("alice")
    left = place.open()
    left.close()
    left.close()
    with place.open() as opened:
        with pytest.raises(PamTotpError):
            left.load("alice")
        left.close()
        assert opened.load("alice")


# Not lent again


def test_a_store_put_in_place_of_the_old_one_is_the_one_that_counts(
    place: Place, tmp_path_factory: pytest.TempPathFactory, keeper: Pool
) -> None:
    place.enrol("alice")
    other = tmp_path_factory.mktemp("other") / "store.db"
    store.create_store(str(other), place.sealer())
    os.rename(other, place.store_path)
    for suffix in ("-wal", "-shm"):  # moved away with the old one
        Path(f"{place.store_path}{suffix}").unlink()
    with place.open() as opened:
        assert None is opened.load("alice")


def test_a_store_restored_from_a_copy_is_the_one_that_counts(place: Place, keeper: Pool) -> None:
    place.enrol("alice")
    keeper.close_idle(linger=0)
    copy = place.store_path.with_name("copy.db")
    shutil.copy(place.store_path, copy)
    assert [1, 2] == [count_failure(place) for _ in range(2)]
    for suffix in ("-wal", "-shm"):
        Path(f"{place.store_path}{suffix}").unlink()
    os.rename(copy, place.store_path)
    assert [1, 2] == [count_failure(place) for _ in range(2)]
    keeper.close_idle(linger=0)
    assert 2 == place.record("alice").failures


def test_a_store_that_was_removed_is_missed(place: Place, keeper: Pool) -> None:
    place.enrol("alice")
    for path in place.store_path.parent.iterdir():
        path.unlink()
    with pytest.raises(StoreMissing):
        place.open()


@pytest.mark.parametrize("suffixes", [("-wal",), ("-shm",), ("-wal", "-shm")])
def test_a_store_whose_log_was_removed_is_opened_anew_and_has_lost_nothing(
    place: Place, keeper: Pool, suffixes: tuple[str, ...]
) -> None:
    place.enrol("alice")
    keeper.close_idle(linger=0)
    count_failure(place)
    for suffix in suffixes:
        Path(f"{place.store_path}{suffix}").unlink()
    assert [2, 3] == [count_failure(place) for _ in range(2)]
    keeper.close_idle(linger=0)
    assert ["store.db", "store.db-shm", "store.db-wal"] == beside(place)
    assert not lasting_files.has_content(f"{place.store_path}-wal")
    with SQLiteStore(opening.open_database(str(place.store_path)), place.sealer()) as opened:
        record = opened.load("alice")
        assert [] == opened.check()
    assert record is not None
    assert 3 == record.failures


def test_a_newer_release_s_store_is_refused_from_the_moment_it_is_one(
    place: Place, keeper: Pool
) -> None:
    place.enrol("alice")
    other = sqlite3.connect(place.store_path)
    other.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    other.close()
    with pytest.raises(SchemaTooNew):
        place.open()


def test_a_key_that_was_changed_opens_nothing(place: Place, keeper: Pool) -> None:
    place.enrol("alice")
    place.key_path.write_bytes(generate_key_file())
    with pytest.raises(SealingError):
        place.open()


@pytest.mark.parametrize("loosened", ["", "-wal", "-shm"])
def test_files_that_others_may_write_are_refused_from_the_moment_they_are(
    place: Place, keeper: Pool, loosened: str
) -> None:
    place.enrol("alice")
    Path(f"{place.store_path}{loosened}").chmod(0o666)
    with pytest.raises(InsecureFile, match="is writable by others"):
        place.open()
    Path(f"{place.store_path}{loosened}").chmod(0o600)
    assert 1 == count_failure(place)


def test_a_folder_that_others_may_write_is_refused_from_the_moment_it_is(
    place: Place, keeper: Pool
) -> None:
    place.enrol("alice")
    place.store_path.parent.chmod(0o777)
    with pytest.raises(InsecureFile):
        place.open()
