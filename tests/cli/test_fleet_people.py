"""The commands for people on a machine of a fleet's administrator, and on that of a help desk."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from admin_cli.completion import names
from pam_totp.core.users import SUSPENDED, UserRecord
from pam_totp.store.postgresql.admin_store import open_admin_store
from tests.cli.command import Totpctl
from tests.support import fleet
from tests.support.place import Place, code_now
from tests.support.postgres import Database


@pytest.fixture
def place(fleet_administrator: Place) -> Place:
    return fleet_administrator


def saved(place: Place, name: str, fleet_database: Database) -> UserRecord | None:
    """Return what the database holds of a user."""
    path = fleet.admin_file(fleet_database, place.folder)
    with open_admin_store(fleet.url(fleet_database), str(path)) as store:
        return store.load(name)


def test_an_administrator_is_told_that_a_machine_works_on_its_own_store(
    totpctl: Totpctl, place: Place
) -> None:
    administrator = {"fleet_admin": place.folder / "pam_totp.fleet-admin"}
    place.configure(**administrator)
    told = totpctl.done("enroll", "alice", "--no-confirm", "--json").err
    assert 1 == told.count("this is about people of this machine alone")
    assert "warning" not in totpctl.done("list", "--local").err


def test_an_app_names_the_fleet_and_not_the_machine_of_its_administrator(
    totpctl: Totpctl, place: Place
) -> None:
    of_fleet = totpctl.done("enroll", "alice", "--no-confirm", "--json").json()
    assert ("localhost", "alice@localhost") == (of_fleet["issuer"], of_fleet["account"])
    totpctl.done("init")
    here = totpctl.done("enroll", "alice", "--local", "--no-confirm", "--json").json()
    assert here["account"].startswith(f"alice@{os.uname().nodename.partition('.')[0]}")


def test_people_are_looked_after_as_where_the_store_is_a_file(
    totpctl: Totpctl, place: Place, fleet_database: Database
) -> None:
    document = totpctl.done("enroll", "alice", "--no-confirm", "--json").json()
    assert 10 == len(document["recovery_codes"])
    assert ["alice"] == [one["user"] for one in totpctl.done("list", "--json").json()]
    assert "phone: SHA1" in totpctl.done("show", "alice").out
    totpctl.done("verify", "alice", answers=document["recovery_codes"][0] + "\n")
    totpctl.done("enroll", "alice", "--label", "tablet", "--no-confirm", "--json")
    totpctl.done("remove", "alice", "--label", "tablet", "--yes")
    totpctl.done("suspend", "alice")
    record = saved(place, "alice", fleet_database)
    assert record is not None
    assert (SUSPENDED, None, 10) == (record.status, record.uid, len(record.recovery_digests))
    totpctl.done("resume", "alice")
    assert 10 == len(
        totpctl.done("recovery-codes", "alice", "--yes", "--json").json()["recovery_codes"]
    )
    fresh = totpctl.done("reset", "alice", "--yes", "--no-confirm", "--json").json()
    assert document["secret"] != fresh["secret"]
    totpctl.done("exempt", "bob")
    totpctl.done("require", "carol")
    totpctl.done("exempt", "--group", "root")
    statuses = {one["user"]: one["status"] for one in totpctl.done("list", "--json").json()}
    assert {"alice": "active", "bob": "exempt", "carol": "must_enroll"} == statuses
    totpctl.done("exempt", "--group", "root", "--remove")
    totpctl.done("remove", "alice", "--yes")
    assert saved(place, "alice", fleet_database) is None
    with place.open() as local:
        assert [] == list(local.records())


def test_many_are_enrolled_in_one_transaction_whoever_has_an_account_here(
    totpctl: Totpctl, place: Place, fleet_database: Database, tmp_path: Path
) -> None:
    totpctl.done("require", "bob")
    (tmp_path / "roster").write_text("alice\nbob\nerin\nfrank\n")
    options = ("--sheets", str(tmp_path / "sheets"), "--sheets-format", "png", "--json")
    done = totpctl.done("enroll", "--from", str(tmp_path / "roster"), *options)
    assert "warning: there is no such user on this machine: erin, frank\n" in done.err
    names = ["alice", "bob", "erin", "frank"]
    assert names == [each["user"] for each in done.json()]
    for name in names:
        record = saved(place, name, fleet_database)
        assert record is not None
        assert ("active", 10) == (record.status, len(record.recovery_digests))
        secret = (tmp_path / "sheets" / f"{name}.txt").read_text().split("secret=")[1][:32]
        code = code_now(secret=base64.b32decode(secret))
        totpctl.done("verify", name, answers=f"{code}\n")
    transactions = "SELECT count(DISTINCT xmin::text) FROM totp.users"
    assert [(1,)] == fleet_database.execute(transactions)


def test_an_auditor_sees_who_changed_what(totpctl: Totpctl, fleet_database: Database) -> None:
    """The database notes it by itself: no command can forget to."""

    def noted() -> str:
        rows = fleet_database.execute(
            "SELECT concat_ws(' ', event, user_name, authenticator) FROM totp.events "
            "WHERE id > %s AND service = 'database' AND rhost ~ '^test_admin@.+ [(].+[)]$' "
            "ORDER BY id",
            (seen[-1],),
            user="test_auditor",
        )
        seen.extend(fleet_database.execute("SELECT max(id) FROM totp.events")[0])
        return ", ".join(row.strip() for (row,) in rows)

    seen = [0]
    codes = totpctl.done("enroll", "alice", "--no-confirm", "--json").json()["recovery_codes"]
    assert "user_added alice" in (enrolled := noted())
    assert "status_active alice, authenticator_added alice phone" in enrolled
    assert enrolled.endswith(", recovery_codes_added alice")
    for command, expected in {
        "list": "",
        "show alice": "",
        "suspend alice": "status_suspended alice",
        "resume alice": "status_active alice",
        "recovery-codes alice --yes": "recovery_codes_removed alice, recovery_codes_added alice",
        "exempt --group root": "rule_added root",
        "exempt --group root --remove": "rule_removed root",
        "remove alice --yes": "user_removed alice",
    }.items():
        totpctl.done(*command.split())
        assert (command, expected) == (command, noted())
    told = fleet_database.execute("SELECT string_agg(e::text, ' ') FROM totp.events e")
    assert not [code for code in codes if code in str(told)]


def test_an_enrollment_is_confirmed_by_a_code_of_the_app(
    totpctl: Totpctl, place: Place, fleet_database: Database
) -> None:
    result = totpctl("enroll", "alice", answers="000000\n" * 3)
    assert (1, None) == (result.code, saved(place, "alice", fleet_database))


def test_the_fleet_s_policy_says_who_is_locked(totpctl: Totpctl, fleet_database: Database) -> None:
    totpctl.done("enroll", "alice", "--no-confirm", "--json")
    fleet_database.execute("UPDATE totp.users SET failures = 20")
    assert not totpctl.done("show", "alice", "--json").json()["locked"]
    fleet_database.execute("UPDATE totp.policy SET max_failures = 20")
    assert totpctl.done("show", "alice", "--json").json()["locked"]
    assert "20 wrong codes forgotten" in totpctl.done("unlock", "alice").err
    assert not totpctl.done("show", "alice", "--json").json()["locked"]


def test_a_user_without_an_account_here_is_enrolled_with_a_warning(totpctl: Totpctl) -> None:
    """An account of the fleet is on its hosts; a mistyped name is told."""
    result = totpctl.done("enroll", "trent", "--no-confirm", "--json")
    assert "there is no user trent on this machine" in result.err
    assert 3 == totpctl("show", "mallory").code


def test_records_of_a_fleet_are_bound_to_no_uid(
    totpctl: Totpctl, place: Place, fleet_database: Database
) -> None:
    """The same person has another one on each host."""
    totpctl.done("enroll", "alice", "--no-confirm", "--json")
    fleet_database.execute("UPDATE totp.users SET uid = 12345")
    totpctl.done("enroll", "alice", "--label", "tablet", "--no-confirm", "--json")
    result = totpctl("rebind", "alice", "--yes")
    assert 1 == result.code
    assert "no uid" in result.err


def test_a_renamed_account_keeps_its_enrollment_and_its_hosts(
    totpctl: Totpctl, place: Place, fleet_database: Database
) -> None:
    """No uid tells that it is the same person, so that the administrator says so."""
    codes = totpctl.done("enroll", "alina", "--no-confirm", "--json").json()["recovery_codes"]
    fleet_database.execute("UPDATE totp.users SET groups = '{web}', failures = 3, untold = 2")
    fleet_database.execute("UPDATE totp.authenticators SET last_accepted_step = 7, drift = 1")
    before = saved(place, "alina", fleet_database)
    assert before is not None
    assert 1 == totpctl("rename", "alina", "alice").code
    assert before == saved(place, "alina", fleet_database)
    result = totpctl.done("rename", "alina", "alice", "--yes")
    assert "alice has the enrollment of alina now" in result.err
    after = saved(place, "alice", fleet_database)
    assert after is not None
    assert before._replace(name="alice", updated_at=after.updated_at) == after
    assert saved(place, "alina", fleet_database) is None
    assert [("alice", ["web"])] == fleet_database.execute("SELECT name, groups FROM totp.users")
    totpctl.done("verify", "alice", answers=codes[0] + "\n")
    result = totpctl.done("rename", "alice", "trent", "--yes")
    assert "there is no user trent on this machine" in result.err
    assert "there still is an account alice" in result.err
    totpctl.done("enroll", "bob", "--no-confirm", "--json")
    for old, new, code in (("trent", "bob", 1), ("nobody-known", "carol", 3), ("bob", "root", 1)):
        assert code == totpctl("rename", old, new, "--yes").code
    assert [("bob",), ("trent",)] == fleet_database.execute(
        "SELECT name FROM totp.users ORDER BY name"
    )


def test_the_environment_of_the_caller_changes_nothing(totpctl: Totpctl) -> None:
    totpctl.done("enroll", "alice", "--no-confirm", "--json")
    hostile = {
        "PGHOST": "/nonexistent", "PGOPTIONS": "-c default_transaction_read_only=on",
        "PGSERVICE": "nowhere", "PGSSLROOTCERT": "/nonexistent", "PGUSER": "postgres",
        "PGTARGETSESSIONATTRS": "standby", "PGCLIENTENCODING": "LATIN1",
    }  # fmt: skip
    assert 0 == totpctl("suspend", "alice", **hostile).code


def test_what_is_typed_at_a_prompt_waits_for_no_network(place: Place) -> None:
    assert names.people(str(place.config_path)) is None


def test_a_help_desk_unlocks_suspends_and_resumes_and_is_told_what_it_lacks(
    totpctl: Totpctl, place: Place, fleet_database: Database
) -> None:
    fleet.admin_file(fleet_database, place.folder)
    totpctl.done("enroll", "alice", "--no-confirm", "--json")
    fleet_database.execute("UPDATE totp.users SET failures = 100")
    fleet.admin_file(fleet_database, place.folder, user="test_helpdesk", key=b"")
    assert totpctl.done("show", "alice", "--json").json()["locked"]
    for command in ("unlock alice", "suspend alice", "list", "resume alice"):
        totpctl.done(*command.split())
    for command in ("enroll bob", "reset alice --yes", "verify alice", "rename alice bob"):
        result = totpctl(*command.split(), answers="123456\n")
        assert (5, "") == (result.code, result.out)
        assert "holds no key" in result.err
    for command in (
        "exempt alice",
        "require bob",
        "remove alice --yes",
        "recovery-codes alice --yes",
    ):
        result = totpctl(*command.split())
        assert (5, "") == (result.code, result.out)
        assert "does not have the rights for this in the database" in result.err
