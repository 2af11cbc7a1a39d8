"""Room on the disk that logins find, however many people there are: the store takes it before."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pam_totp.core import otp
from pam_totp.core.places import KnownPlace
from pam_totp.core.remembering import ADDRESS, Remembered, Wish
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.core.verifier import ACCEPTED, CODE, Answer, Policy
from pam_totp.store import LoginAttempt
from pam_totp.store.sqlite import lasting_files, reserve
from pam_totp.store.sqlite.database import Database
from pam_totp.store.sqlite.store import SQLiteStore
from pam_totp.system.audit import Source
from pam_totp.system.errors import StoreUnavailable
from tests.support.place import SECRET, Place


def last_write(path: str) -> bytes:
    connection = sqlite3.connect(path)
    ((found,),) = connection.execute("SELECT value FROM meta WHERE key = 'last_write'")
    connection.close()
    assert isinstance(found, bytes)
    return found


@pytest.fixture
def path(place: Place) -> str:
    place.enrol("alice")
    return str(place.store_path)


def vacuum(path: str) -> None:
    """As another program may: it gives back the free pages, and takes log and index away."""
    connection = sqlite3.connect(path)
    connection.execute("VACUUM")
    connection.close()


def missing(path: str) -> str:
    found = reserve.shortage(path)
    assert found is not None
    return found.missing


def test_a_store_that_was_opened_has_room(path: str) -> None:
    assert reserve.shortage(path) is None


def test_a_log_an_index_or_free_pages_that_are_gone_are_named(path: str) -> None:
    vacuum(path)
    lacking = missing(path)
    assert f"{path}-wal is missing; {path}-shm is missing; {path} has 0 of " in lacking


def test_a_log_or_an_index_cut_short_is_named(path: str) -> None:
    os.truncate(f"{path}-wal", 1024)
    assert f"{path}-wal has 1 of 1024 KiB" == missing(path)
    os.unlink(f"{path}-wal")
    os.truncate(f"{path}-shm", 0)
    assert f"{path}-wal is missing; {path}-shm has 0 of 32 KiB" == missing(path)


def test_whoever_opens_the_store_makes_what_is_missing(path: str, place: Place) -> None:
    vacuum(path)
    place.open().close()
    assert reserve.shortage(path) is None


@pytest.mark.parametrize("administers", [True, False], ids=["by totpctl", "at logins"])
def test_enrolling_many_people_at_once_leaves_room_for_all_of_them(
    place: Place, administers: bool
) -> None:
    with place.open(administers=administers) as store:
        for number in range(1500):
            new = Authenticator(os.urandom(16).hex(), "phone", SECRET)
            with store.transaction(f"user{number}") as transaction:
                transaction.save(UserRecord(f"user{number}", authenticators=(new,)))
    assert reserve.shortage(str(place.store_path)) is None
    with place.open() as store:
        assert [] == store.check()


def test_a_login_writes_a_bounded_number_of_pages_however_many_are_missing(
    path: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserve, "DECOY_PAGES", 6000)
    frame = lasting_files.PAGE_BYTES + 24
    most = (reserve.LOGIN_PAGES + 3 * reserve.LOGIN_GROWTH) * frame  # with roots and trunk pages
    sizes = [os.stat(path).st_size]
    for _ in range(reserve.LOGIN_PAGES // reserve.LOGIN_GROWTH + 2):
        with place.open(administers=False):
            assert most > os.stat(f"{path}-wal").st_size
        sizes.append(os.stat(path).st_size)
    growths = [after - before for before, after in pairwise(sizes)]
    assert reserve.LOGIN_GROWTH * lasting_files.PAGE_BYTES == max(growths)
    assert [0, 0] == growths[-2:]
    assert "free pages" in missing(path)
    place.open().close()
    assert reserve.shortage(path) is None


def test_a_login_that_tried_in_vain_has_the_next_ones_wait(
    path: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    vacuum(path)
    calls = []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, "")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        for _ in range(3):
            place.open(administers=False).close()
        assert 1 == len(calls)
        patched.setattr(reserve.time, "monotonic", lambda: time.monotonic_ns() / 1e9 + 11)
        place.open(administers=False).close()
        assert 2 == len(calls)
        place.open().close()
        assert 3 == len(calls), "totpctl tries at once"
    place.open().close()
    assert reserve.shortage(path) is None


def test_asking_what_is_missing_lets_go_of_no_lock(path: str, place: Place) -> None:
    """Without its lock, another program takes the log away from under this process."""
    close_last = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version')"
    with place.open() as opened:
        opened.load("alice")
        assert reserve.shortage(path) is None
        subprocess.run([sys.executable, "-c", close_last, path], check=True)
        assert os.path.exists(f"{path}-wal")


@pytest.mark.parametrize("first_failing", [1, 2])
def test_a_disk_that_fails_halfway_leaves_the_store_as_it_was(
    path: str, place: Place, monkeypatch: pytest.MonkeyPatch, first_failing: int
) -> None:
    """When the log is made durable, and when the pages are."""
    vacuum(path)
    size, calls = os.stat(path).st_size, []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) >= first_failing:
            raise OSError(errno.EIO, "")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        place.open().close()
    assert first_failing == len(calls)
    assert size == os.stat(path).st_size
    with place.open() as store:
        assert [] == store.check()
    assert reserve.shortage(path) is None


@pytest.mark.parametrize("statement", ["CREATE TABLE spare", "COMMIT"])
def test_pages_that_do_not_become_the_databases_are_given_back(
    path: str, place: Place, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    vacuum(path)
    size, execute = os.stat(path).st_size, Database.execute

    def fail(database: Database, called: str, *parameters: Any) -> Any:
        if called.startswith(statement):
            raise StoreUnavailable(path, "fails", "")
        return execute(database, called, *parameters)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "execute", fail)
        place.open().close()
    assert size == os.stat(path).st_size
    with place.open() as store:
        assert [] == store.check()
    assert reserve.shortage(path) is None


def test_room_set_aside_goes_by_the_page_that_names_the_key(path: str, place: Place) -> None:
    """So that its log, left behind beside another store, is known for a stranger's."""
    vacuum(path)
    before = last_write(path)
    place.open().close()
    assert reserve.shortage(path) is None
    assert before != last_write(path)


def test_without_a_store_there_is_nothing_to_say(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reserve.shortage(str(tmp_path / "store.db"))


def test_a_new_place_takes_no_page_that_logins_cannot_do_without(path: str, place: Place) -> None:
    source = Source("sshd:auth", "alice", "192.0.2.7")

    def log_in(number: int) -> tuple[tuple[KnownPlace, ...], tuple[Remembered, ...]]:
        answer = Answer(CODE, otp.hotp(SECRET, int(time.time()) // 30 + number))
        with place.open() as store:
            verdict = store.verify(
                LoginAttempt(
                    "alice",
                    answer,
                    Policy(window=3),
                    is_decoy=False,
                    source=source,
                    remember=Wish("sshd", ((ADDRESS, "192.0.2.7"),), 60, "-"),
                )
            )
        assert verdict is not None
        assert ACCEPTED == verdict.outcome
        record = place.record("alice")
        return record.known_places, record.remembered

    with place.open() as store:
        assert isinstance(store, SQLiteStore)
        database = store.database
        assert reserve.has_room(database)
        ((free,),) = database.execute("PRAGMA freelist_count")
        database.execute("CREATE TABLE taken (content)")
        size = (free // 4) * lasting_files.PAGE_BYTES
        database.execute("INSERT INTO taken VALUES (zeroblob(?))", (size,))
        assert not reserve.has_room(database)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(reserve, "_fitting", lambda *_: 0)  # nor has the disk any to give
            assert ((), ()) == log_in(0)
        database.execute("DROP TABLE taken")
    known, remembered = log_in(1)
    assert ["192.0.2.7"] == [one.name for one in known] == [one.place for one in remembered]
