from __future__ import annotations

from collections.abc import Iterator

import pytest

from pam_totp import store
from pam_totp.store.sqlite.pool import Pool
from tests.support.place import Place
from tests.support.rotating import enrol_people

for _part in (
    "store_contract",
    "records",
    "group_rules",
    "transactions",
    "damage",
    "decoys",
    "questions",
    "batches",
    "busy",
):
    pytest.register_assert_rewrite(f"tests.contract.{_part}")


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """Have this process keep its connections, as a service does."""
    keeper = store.kept_connections()
    monkeypatch.setattr(Place, "connections", staticmethod(keeper.open))
    yield keeper
    keeper.close_idle(linger=0)


@pytest.fixture(params=["of a login alone", "kept open"])
def connections(request: pytest.FixtureRequest) -> None:
    """Every test once with connections of its own, and once with those that a service keeps."""
    if request.param == "kept open":
        request.getfixturevalue("keeper")


@pytest.fixture
def people(place: Place) -> Place:
    """A store with people, for a rotation of its key."""
    enrol_people(place)
    return place
