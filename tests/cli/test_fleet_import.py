"""totpctl import and export where the store is a fleet's database."""

from __future__ import annotations

from pathlib import Path

import pytest

from pam_totp.core.users import Authenticator
from pam_totp.store.postgresql.admin_store import open_admin_store
from tests.cli.command import Totpctl
from tests.support import fleet
from tests.support.place import SECRET, Place
from tests.support.postgres import Database

OTHER = b"\xab" * 20
LINES = f"HOTP/T30 alice - {SECRET.hex()}\nHOTP/T60/8 zoe - {OTHER.hex()}\n"


@pytest.fixture
def place(fleet_administrator: Place) -> Place:
    return fleet_administrator


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "tokens"
    path.write_text(LINES, encoding="utf-8")
    path.chmod(0o600)
    return str(path)


def kept(place: Place, fleet_database: Database) -> dict[str, tuple[Authenticator, ...]]:
    """Return what the database holds of everybody, with secrets."""
    path = fleet.admin_file(fleet_database, place.folder)
    with open_admin_store(fleet.url(fleet_database), str(path)) as store:
        found = {}
        for name in [record.name for record in store.records()]:
            with store.transaction(name) as transaction:
                assert transaction.record is not None
                found[name] = transaction.record.authenticators
        return found


def test_people_are_imported_with_or_without_an_account_here(
    totpctl: Totpctl, place: Place, fleet_database: Database, file: str
) -> None:
    totpctl.done("import", file)
    before = kept(place, fleet_database)
    assert {"alice": [SECRET], "zoe": [OTHER]} == {
        name: [a.secret for a in devices] for name, devices in before.items()
    }
    assert "0 of 2 tokens are new\n" in totpctl.done("import", file).err
    assert before == kept(place, fleet_database)


def test_a_dry_run_changes_nothing(
    totpctl: Totpctl, place: Place, fleet_database: Database, file: str
) -> None:
    totpctl.done("import", file, "--dry-run")
    assert {} == kept(place, fleet_database)


def test_where_it_fails_in_the_middle_nobody_is_imported(
    totpctl: Totpctl, place: Place, fleet_database: Database, file: str
) -> None:
    totpctl.prelude = (
        "from pam_totp.store.postgresql.joint import JointUserTransaction as t; save = t.save\n"
        "def fails(self, record):\n"
        "    save(self, record)\n"
        "    if record.name == 'zoe': raise OSError(5, 'Input/output error')\n"
        "t.save = fails\n"
    )
    result = totpctl("import", file)
    assert 1 == result.code
    assert "nothing was imported\n" in result.err
    assert {} == kept(place, fleet_database)


def test_local_accounts_are_imported_into_the_store_of_this_host(
    totpctl: Totpctl, place: Place, fleet_database: Database, file: str
) -> None:
    totpctl.done("init")
    refused = totpctl("import", file, "--local")
    assert "there is no user zoe on this machine" in refused.err
    totpctl.done("import", file, "--local", "--skip-bad")
    assert {} == kept(place, fleet_database)
    assert ["alice"] == [one["user"] for one in totpctl.done("list", "--local", "--json").json()]


def test_a_person_moves_from_the_fleet_to_a_host(
    totpctl: Totpctl, place: Place, fleet_database: Database, file: str, tmp_path: Path
) -> None:
    totpctl.done("init")
    totpctl.done("import", file)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("six words that nobody would guess\n", encoding="utf-8")
    how = ("--passphrase-file", str(passphrase))
    sealed = str(tmp_path / "alice.export")
    totpctl.done("export", "alice", "--output", sealed, *how)
    totpctl.done("import", sealed, "--local", *how)
    ((phone,),) = [d for n, d in kept(place, fleet_database).items() if n == "alice"]
    shown = totpctl.done("show", "alice", "--local", "--json").json()
    assert phone.label == shown["authenticators"][0]["label"]
