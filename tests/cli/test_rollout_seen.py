"""Exemptions and duties in list and show, and what other commands do about them."""

from __future__ import annotations

import re

import pytest

from pam_totp.core.admission import EXEMPT, REQUIRED
from pam_totp.core.users import ACTIVE, MUST_ENROLL, SUSPENDED
from tests.cli.command import ME, Totpctl
from tests.cli.rollout import AFTER, ANOTHER, MY_GROUP, OVER, UNTIL, put, put_rule, state
from tests.support.place import Place

# Seen in list and show


def test_list_shows_exemptions_and_rules_with_their_last_day(
    totpctl: Totpctl, place: Place
) -> None:
    put(place, "alice", EXEMPT, AFTER)
    put(place, "bob", EXEMPT, OVER)
    put(place, "carol", MUST_ENROLL)
    put_rule(place, EXEMPT, AFTER)
    put_rule(place, EXEMPT, OVER, name=ANOTHER)
    put_rule(place, REQUIRED, name="no-such-group")
    lines = [re.split(r" {2,}", line) for line in totpctl.done("list").out.splitlines()]
    people, groups = lines[1:4], lines[6:]
    assert [
        ["alice", f"exempt until {UNTIL}", "-", "0", "never"],
        ["bob", "exempt, ended 2020-09-12", "-", "0", "never"],
        ["carol", "must_enroll", "-", "0", "never"],
    ] == people
    assert [""] == lines[4]
    assert ["GROUP", "RULE"] == lines[5]
    assert (
        sorted(
            [
                [MY_GROUP, f"exempt until {UNTIL}"],
                [ANOTHER, "exempt, ended 2020-09-12"],
                ["no-such-group", "required; there is no such group"],
            ]
        )
        == groups
    )


def test_list_shows_rules_where_nobody_has_a_record(totpctl: Totpctl, place: Place) -> None:
    put_rule(place, REQUIRED)
    assert ["GROUP", "RULE", MY_GROUP, "required"] == totpctl.done("list").out.split()
    assert [] == totpctl.done("list", "--json").json()


def test_json_has_the_first_second_after_an_exemption(totpctl: Totpctl, place: Place) -> None:
    put(place, "alice", EXEMPT, AFTER)
    put(place, "bob", EXEMPT)
    put(place, "carol", SUSPENDED, AFTER)
    listed = totpctl.done("list", "--json").json()
    assert ["2099-02-01T00:00:00Z", None, None] == [user["exempt_until"] for user in listed]
    assert "2099-02-01T00:00:00Z" == totpctl.done("show", "alice", "--json").json()["exempt_until"]


def test_show_says_what_a_login_meets(totpctl: Totpctl, place: Place) -> None:
    place.enrol(ME)
    assert f"at a login      {ME} is asked for a code\n" in totpctl.done("show", ME).out
    put_rule(place, EXEMPT, AFTER)
    said = f"{ME} is not asked for a code until {UNTIL} (the group {MY_GROUP} is exempt)"
    line = f"at a login      {said}"
    assert line in totpctl.done("show", ME).out.splitlines()
    put(place, ME, SUSPENDED)
    assert "is suspended: denied, whatever the code\n" in totpctl.done("show", ME).out


# With the other commands


def test_whoever_has_to_enroll_cannot_be_removed_out_of_it(totpctl: Totpctl, place: Place) -> None:
    put(place, "bob", MUST_ENROLL)
    result = totpctl("remove", "bob", "--yes")
    assert 1 == result.code
    assert "hint: run: totpctl require bob --remove\n" in result.err
    assert (MUST_ENROLL, 0) == state(place, "bob")


def test_the_question_before_a_removal_names_the_exemption(totpctl: Totpctl, place: Place) -> None:
    place.enrol("alice", status=EXEMPT)
    totpctl.done("remove", "alice", "--yes")
    assert None is state(place, "alice")


@pytest.mark.parametrize("status", [MUST_ENROLL, EXEMPT])
def test_a_suspension_does_not_end_in_nobody_having_to_enroll(
    totpctl: Totpctl, place: Place, status: str
) -> None:
    put(place, "bob", status, AFTER)
    totpctl.done("suspend", "bob")
    assert (SUSPENDED, 0) == state(place, "bob")
    assert "bob is must_enroll\n" == totpctl.done("resume", "bob").err
    assert (MUST_ENROLL, 0) == state(place, "bob")


@pytest.mark.parametrize("arguments", [("enroll", "--label=new"), ("reset", "--yes")])
@pytest.mark.parametrize(
    ("status", "until", "after"),
    [
        (EXEMPT, OVER, (ACTIVE, 0)),
        (MUST_ENROLL, 0, (ACTIVE, 0)),
        (EXEMPT, AFTER, (EXEMPT, AFTER)),
        (EXEMPT, 0, (EXEMPT, 0)),
    ],
)
def test_who_is_enrolled_is_active_but_for_an_exemption_that_lasts(
    totpctl: Totpctl,
    place: Place,
    arguments: tuple[str, ...],
    status: str,
    until: int,
    after: tuple[str, int],
) -> None:
    place.enrol("alice", status=status, exempt_until=until)
    totpctl.done(*arguments, "alice", "--no-confirm")
    assert after == state(place, "alice")
