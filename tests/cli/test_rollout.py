"""totpctl require and exempt."""

from __future__ import annotations

import grp
import pwd
import re
from datetime import UTC, datetime, timedelta

import pytest

from pam_totp.admission import EXEMPT, REQUIRED, GroupRule
from pam_totp.verifier import ACTIVE, MUST_ENROLL, SUSPENDED, UserRecord
from tests.cli.command import ME, Result, Totpctl
from tests.support.logs import LogSocket, fields
from tests.support.place import Place

UNTIL = "2099-01-31"
AFTER = 4_073_587_200  # the first second of 2099-02-01
OVER = 1_599_955_200  # the first second of 2020-09-13
MY_GROUP = grp.getgrgid(pwd.getpwnam(ME).pw_gid).gr_name
ANOTHER = next(group.gr_name for group in grp.getgrall() if group.gr_name != MY_GROUP)


def put(place: Place, user: str, status: str, until: int = 0) -> None:
    with place.open() as store, store.transaction(user) as transaction:
        before = transaction.record or UserRecord(user)
        transaction.save(before._replace(status=status, exempt_until=until))


def put_rule(place: Place, kind: str, until: int = 0, name: str = MY_GROUP) -> None:
    with place.open() as store:
        store.save_group_rule(GroupRule(name, kind, until))


def rules(place: Place) -> tuple[GroupRule, ...]:
    with place.open() as store:
        return store.group_rules()


def state(place: Place, user: str) -> tuple[str, int] | None:
    with place.open() as store:
        record = store.load(user)
    return None if record is None else (record.status, record.exempt_until)


def logged(log: LogSocket) -> list[dict[str, str]]:
    return [
        {key: value for key, value in fields(line).items() if key not in ("by", "module")}
        for line in log.lines()
    ]


def said(result: Result) -> list[str]:
    assert "" == result.out
    return result.err.splitlines()


# People


def test_require_makes_who_is_not_enrolled_enroll(
    totpctl: Totpctl, place: Place, log: LogSocket
) -> None:
    place.configure(unenrolled="skip")
    result = totpctl.done("require", "bob")
    assert ["bob must enroll (required to), and is denied where a login cannot do that"] == said(
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
    assert ["bob is asked for no code (not enrolled)"] == said(result)
    assert None is state(place, "bob")
    assert {"event": "required", "user": "bob", "reason": "removed"} == logged(log)[-1]


@pytest.mark.parametrize("enrolled", [False, True])
def test_exempt_with_a_last_day_holds_until_the_first_second_after_it(
    totpctl: Totpctl, place: Place, log: LogSocket, enrolled: bool
) -> None:
    if enrolled:
        place.enrol("bob")
    result = totpctl.done("exempt", "bob", "--until", UNTIL)
    assert [f"bob is asked for no code until {UNTIL} (exempt)"] == said(result)
    assert (EXEMPT, AFTER) == state(place, "bob")
    expected = {"event": "exempted", "user": "bob", "reason": f"until {UNTIL}"}
    assert [expected] == logged(log)
    assert enrolled is bool(place.record("bob").authenticators)


def test_exempt_without_a_day_has_no_end(totpctl: Totpctl, place: Place) -> None:
    put(place, "bob", EXEMPT, AFTER)
    assert ["bob is asked for no code (exempt)"] == said(totpctl.done("exempt", "bob"))
    assert (EXEMPT, 0) == state(place, "bob")


def test_today_may_be_the_last_day(totpctl: Totpctl, place: Place) -> None:
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    totpctl.done("exempt", "bob", "--until", today)
    record = place.record("bob")
    assert EXEMPT == record.status
    assert record.exempt_until > datetime.now(UTC).timestamp()


@pytest.mark.parametrize(
    "day", [(datetime.now(UTC) - timedelta(1)).strftime("%Y-%m-%d"), "2099-02-29", "tomorrow", ""]
)
def test_a_day_that_is_over_or_none_is_a_usage_error(
    totpctl: Totpctl, place: Place, day: str
) -> None:
    result = totpctl("exempt", "bob", "--until", day)
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
        "totpctl: error: carol is suspended, which this would lift",
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
        (EXEMPT, ("exempt",), "alice is asked for no code (exempt)"),
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
    warning = f"totpctl: warning: this changes nothing: before, too, {before}"
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
        hint = f"hint: take {MY_GROUP} out of exempt_groups in pam_totp.conf"
    if enrolled:
        place.enrol(ME)
    lines = said(totpctl.done("require", ME))
    exempt = f"{ME} is asked for no code (the group {MY_GROUP} is exempt)"
    assert f"totpctl: warning: once enrolled, {exempt}" in lines
    assert hint == lines[-1]
    assert enrolled is (exempt in lines)


def test_an_exemption_in_place_of_a_duty_is_warned_about(totpctl: Totpctl, place: Place) -> None:
    put(place, "bob", MUST_ENROLL)
    result = totpctl.done("exempt", "bob", "--until", UNTIL)
    warning = "totpctl: warning: bob had to enroll; when the exemption ends, that holds no more"
    assert warning == said(result)[-1]


# Groups


def test_require_group_binds_its_members(totpctl: Totpctl, place: Place, log: LogSocket) -> None:
    result = totpctl.done("require", "--group", MY_GROUP)
    assert [f"members of {MY_GROUP} who are not enrolled must enroll"] == said(result)
    assert (GroupRule(MY_GROUP, REQUIRED),) == rules(place)
    assert [{"event": "required", "group": MY_GROUP}] == logged(log)


def test_exempt_group_frees_its_members_until_the_last_day(
    totpctl: Totpctl, place: Place, log: LogSocket
) -> None:
    result = totpctl.done("exempt", "--group", MY_GROUP, "--until", UNTIL)
    assert [f"members of {MY_GROUP} are asked for no code until {UNTIL}"] == said(result)
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
    assert f"the group {MY_GROUP} is exempt no more" in said(result)
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
    assert [f"the group {MY_GROUP} is {kind} no more"] == said(result)
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
    assert f"totpctl: warning: exempt themselves, and not bound by this: {ME}" in lines
    put(place, ME, EXEMPT, OVER)
    assert "exempt themselves" not in totpctl.done("require", "--group", MY_GROUP).err


@pytest.mark.parametrize("arguments", [("exempt",), ("exempt", "--remove"), ("require",)])
def test_exempt_groups_of_the_configuration_are_pointed_out(
    totpctl: Totpctl, place: Place, arguments: tuple[str, ...]
) -> None:
    place.configure(exempt_groups=MY_GROUP)
    put_rule(place, EXEMPT, AFTER)
    result = totpctl.done(*arguments, "--group", MY_GROUP)
    then = "the rule counts, not that" if "require" in arguments else "that exempts its members"
    assert f"warning: exempt_groups in pam_totp.conf names {MY_GROUP}: {then}" in result.err


def test_a_required_group_is_pointed_out_when_another_is_exempted(
    totpctl: Totpctl, place: Place
) -> None:
    put_rule(place, REQUIRED, name=ANOTHER)
    result = totpctl.done("exempt", "--group", MY_GROUP)
    assert f"not so for members of a group that is required: {ANOTHER}\n" in result.err


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
    line = (
        f"at a login      {ME} is asked for no code until {UNTIL} (the group {MY_GROUP} is exempt)"
    )
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
