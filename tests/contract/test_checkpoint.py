"""The log: merged when nobody waits, and never longer than it was, whatever a batch writes."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.core.verifier import Policy
from pam_totp.store.sqlite import database, lasting_files, reserve
from pam_totp.store.sqlite.store import SQLiteStore
from tests.contract.questions import ENROLLMENT, WRONG, code, judged
from tests.contract.sample_records import NOW
from tests.support.place import SECRET, Place

POLICY = Policy()
LARGE_BATCH = 64
APART = 120  # people, whose rows lie in pages of their own
PEOPLE = [f"user{number:04}" for number in range(APART * LARGE_BATCH)]
EMPTY, BEGUN = (0, 0), (1, 0)


@pytest.fixture
def store(place: Place) -> Iterator[SQLiteStore]:
    with place.open() as opened:
        assert isinstance(opened, SQLiteStore)
        opened.checkpoint()
        yield opened


def state(store: SQLiteStore) -> tuple[int, int]:
    """Return how many pages the log has, and how many of them are merged."""
    hold = store.database._hold
    assert hold is not None
    found = hold.logged()
    assert found is not None
    return found


def log_in(store: SQLiteStore, pages: int) -> None:
    """Have strangers give wrong codes until the log has so many pages."""
    number = 0
    while state(store)[0] < pages:
        judged(store, WRONG, f"stranger{number}", is_decoy=True)
        number += 1


def enrol_people(store: SQLiteStore) -> None:
    with store.batch():
        for name in PEOPLE:
            own = Authenticator(f"id of {name}".rjust(32), "phone", SECRET)
            with store.transaction(name) as transaction:
                transaction.save(UserRecord(name, authenticators=(own,)))


def test_a_log_that_holds_enough_is_merged_and_restarted(store: SQLiteStore) -> None:
    log_in(store, database.QUIET_PAGES)
    before = store.admission("stranger0").decoy
    assert 1 == before.failures
    store.checkpoint()
    assert BEGUN == state(store)
    assert before == store.admission("stranger0").decoy
    store.checkpoint()
    assert BEGUN == state(store)


def test_a_log_that_holds_little_is_left_alone(store: SQLiteStore) -> None:
    log_in(store, database.QUIET_PAGES - 3)
    before = state(store)
    store.checkpoint()
    assert before == state(store)


def test_a_log_that_was_merged_in_a_commit_is_restarted(store: SQLiteStore) -> None:
    log_in(store, database.CHECKPOINT_PAGES)
    pages, merged = state(store)
    assert pages == merged
    store.checkpoint()
    assert BEGUN == state(store)


def test_a_log_of_a_store_that_was_just_opened_is_begun(store: SQLiteStore, place: Place) -> None:
    store.close()
    with place.open() as opened:
        assert isinstance(opened, SQLiteStore)
        opened.admission("alice")
        assert EMPTY == state(opened)
        opened.checkpoint()
        assert BEGUN == state(opened)


def test_while_somebody_reads_nothing_is_added_to_the_log(store: SQLiteStore, place: Place) -> None:
    log_in(store, database.QUIET_PAGES)
    with closing(sqlite3.connect(place.store_path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM decoys").fetchall()
        log_in(store, state(store)[0] + database.QUIET_PAGES)
        pages, _ = state(store)
        for _ in range(3):
            store.checkpoint()
            assert pages == state(store)[0]
    store.checkpoint()
    assert BEGUN == state(store)


def test_another_writer_is_not_waited_for(store: SQLiteStore, place: Place) -> None:
    store.close()
    with place.open(patience=0) as opened, place.open() as other:
        assert isinstance(opened, SQLiteStore)
        with other.transaction("alice"):
            started = time.monotonic()
            opened.checkpoint()
            assert 1 > time.monotonic() - started
        judged(opened, WRONG, "mallory", is_decoy=True)


def test_inside_a_batch_it_does_nothing(store: SQLiteStore) -> None:
    log_in(store, database.QUIET_PAGES)
    pages, merged = state(store)
    with store.batch():
        judged(store, WRONG, "mallory", is_decoy=True)
        store.checkpoint()
    assert pages + 2 <= state(store)[0]
    assert merged == state(store)[1]


def test_batches_take_no_new_block_and_no_longer_log(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    """Each of them writes two pages an answer, and finds the log as full as it can be."""
    enrol_people(store)
    reserve.keep(store.database)
    store.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    monkeypatch.setattr(time, "time", lambda: NOW + 0.9)
    files = [f"{place.store_path}{suffix}" for suffix in ("", "-wal", "-shm")]
    with place.open() as opened:
        assert isinstance(opened, SQLiteStore)
        before = [(os.stat(path).st_size, os.stat(path).st_blocks) for path in files]
        assert before[1][0] == lasting_files.LOG_BYTES
        for number in range(3):
            log_in(opened, database.CHECKPOINT_PAGES - 2)
            with opened.batch():
                for name in PEOPLE[number::APART]:
                    judged(opened, WRONG, name, account=None)
                    judged(opened, code(), name, account=ENROLLMENT.account)
            assert database.CHECKPOINT_PAGES - 2 + 1.7 * LARGE_BATCH < state(opened)[0]
            # Before the next commit, which cuts a log that has grown.
            assert before == [(os.stat(path).st_size, os.stat(path).st_blocks) for path in files]
            opened.checkpoint()


def test_an_administrator_s_opening_merges_what_others_have_written(
    store: SQLiteStore, place: Place
) -> None:
    """shortage() reads how many pages are free from the file alone."""
    log_in(store, database.QUIET_PAGES)
    place.open(administers=False).close()
    assert 0 == state(store)[1]
    place.open().close()
    pages, merged = state(store)
    assert pages == merged
