"""The commands for people on a host of a fleet, where nobody of the fleet is administered."""

from __future__ import annotations

import pytest

from admin_cli import recorded
from admin_cli.doctor.facts import CannotTell, Facts
from admin_cli.session import Session
from pam_totp.core.users import SUSPENDED, UserRecord
from pam_totp.store.postgresql.admin_store import open_admin_store
from pam_totp.system import config
from pam_totp.system.errors import StoreRefused, StoreUnreachable
from tests.cli.command import Totpctl
from tests.support import fleet
from tests.support.place import Place
from tests.support.postgres import Database

COMMANDS = (
    *("enroll alice --no-confirm", "reset alice --yes --no-confirm", "remove alice --yes"),
    *("recovery-codes alice --yes", "list", "show alice", "verify alice", "unlock alice"),
    *("suspend alice", "resume alice", "rename alice bob", "require alice", "exempt alice"),
    *("require --group root", "exempt --group root --remove"),
)


@pytest.fixture
def place(fleet_host: Place) -> Place:
    return fleet_host


@pytest.mark.parametrize("command", COMMANDS)
def test_a_host_says_where_people_are_administered(totpctl: Totpctl, command: str) -> None:
    result = totpctl(*command.split(), answers="123456\n")
    assert 5 == result.code
    assert "are administered elsewhere" in result.err
    assert "hint: run it on a machine of an administrator" in result.err


def test_a_host_has_accounts_of_its_own_with_local(
    totpctl: Totpctl, place: Place, fleet_database: Database
) -> None:
    totpctl.done("enroll", "--local", "alice", "--no-confirm", "--json")
    assert ["alice"] == [one["user"] for one in totpctl.done("list", "--local", "--json").json()]
    for command in (
        "show alice",
        "suspend alice",
        "resume alice",
        "unlock alice",
        "rebind alice --yes",
        "rename alice bob",
        "rename bob alice",
    ):
        totpctl.done(*command.split(), "--local")
    totpctl.done("reset", "alice", "--local", "--yes", "--no-confirm", "--json")
    totpctl.done("recovery-codes", "alice", "--local", "--yes")
    totpctl.done("require", "bob", "--local")
    totpctl.done("exempt", "carol", "--local")
    assert place.record("alice").uid is not None
    totpctl.done("remove", "alice", "--local", "--yes")
    assert [(0,)] == fleet_database.execute("SELECT count(*) FROM totp.users")


def test_init_and_rotate_key_are_about_the_store_of_the_host(
    totpctl: Totpctl, place: Place
) -> None:
    totpctl.done("enroll", "--local", "alice", "--no-confirm", "--json")
    assert "key and store are OK" in totpctl.done("init").err
    assert "1 secrets are sealed with the new key" in totpctl.done("rotate-key", "--yes").err


def test_a_host_knows_the_people_of_the_fleet_who_have_an_account_on_it(
    place: Place, fleet_database: Database
) -> None:
    with pytest.raises(StoreRefused, match="has not joined"):
        recorded.read(config.load(str(place.config_path)).config)
    fleet.host_file(fleet_database, place.folder)
    path = fleet.admin_file(fleet_database, place.folder)
    with open_admin_store(fleet.url(fleet_database), str(path)) as store:
        for record in (UserRecord("root", SUSPENDED), UserRecord("trent", SUSPENDED)):
            with store.transaction(record.name) as transaction:
                transaction.save(record)
    whole = recorded.read(config.load(str(place.config_path)).config)
    assert (["root", "trent"], True) == ([one.name for one in whole.records], whole.is_whole)
    fleet_database.execute("UPDATE totp.users SET groups = '{db}' WHERE name = 'root'")
    elsewhere = recorded.read(config.load(str(place.config_path)).config)
    assert ["trent"] == [one.name for one in elsewhere.records], "root is of other hosts alone"
    fleet_database.execute("UPDATE totp.users SET groups = DEFAULT")
    path.unlink()
    seen = recorded.read(config.load(str(place.config_path)).config)
    assert (["root"], False) == ([one.name for one in seen.records], seen.is_whole)
    place.enrol("root")
    (root,) = recorded.read(config.load(str(place.config_path)).config).records
    assert 1 == len(root.authenticators), "users in the local store are judged by it"


def problems_of_stores(totpctl: Totpctl) -> list[str]:
    found = totpctl("doctor", "--json").json()["findings"]
    of_stores = ("store", "store-damage", "store-write")
    return [one["problem"] for one in found if one["check"] in of_stores]


def test_doctor_asks_as_the_host_does(
    totpctl: Totpctl, place: Place, fleet_database: Database
) -> None:
    fleet.host_file(fleet_database, place.folder)
    assert [] == problems_of_stores(totpctl)
    fleet_database.execute("DELETE FROM totp.hosts")
    (problem,) = problems_of_stores(totpctl)
    assert "has not joined the fleet" in problem


def test_doctor_looks_into_the_local_store_and_needs_none(
    totpctl: Totpctl, place: Place, fleet_database: Database
) -> None:
    fleet.host_file(fleet_database, place.folder)
    place.store_path.write_bytes(b"no store")
    assert any(str(place.store_path) in problem for problem in problems_of_stores(totpctl))
    for file in place.store_path.parent.iterdir():
        file.unlink()
    assert [] == problems_of_stores(totpctl)


def test_doctor_waits_for_a_database_that_is_away_once_and_not_for_each_check(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def read(settings: config.Config) -> recorded.Recorded:
        asked.append(settings.store)
        raise StoreUnreachable(settings.store, "does not answer in time")

    monkeypatch.setattr(recorded, "read", read)
    facts = Facts(Session(str(place.config_path)))
    for _ in range(2):
        with pytest.raises(CannotTell):
            facts.records  # noqa: B018
    assert 1 == len(asked)


def test_an_identity_without_its_key_is_named(totpctl: Totpctl, place: Place) -> None:
    path = place.folder / "pam_totp.fleet"
    path.touch(mode=0o600)
    assert [f"{path}: lacks host, key or user"] == problems_of_stores(totpctl)


def test_status_counts_the_people_who_have_an_account_on_the_host(
    totpctl: Totpctl, place: Place, fleet_database: Database
) -> None:
    fleet.host_file(fleet_database, place.folder)
    path = fleet.admin_file(fleet_database, place.folder)
    with (
        open_admin_store(fleet.url(fleet_database), str(path)) as store,
        store.transaction("root") as transaction,
    ):
        transaction.save(UserRecord("root", SUSPENDED))
    path.unlink()
    assert ["root"] == totpctl("status", "--json").json()["people"]["suspended"]
