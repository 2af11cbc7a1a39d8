"""add, join, remove, list: a machine becomes a host, wholly or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from admin_cli.commands.fleet import join_host
from pam_totp.system import fleet_file
from tests.fleet.machines import DATABASE, FleetMachine
from tests.support.logs import LogSocket
from tests.support.postgres import Cluster

ANSWERS_ANY_KEY = """
CREATE TABLE totp.told (answer jsonb);
CREATE FUNCTION totp.look_up(text, bytea, text, text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    told jsonb;
BEGIN
    told := totp.real_look_up($1, $2, $3, $4);
    INSERT INTO totp.told VALUES (told);
    RETURN told;
EXCEPTION WHEN SQLSTATE 'TP001' THEN
    RETURN (SELECT answer FROM totp.told LIMIT 1);
END $$
"""
COMMENTED = """# a comment
# store = /var/lib/pam_totp/store.db
store = {store}
window = 0  # not taken, but kept
"""


def files(machine: FleetMachine) -> dict[str, bytes]:
    """Return what lies in the folder of a machine, without its store."""
    return {p.name: p.read_bytes() for p in machine.place.folder.iterdir() if p.is_file()}


def test_a_host_joins_with_the_line_that_add_prints(
    admin: FleetMachine, web: FleetMachine, log: LogSocket
) -> None:
    token = admin.token("web1", "--group", "web", "--group", "all")
    result = web.done("join", "-", answers=token)
    assert "this machine is in the fleet, as web1\n" in result.err
    assert "nobody is local: without the database" in result.err
    assert "totpctl enroll --local USER" in result.err
    identity = fleet_file.read(str(web.host_path))
    assert ("web1", "totp_login") == (identity.host, identity.user)
    assert 0o600 == stat.S_IMODE(web.host_path.stat().st_mode)
    (listed,) = (host for host in admin.done("list", "--json").json() if host["host"] == "web1")
    assert ["web", "all"] == listed["groups"]
    assert listed["joined_at"] is not None
    assert listed["last_seen_at"] is not None
    assert ["host_added", "joined"] == log.events()
    for secret in (identity.key.hex(), identity.password, token):
        assert secret not in result.out + result.err + "".join(log.lines())


def test_the_configuration_keeps_its_comments_and_the_store_becomes_the_local_one(
    admin: FleetMachine, web: FleetMachine
) -> None:
    text = COMMENTED.format(store=web.place.store_path)
    text += f"fleet_host = {web.host_path}\nsealing_key = {web.place.key_path}\n"
    web.place.config_path.write_text(text)
    web.place.enrol("alice")
    result = web.done("join", "-", answers=admin.token("web2"))
    url = fleet_file.read(str(admin.admin_path)).store
    expected = text.replace(f"\nstore = {web.place.store_path}", f"\nstore = {url}")
    assert expected + f"local_store = {web.place.store_path}\n" == web.settings()
    assert "still judged here alone" in result.err
    assert ": alice\n" in result.err
    assert "to move them into the fleet: totpctl fleet import" in result.err


def test_a_token_is_good_once(admin: FleetMachine, web: FleetMachine, tmp_path: Path) -> None:
    token = admin.token("web3")
    web.done("join", "-", answers=token)
    other = FleetMachine(tmp_path / "other", web.totpctl.log_path)
    before = files(other)
    result = other.fleet("join", "-", answers=token)
    assert (5, "") == (result.code, result.out)
    assert "the token was used, has expired, or was replaced by a newer one" in result.err
    assert "hint: run on an administrator's machine: totpctl fleet add HOST" in result.err
    assert "this machine logs in as before" in result.err
    assert before == files(other)


def test_a_token_ends_after_an_hour(
    admin: FleetMachine, web: FleetMachine, server: Cluster
) -> None:
    token = admin.token("web4")
    with server.connect(database=DATABASE) as connection:
        connection.execute("UPDATE totp.hosts SET join_until = join_until - 3601")
    result = web.fleet("join", "-", answers=token)
    assert 5 == result.code
    assert "has expired" in result.err
    assert not web.host_path.exists()


@pytest.mark.parametrize("text", ["", "x", "AAAA", "printf %s", "\udcff"])
def test_what_is_no_token_is_refused(web: FleetMachine, text: str) -> None:
    before = files(web)
    result = web.fleet("join", "-", answers=text)
    assert (1, "") == (result.code, result.out)
    assert "is no token of totpctl fleet add, or not all of one" in result.err
    assert before == files(web)


def test_half_a_token_is_refused(admin: FleetMachine, web: FleetMachine) -> None:
    token = admin.token("web5")
    for part in (token[: len(token) // 2], token[:-4]):
        assert 1 == web.fleet("join", "-", answers=part).code
    web.done("join", "-", answers=token)


def test_a_database_that_answers_a_wrong_key_is_not_joined(
    admin: FleetMachine, web: FleetMachine, server: Cluster
) -> None:
    token = admin.token("web6")
    before = files(web)
    with server.connect(database=DATABASE) as connection:
        connection.execute("ALTER ROUTINE totp.look_up RENAME TO real_look_up")
        connection.execute(ANSWERS_ANY_KEY)
        connection.execute("GRANT EXECUTE ON ROUTINE totp.look_up TO totp_host")
    try:
        result = web.fleet("join", "-", answers=token)
    finally:
        with server.connect(database=DATABASE) as connection:
            connection.execute("DROP ROUTINE totp.look_up; DROP TABLE totp.told")
            connection.execute("ALTER ROUTINE totp.real_look_up RENAME TO look_up")
    assert 1 == result.code
    assert "answers a host with a wrong key" in result.err
    assert before == files(web)


def test_a_member_joins_again_only_if_that_is_wanted(
    admin: FleetMachine, web: FleetMachine
) -> None:
    web.done("join", "-", answers=admin.token("web7"))
    refused = web.fleet("join", "-", answers=admin.token("web7b"))
    assert 1 == refused.code
    assert "hint: confirm it in advance with --yes" in refused.err
    web.done("join", "-", "--yes", answers=admin.token("web7c"))
    assert "web7c" == fleet_file.read(str(web.host_path)).host


@pytest.mark.parametrize(("line", "mode"), [("", 0o644), ("key = zz\n", 0o600)])
def test_an_identity_of_no_use_is_replaced_by_joining_again(
    admin: FleetMachine, web: FleetMachine, line: str, mode: int
) -> None:
    web.done("join", "-", answers=admin.token("web11", "--yes"))
    damaged = web.host_path.read_text().replace("key = ", f"{line}# key = " if line else "key = ")
    web.host_path.write_text(damaged)
    web.host_path.chmod(mode)
    again = admin.token("web11", "--yes")
    assert 1 == web.fleet("join", "-", answers=again).code, "it asks first"
    web.done("join", "-", "--yes", answers=again)
    assert "web11" == fleet_file.read(str(web.host_path)).host


def test_a_local_store_of_no_use_does_not_hide_that_the_machine_has_joined(
    admin: FleetMachine, web: FleetMachine
) -> None:
    token = admin.token("web12")
    web.place.store_path.write_bytes(b"no store")
    result = web.done("join", "-", answers=token)
    assert f"warning: {web.place.store_path}: is damaged" in result.err
    assert "what services ask for a code has not changed" in result.err


@pytest.mark.parametrize("words", [("list",), ("add", "web13"), ("join", "-")])
def test_a_missing_psycopg_is_named_with_its_package(
    admin: FleetMachine, web: FleetMachine, tmp_path: Path, words: tuple[str, ...]
) -> None:
    token = admin.token("web14", "--yes")
    (tmp_path / "psycopg.py").write_text("raise ImportError('it is not there')")
    machine = web if words[0] == "join" else admin
    kept = machine.totpctl.environment
    machine.totpctl.environment = kept | {"PYTHONPATH": f"{tmp_path}:{kept['PYTHONPATH']}"}
    result = machine.fleet(*words, answers=token)
    assert 5 == result.code
    assert "hint: run: apt install python3-psycopg" in result.err


def test_a_host_that_is_removed_opens_nothing(admin: FleetMachine, web: FleetMachine) -> None:
    web.done("join", "-", answers=admin.token("web8"))
    asked = admin.fleet("remove", "web8")
    assert (1, "confirm it in advance with --yes") == (
        asked.code,
        asked.err.split("hint: ")[1][:-1],
    )
    result = admin.done("remove", "web8", "--yes")
    assert "its key opens nothing from now on" in result.err
    assert "sessions that are open there go on" in result.err
    assert "web8" not in admin.done("list").out
    gone = admin.fleet("remove", "web8", "--yes")
    assert (3, "there is no host web8 in the fleet") == (gone.code, gone.err[16:50])


@pytest.mark.parametrize("name", ["", "a b", "-x", "a'b", "é", "a" * 300, "$(x)"])
def test_a_name_that_a_shell_could_misread_is_refused(admin: FleetMachine, name: str) -> None:
    assert 2 == admin.fleet("add", "--", name).code


def test_a_second_add_asks_because_the_old_key_ends(admin: FleetMachine, web: FleetMachine) -> None:
    web.done("join", "-", answers=admin.token("web9", "--group", "db"))
    asked = admin.fleet("add", "web9")
    assert 1 == asked.code
    web.done("join", "-", "--yes", answers=admin.token("web9", "--yes"))
    (listed,) = (host for host in admin.done("list", "--json").json() if host["host"] == "web9")
    assert ["db"] == listed["groups"]


def test_events_tell_what_administrators_did(admin: FleetMachine, server: Cluster) -> None:
    admin.token("web10")
    with server.connect(database=DATABASE) as connection:
        rows = connection.execute(
            "SELECT event, service, split_part(rhost, '@', 1) FROM totp.events WHERE host = 'web10'"
        ).fetchall()
    assert [("host_added", "totpctl", "totp_administrator")] == rows


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_join_that_is_killed_leaves_the_old_store_or_one_that_answers(
    admin: FleetMachine, web: FleetMachine, step: int
) -> None:
    """Of the three files that it writes, the configuration comes last, when all is proven."""
    before = web.settings()
    kill = f"-einject=rename:signal=KILL:when={step}"
    strace = ["strace", "-o/dev/null", "-etrace=rename", kill]
    killed = web.totpctl.run(
        [*strace, *web.totpctl.command("fleet", "join", "-")], admin.token(f"killed{step}", "--yes")
    )
    assert -9 == killed.code
    if web.settings() != before:
        assert 3 == step
        identity = fleet_file.read(str(web.host_path))
        join_host.prove(fleet_file.read(str(admin.admin_path)).store, identity)
    web.done("join", "-", "--yes", answers=admin.token(f"killed{step}", "--yes"))
