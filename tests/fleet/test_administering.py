"""policy, allow, rotate-key, prune, after-restore, refresh: what administrators do to a fleet."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import click
import pytest

from admin_cli.commands.fleet import policy
from pam_totp.core.verifier import ACCEPTED, CODE, Answer, Policy
from pam_totp.store import LoginAttempt
from pam_totp.store.postgresql import administration
from pam_totp.store.postgresql.client import Client
from pam_totp.store.postgresql.host_store import HostStore
from pam_totp.store.postgresql.kept_kit import KeptKit
from pam_totp.store.postgresql.offline import OfflineStore
from pam_totp.system import config, fleet_file
from pam_totp.system.audit import Source
from tests.fleet.machines import DATABASE, FleetMachine
from tests.support.logs import LogSocket
from tests.support.place import SECRET, code_now
from tests.support.postgres import Cluster

AS_NEW = """
DELETE FROM totp.users;
DELETE FROM totp.events;
DELETE FROM totp.policy;
INSERT INTO totp.policy DEFAULT VALUES
"""


@pytest.fixture(autouse=True)
def as_new(server: Cluster, admin: FleetMachine) -> Iterator[None]:
    """Leave nothing of a test to the next one."""
    yield
    with server.connect(database=DATABASE) as connection:
        connection.execute(AS_NEW)


def asked(server: Cluster, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with server.connect(database=DATABASE) as connection:
        cursor = connection.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


def enrol(server: Cluster, admin: FleetMachine, user: str) -> None:
    """Put ``user`` into the fleet, with SECRET and a recovery code."""
    key = fleet_file.read(str(admin.admin_path)).key
    asked(server, "INSERT INTO totp.users (name, status) VALUES (%s, 'active')", user)
    asked(
        server,
        "INSERT INTO totp.authenticators (id, user_name, label, algorithm, digits, period, "
        "sealed_secret) SELECT 'id of ' || u, u, 'phone', 'SHA1', 6, 30, "
        "totp.seal_secret(%s, %s, u, 'id of ' || u, 'SHA1', 6, 30, 'totp') "
        "FROM (SELECT %s::text AS u) x",
        key, SECRET, user,
    )  # fmt: skip
    asked(server, "INSERT INTO totp.recovery_codes VALUES (%s, %s)", user, bytes(32))


# Policy


def test_the_settings_are_those_of_the_table(admin: FleetMachine, server: Cluster) -> None:
    columns = asked(
        server,
        "SELECT attname FROM pg_attribute WHERE attrelid = 'totp.policy'::regclass "
        "AND attnum > 1 ORDER BY attnum",
    )
    assert [(name,) for name in policy.SETTINGS] == columns
    assert tuple(policy.SETTINGS) == administration.POLICY


@pytest.mark.parametrize("end", ["low", "high"])
def test_every_setting_takes_what_the_table_takes(admin: FleetMachine, end: str) -> None:
    wanted = {key: getattr(setting, end) for key, setting in policy.SETTINGS.items()}
    wanted["throttle_base"] = min(wanted["throttle_base"], wanted["throttle_max"])
    wanted["require_standby"] = 0  # this server has none
    words = [
        f"{key}={('no', 'yes')[value] if policy.SETTINGS[key].is_boolean else value}"
        for key, value in wanted.items()
    ]
    assert wanted == admin.done("policy", *words, "--json").json()
    assert wanted == admin.done("policy", "--json").json()


@pytest.mark.parametrize("key", policy.SETTINGS)
def test_what_a_setting_cannot_be_is_refused_before_anything_is_read(key: str) -> None:
    setting = policy.SETTINGS[key]
    for bad in (setting.low - 1, setting.high + 1, "x", "", "1.5", "\u0661"):
        with pytest.raises(click.UsageError, match=key):
            policy.parsed(f"{key}={bad}")


def test_what_weakens_the_policy_is_said(admin: FleetMachine, log: LogSocket) -> None:
    assert "warning" not in admin.done("policy", "throttle_after=3").err
    result = admin.done("policy", "throttle_after=9", "code_window=0")
    assert "throttle_after: 3 became 9\n" in result.err
    assert 1 == result.err.count(
        "totpctl: warning: this is weaker than before: wrong codes in a row"
    )
    assert ["policy_changed"] * 3 == log.events()
    assert "this changes nothing" in admin.done("policy", "code_window=0").err


def test_no_standby_is_required_where_that_would_deny_everybody(admin: FleetMachine) -> None:
    result = admin.fleet("policy", "require_standby=yes", "throttle_after=4")
    assert 1 == result.code
    assert "no synchronous standby is configured" in result.err
    told = admin.done("policy", "--json").json()
    assert (False, False) == (told["require_standby"], told["throttle_after"] == 4)


def test_a_setting_that_is_none_is_refused(admin: FleetMachine) -> None:
    assert 2 == admin.fleet("policy", "colour=red").code
    assert 2 == admin.fleet("policy", "throttle_max=5", "throttle_base=6").code
    assert 2 == admin.fleet("policy", "code_window").code


# People


def test_somebody_is_allowed_on_groups_of_hosts(admin: FleetMachine, server: Cluster) -> None:
    admin.token("allowed1", "--group", "web", "--yes")
    enrol(server, admin, "alice")
    groups = "SELECT groups FROM totp.users WHERE name = 'alice'"
    assert "alice can log in with a code on hosts in web\n" in (
        admin.done("allow", "alice", "--on", "web").err
    )
    assert [(["web"],)] == asked(server, groups)
    admin.done("allow", "alice", "--everywhere")
    assert [(["*"],)] == asked(server, groups)


def test_a_group_without_hosts_would_shut_them_out(admin: FleetMachine, server: Cluster) -> None:
    enrol(server, admin, "alice")
    result = admin.fleet("allow", "alice", "--on", "wbe")
    assert 1 == result.code
    assert "no host is in the group wbe" in result.err
    assert 2 == admin.fleet("allow", "alice").code
    assert 2 == admin.fleet("allow", "alice", "--on", "*").code


def test_only_the_enrolled_are_allowed(admin: FleetMachine) -> None:
    result = admin.fleet("allow", "bob", "--everywhere")
    assert (3, "totpctl: error: bob is not enrolled") == (result.code, result.err.splitlines()[0])


# Upkeep


def test_another_data_key_opens_the_same_secrets(
    admin: FleetMachine, server: Cluster, web: FleetMachine, log: LogSocket
) -> None:
    web.done("join", "-", answers=admin.token("rotated", "--yes"))
    enrol(server, admin, "alice")
    before = asked(server, "SELECT sealed_secret FROM totp.authenticators")
    assert 1 == admin.fleet("rotate-key").code
    hosts = len(admin.done("list", "--json").json())
    result = admin.done("rotate-key", "--yes")
    assert f"1 secrets are sealed with a new data key, wrapped for {hosts} hosts" in result.err
    assert before != asked(server, "SELECT sealed_secret FROM totp.authenticators")
    key = fleet_file.read(str(admin.admin_path)).key
    assert [(SECRET,)] == asked(
        server,
        "SELECT totp.open_secret(%s, sealed_secret, user_name, id, algorithm, digits, period, "
        "kind) FROM totp.authenticators", key,
    )  # fmt: skip
    identity = fleet_file.read(str(web.host_path))
    asked(server, "CALL totp.admission(%s, %s, 'x', '', NULL)", identity.host, identity.key)
    assert log.events()[-1] == "key_rotated"


def test_a_wrong_administrators_key_changes_nothing(
    admin: FleetMachine, server: Cluster, web: FleetMachine
) -> None:
    identity = fleet_file.read(str(admin.admin_path))
    web.admin_path.write_bytes(fleet_file.content(identity._replace(key=bytes(32))))
    web.admin_path.chmod(0o600)
    for words in (("rotate-key", "--yes"), ("add", "web77")):
        result = web.fleet(*words)
        assert 5 == result.code
        assert "does not hold the key of this fleet" in result.err
    assert [] == asked(server, "SELECT name FROM totp.hosts WHERE name = 'web77'")


def test_old_events_are_deleted_and_young_ones_are_not(
    admin: FleetMachine, server: Cluster, log: LogSocket
) -> None:
    insert = ("INSERT INTO totp.events (at, host, user_name, event, service, rhost) "
              "VALUES (now() - %s * interval '1 day', 'h', 'u', %s, '', '')")  # fmt: skip
    asked(server, insert, 41, "old")
    asked(server, insert, 39, "young")
    assert 1 == admin.fleet("prune", "--older-than", "40").code
    assert "1 events deleted" in admin.done("prune", "--older-than", "40", "--yes").err
    left = "SELECT event FROM totp.events WHERE event IN ('old', 'young')"
    assert [("young",)] == asked(server, left)
    assert "0 events deleted" in admin.done("prune", "--older-than", "40").err
    assert 2 == admin.fleet("prune", "--older-than", "7").code


def test_after_a_restore_no_code_that_was_shown_is_good(
    admin: FleetMachine, server: Cluster
) -> None:
    enrol(server, admin, "alice")
    asked(
        server,
        "UPDATE totp.users SET last_request = '\\x00', last_verdict = NULL, remembered = ARRAY[ROW("
        "'sshd', 'address', '192.0.2.7', 1, 9000000000, '-', 'w')::totp.remembered]",
    )
    result = admin.done("after-restore", "--yes")
    step = int(time.time()) // 30
    ((burned, request, remembered),) = asked(
        server,
        "SELECT last_accepted_step, last_request, cardinality(remembered) "
        "FROM totp.authenticators, totp.users",
    )
    assert burned in (step, step + 1)  # the window is 1, and a step may have passed
    assert (None, 0) == (request, remembered)
    assert "1 authenticators: no code shown so far is good again" in result.err
    assert "recovery codes that were used since the dump are good again: alice\n" in result.err
    assert "hint: for each of them run: totpctl recovery-codes USER" in result.err
    assert [(1,)] == asked(server, "SELECT count(*) FROM totp.recovery_codes")


def test_after_a_restore_recovery_codes_can_be_made_void(
    admin: FleetMachine, server: Cluster
) -> None:
    enrol(server, admin, "alice")
    result = admin.done("after-restore", "--yes", "--void-recovery-codes")
    assert "the recovery codes of 1 people are void" in result.err
    assert [(0,)] == asked(server, "SELECT count(*) FROM totp.recovery_codes")


def test_after_a_restore_people_with_counters_are_named(
    admin: FleetMachine, server: Cluster
) -> None:
    enrol(server, admin, "alice")
    asked(server, "UPDATE totp.authenticators SET kind = 'hotp', last_accepted_step = 7")
    result = admin.done("after-restore", "--yes")
    assert "codes of counters that were used since the dump are good again: alice\n" in result.err
    assert "hint: for each of them run: totpctl resync USER" in result.err
    assert [(7,)] == asked(server, "SELECT last_accepted_step FROM totp.authenticators")


def test_a_step_that_lies_ahead_stays(admin: FleetMachine, server: Cluster) -> None:
    enrol(server, admin, "alice")
    ahead = int(time.time()) // 30 + 1000
    asked(server, "UPDATE totp.authenticators SET last_accepted_step = %s", ahead)
    admin.done("after-restore", "--yes")
    assert [(ahead,)] == asked(server, "SELECT last_accepted_step FROM totp.authenticators")


# An outage


def test_a_host_renews_what_it_keeps_and_the_list_tells_of_it(
    admin: FleetMachine, server: Cluster, web: FleetMachine
) -> None:
    assert "names no fleet as this machine's store" in web.fleet("refresh").err
    web.done("join", "-", answers=admin.token("keeps", "--yes"))
    assert "offline is not cache" in web.done("refresh").err
    web.place.config_path.write_text(web.settings() + "offline = cache\n")
    assert "this host keeps nothing yet" in web.done("refresh").err
    admin.done("policy", "offline_hours=4")
    enrol(server, admin, "alice")
    client = Client(
        fleet_file.read(str(admin.admin_path)).store, fleet_file.read(str(web.host_path))
    )
    kit = KeptKit.of(config.load(str(web.place.config_path)).config)
    with contextlib.closing(client), contextlib.closing(kit):
        asked_by = HostStore(client)
        verdict = asked_by.verify(LoginAttempt(
            "alice", Answer(CODE, code_now()), Policy(), is_decoy=False,
            source=Source("sshd:auth"),
        ))  # fmt: skip
        assert verdict is not None
        assert ACCEPTED == verdict.outcome
        OfflineStore(asked_by, kit).refresh(["alice"], at_once=True)
    assert "codes of 1 people are kept, of all of them until 20" in web.done("refresh").err
    (listed,) = (host for host in admin.done("list", "--json").json() if host["host"] == "keeps")
    assert 1 == listed["offline_people"]
    assert listed["offline_until"] is not None
    assert "1 until 20" in admin.done("list").out
