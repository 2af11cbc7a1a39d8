"""Every row of the table of outcomes and PAM codes, as libpam hands them to an application."""

from __future__ import annotations

import grp
import pwd
import time

import pytest

from tests.support.logs import LogSocket, fields
from tests.support.pam_stack import (
    ME,
    PAM_AUTH_ERR,
    PAM_IGNORE,
    PAM_MAXTRIES,
    PAM_SUCCESS,
    Stack,
)
from tests.support.place import Place, code_now, wrong_code

RECOVERY_CODE = "0123-4567-89AB-CDEF"


MY_GROUP = grp.getgrgid(pwd.getpwnam(ME).pw_gid).gr_name


def test_right_code_is_success(stack: Stack, place: Place, log: LogSocket) -> None:
    place.enrol(ME)
    assert PAM_SUCCESS == stack.authenticate(code_now()).code
    assert ["accepted"] == log.events()


def test_code_of_the_next_step_is_success(stack: Stack, place: Place) -> None:
    place.enrol(ME)
    assert PAM_SUCCESS == stack.authenticate(code_now(+1)).code


def test_success_is_kept_in_the_store(stack: Stack, place: Place) -> None:
    place.enrol(ME, failures=3)
    stack.authenticate(code_now())
    record = place.record(ME)
    assert 0 == record.failures
    assert int(time.time()) // 30 - 1 <= record.authenticators[0].last_accepted_step


def test_recovery_code_is_success_once(stack: Stack, place: Place, log: LogSocket) -> None:
    stack.probe("attempts=1")
    place.enrol(ME, recovery_codes=(RECOVERY_CODE, "FEDC-BA98-7654-3210"))
    first = stack.authenticate(RECOVERY_CODE.lower())
    again = stack.authenticate(RECOVERY_CODE)
    assert (PAM_SUCCESS, PAM_AUTH_ERR) == (first.code, again.code)
    assert "It is used up; 1 left." in first.shown
    assert ["recovery_used", "rejected"] == log.events()
    assert 1 == len(place.record(ME).recovery_digests)


def test_wrong_code_is_auth_err(stack: Stack, place: Place, log: LogSocket) -> None:
    stack.probe("attempts=1")
    place.enrol(ME)
    assert PAM_AUTH_ERR == stack.authenticate(wrong_code()).code
    assert ["rejected"] == log.events()
    assert 1 == place.record(ME).failures


def test_code_outside_the_window_is_auth_err(stack: Stack, place: Place) -> None:
    stack.probe("attempts=1", "window=0")
    place.enrol(ME)
    assert PAM_AUTH_ERR == stack.authenticate(code_now(+2)).code


def test_replayed_code_is_auth_err(stack: Stack, place: Place, log: LogSocket) -> None:
    stack.probe("attempts=1")
    place.enrol(ME)
    code = code_now(+1)
    first = stack.authenticate(code)
    again = stack.authenticate(code)
    assert (PAM_SUCCESS, PAM_AUTH_ERR) == (first.code, again.code)
    assert "This code has already been used." in again.shown
    assert ["accepted", "replayed"] == log.events()
    assert 0 == place.record(ME).failures


def test_malformed_answer_is_auth_err_and_no_guess(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    stack.probe("attempts=1")
    place.enrol(ME)
    assert PAM_AUTH_ERR == stack.authenticate("open sesame").code
    assert ["malformed"] == log.events()
    assert 0 == place.record(ME).failures


def test_unenrolled_user_is_auth_err_under_deny(stack: Stack, log: LogSocket) -> None:
    stack.probe("attempts=1")
    assert PAM_AUTH_ERR == stack.authenticate(code_now()).code
    assert ["unenrolled", "rejected"] == log.events()


def test_unknown_user_is_auth_err_under_deny(stack: Stack, log: LogSocket) -> None:
    stack.probe("attempts=1")
    assert PAM_AUTH_ERR == stack.authenticate(code_now(), user="no-such-user").code
    assert ["unenrolled", "rejected"] == log.events()


def test_unknown_user_is_auth_err_under_skip_too(stack: Stack, log: LogSocket) -> None:
    stack.probe("attempts=1", "unenrolled=skip")
    assert PAM_AUTH_ERR == stack.authenticate(code_now(), user="no-such-user").code
    assert ["unenrolled", "rejected"] == log.events()


def test_suspended_user_is_auth_err_with_the_right_code(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    stack.probe("attempts=1")
    place.enrol(ME, status="suspended")
    assert PAM_AUTH_ERR == stack.authenticate(code_now()).code
    assert ["rejected"] == log.events()
    assert "suspended" == fields(log.lines()[0])["reason"]


def test_suspended_user_without_an_authenticator_is_not_skipped(stack: Stack, place: Place) -> None:
    stack.probe("nullok", "attempts=1")
    place.enrol(ME, status="suspended")
    with place.open() as store, store.transaction(ME) as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(authenticators=()))
    assert PAM_AUTH_ERR == stack.authenticate(code_now()).code


def test_throttled_user_is_maxtries_with_the_right_code(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    place.enrol(ME, failures=5, throttled_until=int(time.time()) + 30)
    result = stack.authenticate(code_now(), code_now(+1))
    assert (PAM_MAXTRIES, 1) == (result.code, result.prompts)
    assert "Too many wrong codes. Wait " in result.shown
    assert ["throttled"] == log.events()
    assert -1 == place.record(ME).authenticators[0].last_accepted_step


def test_locked_user_is_maxtries_with_the_right_code(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    place.enrol(ME, failures=100)
    result = stack.authenticate(code_now())
    assert (PAM_MAXTRIES, 1) == (result.code, result.prompts)
    assert f"totpctl unlock {ME}" in result.shown
    assert ["locked"] == log.events()


@pytest.mark.parametrize("argument", ["nullok", "unenrolled=skip"])
def test_unenrolled_user_is_ignore_under_skip(stack: Stack, log: LogSocket, argument: str) -> None:
    stack.probe(argument)
    result = stack.authenticate(code_now())
    assert (PAM_IGNORE, 0) == (result.code, result.prompts)
    assert ["skipped"] == log.events()


def test_enrolled_user_is_asked_under_skip(stack: Stack, place: Place) -> None:
    stack.probe("nullok", "attempts=1")
    place.enrol(ME)
    assert PAM_AUTH_ERR == stack.authenticate(wrong_code()).code


def test_member_of_an_exempt_group_is_ignore(stack: Stack, place: Place, log: LogSocket) -> None:
    place.enrol(ME)
    place.configure(exempt_groups=f"no-such-group, {MY_GROUP}")
    result = stack.authenticate(wrong_code())
    assert (PAM_IGNORE, 0) == (result.code, result.prompts)
    assert "exempt group" == fields(log.lines()[0])["reason"]


def test_others_are_not_exempt(stack: Stack, place: Place) -> None:
    stack.probe("attempts=1")
    place.configure(exempt_groups="no-such-group")
    assert PAM_AUTH_ERR == stack.authenticate(wrong_code()).code


def test_exempt_user_is_ignore(stack: Stack, place: Place, log: LogSocket) -> None:
    place.enrol(ME, status="exempt")
    assert PAM_IGNORE == stack.authenticate(wrong_code()).code
    assert "exempt user" == fields(log.lines()[0])["reason"]
