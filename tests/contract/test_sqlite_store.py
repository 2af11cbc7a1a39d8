"""The store contract over SQLite, and what of it only SQLite can break."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pam_totp.core.users import UserRecord
from pam_totp.store.sqlite import reading, reserve
from pam_totp.store.sqlite.database import Database
from pam_totp.system.errors import StoreUnavailable
from tests.contract.backend import BackendOnDisk
from tests.contract.batches import KeepsBatches
from tests.contract.busy import TellsOfOthers
from tests.contract.decoy_records import HandsOutDecoys
from tests.contract.own_changes import KeepsOwnChanges
from tests.contract.questions import ACCOUNT, ENROLLMENT, WRONG, code, judged, ready
from tests.contract.sample_records import NOW, full_record
from tests.contract.store_contract import StoreContract
from tests.support.place import Place

if TYPE_CHECKING:
    from pam_totp.store import Store


class SQLiteBackend(BackendOnDisk):
    owner = '"user"'

    def __init__(self, place: Place) -> None:
        self.path = place.store_path
        self.open_place = place.open
        self.sealer = place.sealer()

    def open(self, *, patience: float | None = None) -> Store:
        return self.open_place(patience=patience)

    @contextmanager
    def failing_commits(self) -> Iterator[None]:
        execute = Database.execute

        def fail(database: Database, statement: str, *rest: object) -> list[tuple[object, ...]]:
            if statement == "COMMIT":
                raise StoreUnavailable(database.path, "cannot be read or written")
            return execute(database, statement, *rest)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Database, "execute", fail)
            yield

    def tamper(self, statement: str) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None)
        assert 1 <= connection.execute(statement).rowcount
        connection.close()

    def count(self, table: str) -> int:
        connection = sqlite3.connect(self.path)
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        connection.close()
        return int(rows)


class TestSQLiteStore(StoreContract, KeepsBatches, TellsOfOthers, HandsOutDecoys, KeepsOwnChanges):
    """The contract, and what no engine does that judges each answer itself.

    There, answers are not made durable together; rows are locked and not the store; nobody sees
    a decoy; hosts change no record; and a fleet's accounts have another uid on each machine, so
    that none is noted.
    """

    @pytest.fixture
    def place(self, place_in_use: Place) -> Place:
        return place_in_use

    @pytest.fixture
    def backend(self, place: Place) -> SQLiteBackend:
        return SQLiteBackend(place)

    def test_an_accepted_code_notes_the_uid_of_the_account(
        self, backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "time", lambda: NOW + 0.9)
        backend.save(ready())
        with backend.open() as store:
            judged(store, code())
        record = backend.load("alice")
        assert record is not None
        assert ACCOUNT.uid == record.uid

    def test_decoys_never_take_more_rows_than_there_are_buckets(
        self, backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "DECOY_BUCKETS", 8)
        with backend.open() as store:
            for number in range(100):
                with store.decoy_transaction(f"mallory{number}") as transaction:
                    transaction.save(transaction.record._replace(failures=1))
        assert 8 == backend.count("decoys")
        assert 0 == backend.count("users")

    def test_there_are_few_enough_buckets_for_a_small_disk(self) -> None:
        assert 65536 >= reading.DECOY_BUCKETS

    def test_room_is_set_aside_once_and_after_the_commit_of_a_batch(
        self, backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with backend.open() as store:
            in_transaction: list[bool] = []

            def note(database: Database) -> None:
                in_transaction.append(database.connection.in_transaction)

            def enroll(name: str) -> None:
                new = ENROLLMENT.authenticator._replace(id=f"of {name}")
                assert store.enroll_first(name, ENROLLMENT._replace(authenticator=new), None)

            monkeypatch.setattr(reserve, "keep", note)
            with store.batch():
                enroll("alice")
                enroll("bob")
                assert [] == in_transaction
            assert [False] == in_transaction
            with store.batch():
                store.have_told("alice", 1)
            with suppress(ZeroDivisionError), store.batch():
                enroll("carol")
                raise ZeroDivisionError
            assert [False] == in_transaction

    def test_the_key_page_is_touched_once_in_a_batch(self, backend: SQLiteBackend) -> None:
        with backend.open() as store:
            touched: list[str] = []
            store.database.connection.set_trace_callback(touched.append)  # type: ignore[attr-defined]
            for _ in range(2):
                with store.batch():
                    assert store.enroll_first("alice", ENROLLMENT, store.load("alice"))
                    for name in ("bob", "carol"):
                        judged(store, WRONG, name, is_decoy=True, account=None)
                backend.save(UserRecord("alice"))
            found = [s.split()[0] for s in touched if "last_write" in s or s == "COMMIT"]
        assert ["UPDATE", "COMMIT"] * 2 == found

    def test_no_secret_and_no_recovery_code_stands_in_the_files(
        self, backend: SQLiteBackend
    ) -> None:
        with backend.open() as store:
            with store.transaction("alice") as transaction:
                transaction.save(full_record())
            for file in Path(backend.path).parent.iterdir():
                assert b"12345678901234567890" not in file.read_bytes()
