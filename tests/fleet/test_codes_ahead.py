"""Which codes a host is given ahead, and of whom."""

from __future__ import annotations

import time

import psycopg
import pytest

from pam_totp.core import otp
from tests.fleet.reporting import Reporter, allow, code_of, enroll, give, numbers_of
from tests.support.postgres import Database

HOURS = 4
DAY = 86_400


@pytest.fixture
def host(database: Database) -> Reporter:
    allow(database, HOURS)
    enroll(database, "alice")
    return Reporter(database)


def now_step() -> int:
    return int(time.time()) // 30


def log_in(host: Reporter, user: str = "alice") -> None:
    assert "accepted" == host.verify(user, code_of(now_step()))


def test_they_are_the_codes_of_the_hours_that_the_policy_allows(host: Reporter) -> None:
    log_in(host)
    told = host.codes_ahead("alice")
    (alice,) = told["users"]
    (phone,) = alice["authenticators"]
    first, numbers = phone["first_step"], numbers_of(phone["codes"])
    assert told["at"] // 30 - 1 == first
    assert (told["at"] + HOURS * 3600) // 30 == first + len(numbers) - 1
    assert 482 == len(numbers)  # as docs/explanation/threat-model.md says
    codes = [f"{number % 10**6:06d}" for number in numbers]
    assert [code_of(first + at) for at in range(len(numbers))] == codes
    assert (HOURS, 0, "alice", "phone") == (
        told["hours"],
        told["last_merged"],
        alice["user"],
        phone["label"],
    )
    assert phone["last_accepted_step"] in (now_step(), now_step() - 1)


@pytest.mark.parametrize("learned", [-200, 200])
def test_they_are_those_of_a_right_clock_too_where_another_is_followed(
    host: Reporter, database: Database, learned: int
) -> None:
    log_in(host)
    database.execute("UPDATE totp.authenticators SET learned = %s", (learned,))
    told = host.codes_ahead("alice")
    (phone,) = told["users"][0]["authenticators"]
    end = told["at"] + HOURS * 3600
    assert learned == phone["learned"]
    assert (told["at"] + min(learned, 0)) // 30 - 1 == phone["first_step"]
    last = phone["first_step"] + len(numbers_of(phone["codes"])) - 1
    assert (end + max(learned, 0)) // 30 == last


def test_a_host_is_given_codes_of_nobody_who_did_not_log_in_there(
    host: Reporter, database: Database
) -> None:
    """A host that was taken over must not get those of the whole fleet."""
    other = Reporter(database, "b")
    log_in(other)
    assert "rejected" == host.verify("alice", "000000")
    assert [] == host.codes_ahead("alice")["users"]
    assert ["alice"] == [user["user"] for user in other.codes_ahead("alice")["users"]]


def test_after_a_week_without_a_login_there_it_is_given_no_more(
    host: Reporter, database: Database
) -> None:
    log_in(host)
    database.stop_clock(int(time.time()) + 7 * DAY - 60)
    assert host.codes_ahead("alice")["users"]
    database.stop_clock(int(time.time()) + 7 * DAY + 3600)
    assert [] == host.codes_ahead("alice")["users"]


def test_what_an_administrator_decides_counts_from_the_next_time(
    host: Reporter, database: Database
) -> None:
    log_in(host)
    for statement, undo in (
        ("UPDATE totp.policy SET offline_hours = 0", "UPDATE totp.policy SET offline_hours = 4"),
        ("UPDATE totp.users SET status = 'suspended'", "UPDATE totp.users SET status = 'active'"),
        ("UPDATE totp.users SET status = 'exempt'", "UPDATE totp.users SET status = 'active'"),
        ("UPDATE totp.users SET groups = '{db}'", "UPDATE totp.users SET groups = '{*}'"),
        ("DELETE FROM totp.users", ""),
    ):
        assert host.codes_ahead("alice")["users"]
        database.execute(statement)
        assert [] == host.codes_ahead("alice")["users"], statement
        if undo:
            database.execute(undo)


def test_without_the_policy_no_login_is_noted(host: Reporter, database: Database) -> None:
    allow(database, 0)
    log_in(host)
    allow(database, HOURS)
    assert [] == host.codes_ahead("alice")["users"]


def test_what_was_given_out_is_on_record_whatever_the_host_does(
    host: Reporter, database: Database
) -> None:
    log_in(host)
    with database.connect("totp_login") as connection:
        for statement in (
            "CALL totp.codes_ahead(%s, %s, '{alice}', NULL)",
            "SELECT totp.give_codes(%s, %s, '{alice}')",
        ):
            connection.execute("BEGIN")
            with pytest.raises(psycopg.Error):
                connection.execute(statement, (host.name, host.key))
            connection.execute("ROLLBACK")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT totp.give_codes(%s, %s, '{alice}')", (host.name, host.key))
    host.codes_ahead("alice")
    ((until,),) = database.execute("SELECT until FROM totp.kits", user="test_admin")
    assert abs(until - time.time() - HOURS * 3600) < 60


def test_a_host_that_was_removed_is_refused(host: Reporter, database: Database) -> None:
    log_in(host)
    database.execute("SELECT totp.remove_host('a')")
    for ask in (lambda: host.codes_ahead("alice"), host.report):
        with pytest.raises(psycopg.Error) as refused:
            ask()
        assert "TP001" == refused.value.sqlstate


def test_codes_of_a_counter_are_never_given_out(host: Reporter, database: Database) -> None:
    """They do not end with the hours: while hosts are apart, each would take the same one."""
    token = b"secret of a token 20"
    give(database, "alice", token, label="token", kind=otp.HOTP)
    assert "accepted" == host.verify("alice", code_of(0, token))
    (alice,) = host.codes_ahead("alice")["users"]
    assert ["phone"] == [each["label"] for each in alice["authenticators"]]
    database.execute("DELETE FROM totp.authenticators WHERE label = 'phone'")
    assert [] == host.codes_ahead("alice")["users"]
