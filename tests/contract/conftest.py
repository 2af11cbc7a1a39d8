from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.kept import Keeper
from tests.support.place import Place
from tests.support.rotating import enrol_people

for _part in (
    "store_contract",
    "records",
    "group_rules",
    "transactions",
    "damage",
    "decoys",
    "decoy_records",
    "questions",
    "batches",
    "busy",
):
    pytest.register_assert_rewrite(f"tests.contract.{_part}")


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    """Have this process keep the stores that it opens, as a service does."""
    keeper = Keeper()
    monkeypatch.setattr(Place, "open", lambda place, **options: keeper.open(place, **options))
    yield keeper
    keeper.close()


@pytest.fixture(params=["of a login alone", "kept open"])
def connections(request: pytest.FixtureRequest) -> Keeper | None:
    """Every test once with connections of its own, and once with the one that a service keeps."""
    if request.param == "kept open":
        keeper: Keeper = request.getfixturevalue("keeper")
        return keeper
    return None


@pytest.fixture
def people(place: Place) -> Place:
    """A store with people, for a rotation of its key."""
    enrol_people(place)
    return place
