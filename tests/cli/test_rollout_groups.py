"""require --group and exempt --group."""

from __future__ import annotations

import pytest

from pam_totp.core.admission import EXEMPT, REQUIRED, GroupRule
from tests.cli.command import ME, Totpctl
from tests.cli.rollout import (
    AFTER,
    ANOTHER,
    MY_GROUP,
    OVER,
    UNTIL,
    logged,
    put,
    put_rule,
    said,
    state,
)
from tests.support.logs import LogSocket
from tests.support.place import Place


def rules(place: Place) -> tuple[GroupRule, ...]:
    with place.open() as store:
        return store.group_rules()


def test_require_group_binds_its_members(totpctl: Totpctl, place: Place, log: LogSocket) -> None:
    result = totpctl.done("require", "--group", MY_GROUP)
    assert [f"members of {MY_GROUP} who are not enrolled must enroll"] == said(result)
    assert (GroupRule(MY_GROUP, REQUIRED),) == rules(place)
    assert [{"event": "required", "group": MY_GROUP}] == logged(log)


def test_exempt_group_frees_its_members_until_the_last_day(
    totpctl: Totpctl, place: Place, log: LogSocket
) -> None:
    result = totpctl.done("exempt", "--group", MY_GROUP, "--until", UNTIL)
    assert [f"members of {MY_GROUP} are not asked for a code until {UNTIL}"] == said(result)
    assert (GroupRule(MY_GROUP, EXEMPT, AFTER),) == rules(place)
    expected = {"event": "exempted", "reason": f"until {UNTIL}", "group": MY_GROUP}
    assert [expected] == logged(log)


def test_several_groups_and_people_at_once(totpctl: Totpctl, place: Place) -> None:
    totpctl.done("exempt", "alice", "--group", MY_GROUP, "bob", "--group", ANOTHER)
    assert {MY_GROUP, ANOTHER} == {rule.name for rule in rules(place)}
    assert ((EXEMPT, 0), (EXEMPT, 0)) == (state(place, "alice"), state(place, "bob"))


def test_one_rule_takes_the_place_of_the_other(totpctl: Totpctl, place: Place) -> None:
    put_rule(place, EXEMPT, AFTER)
    result = totpctl.done("require", "--group", MY_GROUP)
    assert f"the group {MY_GROUP} is no longer exempt" in said(result)
    assert (GroupRule(MY_GROUP, REQUIRED),) == rules(place)


@pytest.mark.parametrize(("verb", "kind"), [("require", REQUIRED), ("exempt", EXEMPT)])
def test_a_rule_is_taken_away_by_its_own_verb_alone(
    totpctl: Totpctl, place: Place, log: LogSocket, verb: str, kind: str
) -> None:
    other = EXEMPT if kind == REQUIRED else REQUIRED
    put_rule(place, other)
    nothing = f"totpctl: warning: this changes nothing: the group {MY_GROUP} is not {kind}"
    assert [nothing] == said(totpctl.done(verb, "--group", MY_GROUP, "--remove"))
    assert (GroupRule(MY_GROUP, other),) == rules(place)
    assert [] == log.lines()
    put_rule(place, kind)
    result = totpctl.done(verb, "--group", MY_GROUP, "--remove")
    assert [f"the group {MY_GROUP} is no longer {kind}"] == said(result)
    assert () == rules(place)
    assert ["removed"] == [line["reason"] for line in logged(log)]


@pytest.mark.parametrize(("verb", "kind"), [("require", REQUIRED), ("exempt", EXEMPT)])
def test_a_rule_that_is_there_already_is_warned_about(
    totpctl: Totpctl, place: Place, log: LogSocket, verb: str, kind: str
) -> None:
    put_rule(place, kind)
    lines = said(totpctl.done(verb, "--group", MY_GROUP))
    nothing = f"totpctl: warning: this changes nothing: the group {MY_GROUP} is {kind} already"
    assert nothing in lines
    assert [] == log.lines()


@pytest.mark.parametrize("verb", ["require", "exempt"])
def test_a_mistyped_group_changes_none(totpctl: Totpctl, place: Place, verb: str) -> None:
    result = totpctl(verb, "--group", MY_GROUP, "--group", "no-such-group")
    assert 3 == result.code
    assert "totpctl: error: there is no group no-such-group on this machine" in result.err
    assert () == rules(place)


def test_the_rule_of_a_group_that_is_gone_can_be_taken_away(totpctl: Totpctl, place: Place) -> None:
    put_rule(place, REQUIRED, name="no-such-group")
    totpctl.done("require", "--group", "no-such-group", "--remove")
    assert () == rules(place)


def test_who_is_exempt_themselves_is_named_when_their_group_is_required(
    totpctl: Totpctl, place: Place
) -> None:
    put(place, ME, EXEMPT, AFTER)
    put(place, "alice", EXEMPT)
    lines = said(totpctl.done("require", "--group", MY_GROUP))
    assert f"totpctl: warning: exempt personally, and not affected: {ME}" in lines
    put(place, ME, EXEMPT, OVER)
    assert "exempt themselves" not in totpctl.done("require", "--group", MY_GROUP).err


@pytest.mark.parametrize("arguments", [("exempt",), ("exempt", "--remove"), ("require",)])
def test_exempt_groups_of_the_configuration_are_pointed_out(
    totpctl: Totpctl, place: Place, arguments: tuple[str, ...]
) -> None:
    place.configure(exempt_groups=MY_GROUP)
    put_rule(place, EXEMPT, AFTER)
    result = totpctl.done(*arguments, "--group", MY_GROUP)
    then = "the rule overrides that" if "require" in arguments else "its members are exempt anyway"
    assert f"warning: exempt_groups in pam_totp.conf names {MY_GROUP}: {then}" in result.err


def test_a_required_group_is_pointed_out_when_another_is_exempted(
    totpctl: Totpctl, place: Place
) -> None:
    put_rule(place, REQUIRED, name=ANOTHER)
    result = totpctl.done("exempt", "--group", MY_GROUP)
    assert f"this does not apply to members of a required group: {ANOTHER}\n" in result.err
