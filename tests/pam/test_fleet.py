"""A login over PostgreSQL, as libpam hands its result to an application: by each of the ways."""

from __future__ import annotations

import pytest

from pam_totp.core import recovery
from tests.fleet.hosts import url_of
from tests.fleet.members import Member
from tests.fleet.reporting import enroll
from tests.support.logs import LogSocket, fields
from tests.support.pam_stack import (
    ME,
    PAM_AUTH_ERR,
    PAM_AUTHINFO_UNAVAIL,
    PAM_IGNORE,
    PAM_MAXTRIES,
    PAM_SUCCESS,
    Stack,
)
from tests.support.place import RECOVERY_SALT, Place, code_now, wrong_code
from tests.support.postgres import Database

RECOVERY_CODE = "0123-4567-89AB-CDEF"


@pytest.fixture
def member(place: Place, database: Database) -> Member:
    return Member(place, database)


def test_a_code_is_good_once_and_a_wrong_one_never(
    stack: Stack, member: Member, database: Database, log: LogSocket
) -> None:
    enroll(database, ME)
    code = code_now()
    first = stack.authenticate(wrong_code(), code)
    stack.probe("attempts=1")
    again = stack.authenticate(code)
    assert (PAM_SUCCESS, 2, PAM_AUTH_ERR) == (first.code, first.prompts, again.code)
    assert "This code has already been used." in again.shown
    assert ["rejected", "accepted", "replayed"] == log.events()
    events = database.execute("SELECT event, service FROM totp.events ORDER BY id DESC LIMIT 3")
    assert [(event, "login:auth") for event in ("replayed", "accepted", "rejected")] == events


def test_a_recovery_code_is_good_once(
    stack: Stack, member: Member, database: Database, log: LogSocket
) -> None:
    enroll(database, ME, recovery_salt=RECOVERY_SALT)
    digest = recovery.digest(recovery.normalise(RECOVERY_CODE) or "", RECOVERY_SALT)
    database.execute("INSERT INTO totp.recovery_codes VALUES (%s, %s)", (ME, digest))
    stack.probe("attempts=1")
    first, again = stack.authenticate(RECOVERY_CODE.lower()), stack.authenticate(RECOVERY_CODE)
    assert (PAM_SUCCESS, PAM_AUTH_ERR) == (first.code, again.code)
    assert "It is used up; 0 left." in first.shown
    assert ["recovery_used", "rejected"] == log.events()


def test_unknown_and_suspended_users_see_what_follows_a_wrong_code(
    stack: Stack, member: Member, database: Database
) -> None:
    stack.probe("attempts=1")
    unknown = stack.authenticate(code_now())
    enroll(database, ME, status="suspended")
    suspended = stack.authenticate(code_now())
    assert (PAM_AUTH_ERR, PAM_AUTH_ERR) == (unknown.code, suspended.code)
    assert unknown.shown == suspended.shown
    database.execute("UPDATE totp.users SET status = 'active'")
    assert unknown.shown == stack.authenticate(wrong_code()).shown


def test_after_too_many_wrong_codes_nothing_is_looked_at(
    stack: Stack, member: Member, database: Database, log: LogSocket
) -> None:
    enroll(database, ME, failures=4)
    first = stack.authenticate(wrong_code(), code_now())
    second = stack.authenticate(code_now())
    assert (PAM_AUTH_ERR, PAM_MAXTRIES) == (first.code, second.code)
    assert ["rejected", "throttled"] == log.events()


def test_at_a_console_that_is_trusted_the_database_still_says_who_is_denied(
    stack: Stack, member: Member, database: Database, log: LogSocket
) -> None:
    enroll(database, ME)
    stack.probe("attempts=1", "skip_from=tty")
    at_console = {"tty": "tty1"}
    found = stack.authenticate(items=at_console)
    assert (PAM_IGNORE, 0) == (found.code, found.prompts)
    assert "tty" == fields(log.lines()[-1])["rule"]
    assert PAM_SUCCESS == stack.authenticate(code_now(), items={"tty": "pts/1"}).code
    for change in ("failures = 100", "failures = 0, status = 'suspended'"):
        database.execute(f"UPDATE totp.users SET {change}")
        assert PAM_IGNORE != stack.authenticate(wrong_code(), items=at_console).code
    assert ["skipped", "accepted", "locked", "rejected"] == log.events()


def test_whom_the_local_store_holds_logs_in_without_any_server(
    stack: Stack, member: Member, log: LogSocket
) -> None:
    member.configure(1)  # where nobody listens
    member.place.enrol(ME)
    assert PAM_SUCCESS == stack.authenticate(code_now()).code
    assert ["accepted"] == log.events()


def test_a_host_whose_key_the_fleet_does_not_know_is_refused_at_once(
    stack: Stack, member: Member, database: Database, log: LogSocket
) -> None:
    enroll(database, ME)
    database.execute("DELETE FROM totp.hosts")
    result = stack.authenticate(code_now())
    assert (PAM_AUTHINFO_UNAVAIL, 0) == (result.code, result.prompts)
    assert "Verification codes cannot be checked right now." in result.shown
    (line,) = log.lines()
    assert "this host has not joined the fleet" in fields(line)["reason"]
    assert "totpctl fleet add HOST" in fields(line)["hint"]


def test_a_url_with_a_password_is_denied_and_never_logged(
    stack: Stack, member: Member, database: Database, log: LogSocket
) -> None:
    url = url_of(database).replace("://", "://alice:hunter2@")
    member.place.configure(store=url, fleet_host=member.identity)
    assert PAM_AUTHINFO_UNAVAIL == stack.authenticate(code_now()).code
    assert "hunter2" not in log.text()
