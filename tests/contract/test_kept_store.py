"""The store contract over what a service keeps between logins."""

from __future__ import annotations

import pytest

from tests.contract.store_contract import StoreContract
from tests.contract.test_sqlite_store import SQLiteBackend
from tests.support.kept import Keeper
from tests.support.place import Place


class TestKeptStore(StoreContract):
    @pytest.fixture
    def place(self, place_in_use: Place) -> Place:
        return place_in_use

    @pytest.fixture
    def backend(self, place: Place, keeper: Keeper) -> SQLiteBackend:
        return SQLiteBackend(place)
