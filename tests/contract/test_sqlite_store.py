"""The store contract over SQLite, and what of it only SQLite can break."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pam_totp.store.sqlite import transactions
from tests.contract.backend import Backend
from tests.contract.sample_records import full_record
from tests.contract.store_contract import StoreContract
from tests.support.place import Place

if TYPE_CHECKING:
    from pam_totp.store import Store


class SQLiteBackend(Backend):
    def __init__(self, place: Place) -> None:
        self.path = place.store_path
        self.open_place = place.open
        self.sealer = place.sealer()

    def open(self, *, patience: float | None = None) -> Store:
        return self.open_place(patience=patience)

    def tamper(self, statement: str) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None)
        assert 1 <= connection.execute(statement).rowcount
        connection.close()

    def count(self, table: str) -> int:
        connection = sqlite3.connect(self.path)
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        connection.close()
        return int(rows)


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def place(self, place_in_use: Place) -> Place:
        return place_in_use

    @pytest.fixture
    def backend(self, place: Place) -> SQLiteBackend:
        return SQLiteBackend(place)

    def test_decoys_never_take_more_rows_than_there_are_buckets(
        self, backend: SQLiteBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transactions, "DECOY_BUCKETS", 8)
        with backend.open() as store:
            for number in range(100):
                with store.decoy_transaction(f"mallory{number}") as transaction:
                    transaction.save(transaction.record._replace(failures=1))
        assert 8 == backend.count("decoys")
        assert 0 == backend.count("users")

    def test_there_are_few_enough_buckets_for_a_small_disk(self) -> None:
        assert 65536 >= transactions.DECOY_BUCKETS

    def test_no_secret_and_no_recovery_code_stands_in_the_files(
        self, backend: SQLiteBackend
    ) -> None:
        with backend.open() as store:
            with store.transaction("alice") as transaction:
                transaction.save(full_record())
            for file in Path(backend.path).parent.iterdir():
                assert b"12345678901234567890" not in file.read_bytes()
