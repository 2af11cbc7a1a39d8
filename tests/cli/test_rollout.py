"""totpctl require and exempt."""

from __future__ import annotations

import time

import pytest

from pam_totp.core.admission import EXEMPT, REQUIRED
from pam_totp.core.users import ACTIVE, MUST_ENROLL, SUSPENDED
from tests.cli.command import ME, Totpctl
from tests.cli.rollout import AFTER, MY_GROUP, UNTIL, logged, put, put_rule, said, state
from tests.support.days import day
from tests.support.logs import LogSocket
from tests.support.place import Place

# People


def test_require_makes_who_is_not_enrolled_enroll(
    totpctl: Totpctl, place: Place, log: LogSocket
) -> None:
    place.configure(unenrolled="skip")
    result = totpctl.done("require", "bob")
    assert ["bob must enroll (required to), and is denied where that is not possible"] == said(
        result
    )
    assert (MUST_ENROLL, 0) == state(place, "bob")
    assert [{"event": "required", "user": "bob"}] == logged(log)


def test_require_ends_an_exemption(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", status=EXEMPT, exempt_until=AFTER)
    put(place, "bob", EXEMPT)
    result = totpctl.done("require", "alice", "bob")
    assert "alice is asked for a code" == said(result)[0]
    assert (ACTIVE, 0) == state(place, "alice")
    assert (MUST_ENROLL, 0) == state(place, "bob")


def test_require_taken_back_leaves_no_record_behind(
    totpctl: Totpctl, place: Place, log: LogSocket
) -> None:
    place.configure(unenrolled="skip")
    totpctl.done("require", "bob")
    result = totpctl.done("require", "bob", "--remove")
    assert ["bob is not asked for a code (not enrolled)"] == said(result)
    assert None is state(place, "bob")
    assert {"event": "required", "user": "bob", "reason": "removed"} == logged(log)[-1]


@pytest.mark.parametrize("enrolled", [False, True])
def test_exempt_with_a_last_day_holds_until_the_first_second_after_it(
    totpctl: Totpctl, place: Place, log: LogSocket, enrolled: bool
) -> None:
    if enrolled:
        place.enrol("bob")
    result = totpctl.done("exempt", "bob", "--until", UNTIL)
    assert [f"bob is not asked for a code until {UNTIL} (exempt)"] == said(result)
    assert (EXEMPT, AFTER) == state(place, "bob")
    expected = {"event": "exempted", "user": "bob", "reason": f"until {UNTIL}"}
    assert [expected] == logged(log)
    assert enrolled is bool(place.record("bob").authenticators)


def test_exempt_without_a_day_has_no_end(totpctl: Totpctl, place: Place) -> None:
    put(place, "bob", EXEMPT, AFTER)
    assert ["bob is not asked for a code (exempt)"] == said(totpctl.done("exempt", "bob"))
    assert (EXEMPT, 0) == state(place, "bob")


def test_today_may_be_the_last_day(totpctl: Totpctl, place: Place) -> None:
    totpctl.done("exempt", "bob", "--until", day(0))
    record = place.record("bob")
    assert EXEMPT == record.status
    assert record.exempt_until > time.time()


@pytest.mark.parametrize("last", [day(-1), "2099-02-29", "tomorrow", ""])
def test_a_day_that_is_over_or_none_is_a_usage_error(
    totpctl: Totpctl, place: Place, last: str
) -> None:
    result = totpctl("exempt", "bob", "--until", last)
    assert 2 == result.code
    assert "--until" in result.err
    assert None is state(place, "bob")


def test_an_exemption_taken_back_leaves_the_enrolment(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", status=EXEMPT, exempt_until=AFTER)
    put(place, "bob", EXEMPT)
    result = totpctl.done("exempt", "alice", "bob", "--remove")
    assert ["alice is asked for a code", "bob is denied (not enrolled)"] == said(result)
    assert (ACTIVE, 0) == state(place, "alice")
    assert 1 == len(place.record("alice").authenticators)
    assert None is state(place, "bob")


@pytest.mark.parametrize("verb", ["require", "exempt"])
def test_a_suspension_is_not_lifted_and_nobody_else_is_changed(
    totpctl: Totpctl, place: Place, log: LogSocket, verb: str
) -> None:
    place.enrol("carol", status=SUSPENDED)
    result = totpctl(verb, "bob", "carol")
    assert 1 == result.code
    assert [
        "totpctl: error: carol is suspended, and this would lift that",
        "hint: run first: totpctl resume carol",
    ] == said(result)
    assert (None, (SUSPENDED, 0)) == (state(place, "bob"), state(place, "carol"))
    assert [] == log.lines()


@pytest.mark.parametrize("verb", ["require", "exempt"])
@pytest.mark.parametrize("remove", [(), ("--remove",)])
def test_a_mistyped_name_changes_nobody(
    totpctl: Totpctl, place: Place, verb: str, remove: tuple[str, ...]
) -> None:
    result = totpctl(verb, "bob", "bbo", *remove)
    assert 3 == result.code
    assert "there is no user bbo on this machine" in result.err
    assert None is state(place, "bob")


def test_an_account_that_is_gone_can_be_forgotten(totpctl: Totpctl, place: Place) -> None:
    put(place, "gone", EXEMPT)
    result = totpctl.done("exempt", "gone", "--remove")
    assert ["gone has no account on this machine"] == said(result)
    assert None is state(place, "gone")


def test_a_name_that_is_given_twice_is_one_person(
    totpctl: Totpctl, place: Place, log: LogSocket
) -> None:
    totpctl.canonical = {"ALICE": "alice"}
    totpctl.done("exempt", "ALICE", "alice")
    assert ["exempted"] == log.events()


@pytest.mark.parametrize("verb", ["require", "exempt"])
def test_nobody_is_a_usage_error(totpctl: Totpctl, verb: str) -> None:
    result = totpctl(verb)
    assert (2, True) == (result.code, "name a USER, or a group with --group" in result.err)


def test_until_and_remove_exclude_each_other(totpctl: Totpctl) -> None:
    assert 2 == totpctl("exempt", "bob", "--until", UNTIL, "--remove").code


# What changes nothing, and what does not hold


@pytest.mark.parametrize(
    ("status", "arguments", "before"),
    [
        (ACTIVE, ("require",), "alice is asked for a code"),
        (ACTIVE, ("require", "--remove"), "alice is asked for a code"),
        (ACTIVE, ("exempt", "--remove"), "alice is asked for a code"),
        (EXEMPT, ("exempt",), "alice is not asked for a code (exempt)"),
    ],
)
def test_what_was_so_before_is_warned_about_and_not_logged(
    totpctl: Totpctl,
    place: Place,
    log: LogSocket,
    status: str,
    arguments: tuple[str, ...],
    before: str,
) -> None:
    place.enrol("alice", status=status)
    record = place.record("alice")
    result = totpctl.done(*arguments, "alice")
    warning = f"totpctl: warning: this changes nothing: as before, {before}"
    assert [before, warning] == said(result)
    assert [] == log.lines()
    assert record == place.record("alice")


def test_who_is_required_with_their_group_is_warned_about(totpctl: Totpctl, place: Place) -> None:
    put_rule(place, REQUIRED)
    result = totpctl.done("require", ME)
    by_group = f"{ME} must enroll (the group {MY_GROUP} is required to)"
    assert by_group in said(result)[1]
    result = totpctl.done("require", ME, "--remove")
    assert by_group in said(result)[0]


@pytest.mark.parametrize("enrolled", [False, True])
@pytest.mark.parametrize("by", ["rule", "configuration"])
def test_require_says_if_a_group_exempts_all_the_same(
    totpctl: Totpctl, place: Place, enrolled: bool, by: str
) -> None:
    if by == "rule":
        put_rule(place, EXEMPT)
        hint = f"hint: run: totpctl exempt --group {MY_GROUP} --remove"
    else:
        place.configure(exempt_groups=MY_GROUP)
        hint = f"hint: remove {MY_GROUP} from exempt_groups in pam_totp.conf"
    if enrolled:
        place.enrol(ME)
    lines = said(totpctl.done("require", ME))
    exempt = f"{ME} is not asked for a code (the group {MY_GROUP} is exempt)"
    assert f"totpctl: warning: once enrolled, {exempt}" in lines
    assert hint == lines[-1]
    assert enrolled is (exempt in lines)


def test_an_exemption_in_place_of_a_duty_is_warned_about(totpctl: Totpctl, place: Place) -> None:
    put(place, "bob", MUST_ENROLL)
    result = totpctl.done("exempt", "bob", "--until", UNTIL)
    warning = "totpctl: warning: bob no longer has to enroll once the exemption ends"
    assert warning == said(result)[-1]
