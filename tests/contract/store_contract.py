"""What every store backend keeps to. A backend's tests inherit StoreContract.

class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def backend(self, tmp_path): ...
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pam_totp.system.errors import Unavailable
from tests.contract.backend import Backend
from tests.contract.damage import FindsDamage
from tests.contract.decoys import KeepsDecoys
from tests.contract.group_rules import KeepsGroupRules
from tests.contract.joint import KeepsJointTransactions
from tests.contract.known_places import KeepsKnownPlaces
from tests.contract.questions import AnswersLogins
from tests.contract.records import KeepsRecords
from tests.contract.remembered_places import KeepsRememberedPlaces
from tests.contract.transactions import KeepsTransactions

if TYPE_CHECKING:
    from tests.contract.backend import BothFaces


@pytest.mark.filterwarnings("error")
class StoreContract(
    AnswersLogins,
    KeepsRecords,
    KeepsGroupRules,
    KeepsTransactions,
    KeepsJointTransactions,
    FindsDamage,
    KeepsDecoys,
    KeepsKnownPlaces,
    KeepsRememberedPlaces,
):
    @pytest.fixture
    def backend(self) -> Backend:
        raise NotImplementedError("a backend's tests give their own")

    @pytest.fixture
    def store(self, backend: Backend) -> Iterator[BothFaces]:
        with backend.open() as opened:
            yield opened

    def test_a_store_that_was_left_is_closed(self, backend: Backend) -> None:
        with backend.open() as store:
            pass
        with pytest.raises(Unavailable):
            store.load("alice")
