"""Deadlines and rules for groups, as libpam hands them to an application."""

from __future__ import annotations

import grp
import pwd
import time

import pytest

from pam_totp.core.admission import EXEMPT, REQUIRED, GroupRule
from tests.support.days import day
from tests.support.logs import LogSocket, fields
from tests.support.pam_stack import ME, PAM_AUTH_ERR, PAM_IGNORE, PAM_SUCCESS, Stack
from tests.support.place import Place, code_now, wrong_code

MY_GROUP = grp.getgrgid(pwd.getpwnam(ME).pw_gid).gr_name


def rule(place: Place, kind: str, until: int = 0, name: str = MY_GROUP) -> None:
    with place.open() as store:
        store.save_group_rule(GroupRule(name, kind, until))


def test_before_the_deadline_the_unenrolled_get_in_with_a_notice(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    place.configure(unenrolled="skip", unenrolled_until=day(+1))
    first_day = day(+2)
    result = stack.authenticate()
    assert (PAM_IGNORE, 0) == (result.code, result.prompts)
    assert f"From {first_day} on (UTC), you cannot log in here without a" in result.shown
    assert ["skipped"] == log.events()


def test_on_the_last_day_they_still_get_in(stack: Stack, place: Place) -> None:
    place.configure(unenrolled="skip", unenrolled_until=day(0))
    assert PAM_IGNORE == stack.authenticate().code


@pytest.mark.parametrize("until", [day(-1), "1970-01-01", "31.12.2999", "never"])
def test_after_the_deadline_they_are_denied(stack: Stack, place: Place, until: str) -> None:
    stack.probe("attempts=1")
    place.configure(unenrolled="skip", unenrolled_until=until)
    result = stack.authenticate(wrong_code())
    assert (PAM_AUTH_ERR, 1) == (result.code, result.prompts)


def test_the_deadline_may_stand_on_the_pam_line(stack: Stack) -> None:
    stack.probe("nullok", f"unenrolled_until={day(+1)}")
    assert PAM_IGNORE == stack.authenticate().code
    stack.probe("nullok", f"unenrolled_until={day(-1)}", "attempts=1")
    assert PAM_AUTH_ERR == stack.authenticate(wrong_code()).code


def test_a_member_of_a_group_that_is_exempt_is_ignore(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    place.enrol(ME)
    rule(place, EXEMPT, int(time.time()) + 3600)
    assert PAM_IGNORE == stack.authenticate(wrong_code()).code
    line = fields(log.lines()[0])
    assert (MY_GROUP, "exempt group") == (line["group"], line["reason"])


@pytest.mark.parametrize("name", ["no-such-group", "B\u00fccher", "nul\0", ""])
def test_a_rule_for_a_group_that_is_gone_counts_for_nobody(
    stack: Stack, place: Place, name: str
) -> None:
    place.enrol(ME)
    for kind in (EXEMPT, REQUIRED):
        rule(place, kind, name=name)
        assert PAM_SUCCESS == stack.authenticate(code_now(EXEMPT != kind)).code


@pytest.mark.parametrize("exempted", ["exempt_groups", "unenrolled"])
def test_a_required_group_beats_what_would_let_its_members_in(
    stack: Stack, place: Place, exempted: str
) -> None:
    stack.probe("attempts=1")
    settings = {"exempt_groups": MY_GROUP} if exempted == "exempt_groups" else {}
    place.configure(unenrolled="skip", **settings)
    rule(place, REQUIRED)
    assert PAM_AUTH_ERR == stack.authenticate(wrong_code()).code


def test_an_exemption_that_is_over_leaves_the_code(stack: Stack, place: Place) -> None:
    place.enrol(ME, status=EXEMPT, exempt_until=int(time.time()) - 1)
    rule(place, EXEMPT, int(time.time()) - 1)
    assert PAM_SUCCESS == stack.authenticate(code_now()).code
