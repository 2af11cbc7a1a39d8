"""Every row of the table of who is asked, skipped, enrolled or denied."""

from __future__ import annotations

from itertools import compress, permutations, product

import pytest

from pam_totp.core.admission import (
    ASK,
    DENY,
    ENROLL,
    EXEMPT,
    REQUIRED,
    SKIP,
    Admission,
    GroupRule,
    Groups,
    admit,
    groups_that_count,
    is_settled,
)
from pam_totp.core.users import ACTIVE, MUST_ENROLL, STATUSES, SUSPENDED, Authenticator, UserRecord
from pam_totp.login import messages
from pam_totp.system.config import Config
from tests.support.each import each

NOW = 1_800_000_000
PHONE = (Authenticator("id", "phone", None),)
ENDED = (1, NOW - 1, NOW)
LASTING = (0, NOW + 1, 2**40)
STRICT, LENIENT = Config(), Config(unenrolled=SKIP)

exempt, required = GroupRule("robots", EXEMPT), GroupRule("staff", REQUIRED)
BOTH = ("robots", "staff")
BY_ROBOTS = Admission(SKIP, "exempt group", group="robots", by_absence=True)
BY_STAFF = Admission(ENROLL, "required group", group="staff", by_absence=True)
NOT_ENROLLED = Admission(SKIP, "not enrolled", by_absence=True)


def user(status: str = ACTIVE, *, enrolled: bool = False, until: int = 0) -> UserRecord:
    return UserRecord("alice", status, authenticators=PHONE if enrolled else (), exempt_until=until)


def admission(
    record: UserRecord | None,
    *rules: GroupRule,
    member_of: tuple[str, ...] = BOTH,
    unknown: tuple[str, ...] = (),
    problem: str = "",
    settings: Config = STRICT,
    now: int = NOW,
) -> Admission:
    return admit(record, rules, Groups(member_of, unknown, problem), settings, now)


# Without rules


@pytest.mark.parametrize("settings", [STRICT, LENIENT, Config(unenrolled=ENROLL)])
def test_whoever_is_enrolled_is_asked(settings: Config) -> None:
    assert Admission(ASK) == admission(user(enrolled=True), settings=settings)


@pytest.mark.parametrize("record", [None, user()])
def test_of_the_unenrolled_the_configuration_decides(record: UserRecord | None) -> None:
    assert Admission(DENY, "not enrolled") == admission(record)
    must_enrol = Admission(ENROLL, "not enrolled", by_absence=True)
    assert must_enrol == admission(record, settings=Config(unenrolled=ENROLL))
    assert NOT_ENROLLED == admission(record, settings=LENIENT)


def test_before_the_deadline_the_unenrolled_are_skipped_until_then() -> None:
    settings = LENIENT._replace(unenrolled_until=1_801_440_000)
    last = admission(None, settings=settings, now=1_801_440_000 - 1)
    assert NOT_ENROLLED._replace(until=1_801_440_000) == last
    assert (
        "From 2027-02-01 on (UTC), you cannot log in here without a verification code. "
        "Ask an administrator to enroll you before that day."
    ) == messages.needed_from(last.until)


@pytest.mark.parametrize("now", [1_801_440_000, 2**40])
def test_from_the_deadline_on_the_unenrolled_are_denied(now: int) -> None:
    settings = LENIENT._replace(unenrolled_until=1_801_440_000)
    assert Admission(DENY, "not enrolled in time") == admission(None, settings=settings, now=now)
    assert Admission(ASK) == admission(user(enrolled=True), settings=settings, now=now)


@pytest.mark.parametrize("unenrolled", [DENY, ENROLL])
def test_a_deadline_lets_nobody_in_who_is_not_skipped(unenrolled: str) -> None:
    settings = Config(unenrolled=unenrolled, unenrolled_until=2**40)
    assert unenrolled == admission(None, settings=settings).kind


# A user's own status

RULES = [(), (exempt,), (required,), (exempt, required)]
SETTINGS = [STRICT, LENIENT, Config(unenrolled=ENROLL, exempt_groups=("robots",))]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("enrolled", [False, True])
class TestOwnStatus:
    """It beats every rule and every setting."""

    @pytest.mark.parametrize("until", LASTING)
    def test_an_exempt_user_is_skipped(
        self, rules: tuple[GroupRule, ...], settings: Config, enrolled: bool, until: int
    ) -> None:
        record = user(EXEMPT, enrolled=enrolled, until=until)
        expected = Admission(SKIP, "exempt user", until=until)
        assert expected == admission(record, *rules, settings=settings)

    @pytest.mark.parametrize("until", ENDED)
    def test_an_exemption_that_has_ended_counts_as_none(
        self, rules: tuple[GroupRule, ...], settings: Config, enrolled: bool, until: int
    ) -> None:
        record = user(EXEMPT, enrolled=enrolled, until=until)
        expected = admission(user(enrolled=enrolled), *rules, settings=settings)
        assert expected == admission(record, *rules, settings=settings)

    def test_a_suspended_user_is_refused(
        self, rules: tuple[GroupRule, ...], settings: Config, enrolled: bool
    ) -> None:
        """ASK: the verifier refuses whoever is suspended, and counts."""
        record = user(SUSPENDED, enrolled=enrolled)
        kind = ASK if enrolled else DENY
        assert Admission(kind, "suspended") == admission(record, *rules, settings=settings)

    def test_whoever_must_enrol_has_to(
        self, rules: tuple[GroupRule, ...], settings: Config, enrolled: bool
    ) -> None:
        record = user(MUST_ENROLL, enrolled=enrolled)
        expected = Admission(ENROLL, "must enroll", by_absence=True)
        expected = Admission(ASK, "must enroll") if enrolled else expected
        assert expected == admission(record, *rules, settings=settings)


# Groups


@each("settings", [STRICT, LENIENT, Config(exempt_groups=("robots",))])
@each("record", [None, user()])
def test_a_group_that_is_required_beats_one_that_is_exempt(
    record: UserRecord | None, settings: Config
) -> None:
    for rules in permutations((exempt, required, GroupRule("a", EXEMPT), GroupRule("z", EXEMPT))):
        found = admission(record, *rules, member_of=("a", "robots", "staff", "z"))
        assert BY_STAFF == found
        assert BY_STAFF == admission(record, *rules, settings=settings)
    assert Admission(ASK) == admission(user(enrolled=True), exempt, required, settings=settings)


@pytest.mark.parametrize("record", [None, user(), user(enrolled=True)])
def test_members_of_an_exempt_group_are_skipped(record: UserRecord | None) -> None:
    assert BY_ROBOTS == admission(record, exempt)
    assert BY_ROBOTS == admission(record, settings=Config(exempt_groups=("x", "robots")))


@pytest.mark.parametrize("until", LASTING)
def test_a_group_is_exempt_until_its_day_is_over(until: int) -> None:
    assert BY_ROBOTS._replace(until=until) == admission(None, exempt._replace(until=until))


@each("until", ENDED)
@each("settings", [STRICT, LENIENT])
def test_an_exemption_of_a_group_that_has_ended_counts_as_none(
    until: int, settings: Config
) -> None:
    rule = exempt._replace(until=until)
    assert admission(None, settings=settings) == admission(None, rule, settings=settings)
    assert Admission(ASK) == admission(user(enrolled=True), rule, settings=settings)


def test_exempt_groups_of_the_configuration_outlast_a_rule_that_has_ended() -> None:
    settings = Config(exempt_groups=("robots",))
    assert BY_ROBOTS == admission(None, exempt._replace(until=NOW), settings=settings)


@each(
    ("ends", "group", "until"),
    [
        ((NOW + 1, NOW + 2), "b", NOW + 2),
        ((NOW + 2, NOW + 1), "a", NOW + 2),
        ((NOW + 1, 0), "b", 0),
        ((0, NOW + 1), "a", 0),
        ((0, 0), "a", 0),
        ((NOW, NOW + 1), "b", NOW + 1),
    ],
)
def test_of_several_exemptions_the_one_that_ends_last_is_named(
    ends: tuple[int, int], group: str, until: int
) -> None:
    rules = [GroupRule(name, EXEMPT, end) for name, end in zip("ab", ends, strict=True)]
    found = admission(None, *rules, member_of=("a", "b"))
    assert BY_ROBOTS._replace(group=group, until=until) == found


@each("rules", RULES)
@each("record", [None, user(), user(enrolled=True)])
def test_a_rule_counts_for_members_alone(
    record: UserRecord | None, rules: tuple[GroupRule, ...]
) -> None:
    settings = LENIENT._replace(exempt_groups=("robots",))
    expected = admission(record, member_of=(), settings=settings)
    assert expected == admission(record, *rules, member_of=("wheel",), settings=settings)


def test_membership_matters_of_every_group_with_a_rule_and_every_exempt_one() -> None:
    settings = Config(exempt_groups=("backup",))
    assert ("robots", "staff", "backup") == groups_that_count((exempt, required), settings)
    assert () == groups_that_count((), Config())


# All of it


def test_nobody_is_let_in_or_enrols_for_what_may_be_missing_unless_it_is_looked_for() -> None:
    """What damage takes out of the store never becomes an unchecked way in."""
    records = [None] + [
        user(status, enrolled=enrolled) for status, enrolled in product(STATUSES, (False, True))
    ]
    for record, rules, settings in product(records, RULES, SETTINGS):
        found = admission(record, *rules, settings=settings)
        own = record is not None and record.status == EXEMPT
        assert (found.kind == ENROLL or (found.kind == SKIP and not own)) == found.by_absence


# A directory that does not answer


def test_nobody_is_skipped_while_a_required_group_cannot_be_looked_up() -> None:
    """Its members would come in with the password alone."""
    unknown = Admission(
        DENY, "not enrolled, and a required group cannot be looked up", group="staff"
    )
    found = admission(None, required, member_of=(), unknown=BOTH, settings=LENIENT)
    assert unknown == found


@pytest.mark.parametrize("settings", [STRICT, LENIENT])
def test_a_group_that_cannot_be_looked_up_keeps_nobody_out_who_has_a_code_or_an_exemption(
    settings: Config,
) -> None:
    rules, nowhere = (exempt, required), {"member_of": ("robots",), "unknown": ("staff",)}
    assert BY_ROBOTS == admission(None, *rules, settings=settings, **nowhere)
    nowhere["member_of"] = ()
    assert Admission(ASK) == admission(user(enrolled=True), *rules, settings=settings, **nowhere)
    of_own = admission(user(EXEMPT), *rules, settings=settings, **nowhere)
    assert Admission(SKIP, "exempt user") == of_own


def test_an_exempt_group_that_cannot_be_looked_up_keeps_nobody_out() -> None:
    found = admission(None, exempt, member_of=(), unknown=("robots",), settings=LENIENT)
    assert NOT_ENROLLED == found


HANGS = {"member_of": (), "problem": "it hangs"}


@each("settings", [STRICT, LENIENT, Config(exempt_groups=("robots",))])
@each("rules", [(required,), (exempt, required), (exempt,)])
def test_whoever_has_a_code_is_asked_for_it_while_the_directory_hangs(
    rules: tuple[GroupRule, ...], settings: Config
) -> None:
    record = user(enrolled=True)
    assert Admission(ASK) == admission(record, *rules, settings=settings, **HANGS)


def test_nobody_is_exempt_who_may_be_a_member_of_a_required_group() -> None:
    """Of robots for certain; of staff, which beats it, perhaps."""
    hangs = {"member_of": ("robots",), "problem": "it hangs"}
    denied = Admission(
        DENY, "not enrolled, and a required group cannot be looked up", group="staff"
    )
    for settings in (STRICT, LENIENT):
        assert denied == admission(None, exempt, required, settings=settings, **hangs)
        by_file = settings._replace(exempt_groups=("robots",))
        assert denied == admission(None, required, settings=by_file, **hangs)
        assert BY_ROBOTS == admission(None, exempt, settings=settings, **hangs)
    assert Admission(ASK) == admission(user(enrolled=True), exempt, required, **hangs)


def test_members_of_a_required_group_enrol_while_the_directory_hangs() -> None:
    hangs = {"member_of": ("staff",), "problem": "it hangs"}
    assert BY_STAFF == admission(None, exempt, required, settings=LENIENT, **hangs)


GROUPS = ("a", "b", "c")
KINDS = (None, GroupRule("", EXEMPT), GroupRule("", REQUIRED), GroupRule("", EXEMPT, NOW))


def subsets() -> list[tuple[str, ...]]:
    return [tuple(compress(GROUPS, chosen)) for chosen in product((0, 1), repeat=3)]


@each("unenrolled", [SKIP, DENY, ENROLL])
@each("exempt_groups", [(), ("a",)])
def test_a_directory_that_does_not_answer_never_admits_more_than_any_answer(
    unenrolled: str, exempt_groups: tuple[str, ...]
) -> None:
    """And where the files settle it, no answer could have changed what happens."""
    settings = Config(unenrolled=unenrolled, exempt_groups=exempt_groups)
    for kinds in product(KINDS, repeat=3):
        rules = tuple(
            kind._replace(name=name) for kind, name in zip(kinds, GROUPS, strict=True) if kind
        )
        for record, known in product((None, user(enrolled=True)), subsets()):
            possible = {
                admission(record, *rules, member_of=all_of_them, settings=settings).kind
                for all_of_them in subsets()
                if set(known) <= set(all_of_them)
            }
            found = admission(
                record, *rules, member_of=known, problem="it hangs", settings=settings
            )
            if found.kind == SKIP:
                assert {SKIP} == possible
            if found.kind == ENROLL:
                assert ENROLL in possible
            if is_settled(rules, known, settings, NOW):
                assert {found.kind} == possible
