"""Deadlines, exemptions that end, and rules for groups, as a login meets them. bob is in staff."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable

import pytest

from pam_totp.core.admission import EXEMPT, REQUIRED, GroupRule, Groups
from pam_totp.core.users import ACTIVE, MUST_ENROLL, SUSPENDED, UserRecord
from pam_totp.login import membership
from pam_totp.store import is_missing
from pam_totp.store.sqlite import lasting_files
from pam_totp.store.sqlite.database import Database
from pam_totp.store.sqlite.store import SQLiteStore
from pam_totp.system.errors import StoreCorrupt
from tests.support.logs import fields
from tests.support.place import code_at, wrong_code
from tests.unit.door import Door, Login
from tests.unit.fake_pam import PamException
from tests.unit.front_door import FrontDoor, is_offered

PAM_SILENT = 0x8000
DEADLINE = 1_801_440_000  # the first second of 2027-02-01
SKIPPING = ("unenrolled=skip", "unenrolled_until=2027-01-31")
NOTICE = (
    "From 2027-02-01 on (UTC), you cannot log in here without a verification code. "
    "Ask an administrator to enroll you before that day."
)


def rule(door: Door, kind: str, until: int = 0, name: str = "staff") -> None:
    with door.place.open() as store:
        store.save_group_rule(GroupRule(name, kind, until))


def record(door: Door, user: str, status: str, until: int = 0) -> None:
    with door.place.open() as store, store.transaction(user) as transaction:
        before = transaction.record or UserRecord(user)
        transaction.save(before._replace(status=status, exempt_until=until))


def guess(door: Door, user: str = "bob", argv: tuple[str, ...] = ("nullok",)) -> Login:
    return door.login(wrong_code(), user=user, argv=(*argv, "attempts=1"))


def last_line(door: Door) -> dict[str, str]:
    return fields(door.log.lines()[-1])


def right_code(door: Door) -> str:
    return code_at(door.clock.now)


# The deadline


@pytest.mark.parametrize("seconds", [1, 86_400, 30 * 86_400])
def test_before_the_deadline_a_notice_says_what_will_be_and_whom_to_ask(
    door: Door, seconds: int
) -> None:
    door.clock.now = DEADLINE - seconds
    entered = door.login(user="bob", argv=SKIPPING)
    assert ("PAM_IGNORE", [], [NOTICE]) == (
        entered.result,
        entered.pamh.prompts,
        entered.messages,
    )
    assert "not enrolled" == last_line(door)["reason"]


@pytest.mark.parametrize("seconds", [0, 0.5, 10**9])
def test_from_the_deadline_on_the_unenrolled_are_denied(door: Door, seconds: float) -> None:
    door.clock.now = DEADLINE + seconds
    assert "PAM_AUTH_ERR" == guess(door, argv=SKIPPING).result
    line = fields(door.log.lines()[0])
    assert ("unenrolled", "not enrolled in time") == (line["event"], line["reason"])


def test_whoever_is_enrolled_hears_of_no_deadline(door: Door) -> None:
    door.clock.now = DEADLINE - 1
    entered = door.login(right_code(door), argv=SKIPPING)
    assert ("PAM_SUCCESS", []) == (entered.result, entered.messages)


def test_a_quiet_application_shows_no_notice_and_lets_in(door: Door) -> None:
    door.clock.now = DEADLINE - 1
    for argv, flags in (((*SKIPPING, "quiet"), 0), (SKIPPING, PAM_SILENT)):
        entered = door.login(user="bob", argv=argv, flags=flags)
        assert ("PAM_IGNORE", []) == (entered.result, entered.pamh.transcript)


def test_a_bad_deadline_denies_and_is_logged(door: Door) -> None:
    entered = guess(door, argv=("unenrolled=skip", "unenrolled_until=31.01.2027"))
    assert "PAM_AUTH_ERR" == entered.result
    assert "unenrolled_until must be a day" in fields(door.log.lines()[0])["detail"]


# Exemptions that end


def test_an_enrolled_user_whose_exemption_has_ended_logs_in_with_a_code(door: Door) -> None:
    until = int(door.clock.now) + 10
    record(door, "alice", EXEMPT, until)
    assert "PAM_IGNORE" == door.login().result
    door.clock.now = until
    assert "PAM_AUTH_ERR" == guess(door, "alice").result
    assert "PAM_SUCCESS" == door.login(right_code(door)).result
    line = last_line(door)
    assert ("accepted", None) == (line["event"], line.get("reason"))


def test_whoever_is_exempted_while_they_type_is_not_refused(door: Door) -> None:
    slow = door.meanwhile(right_code(door), lambda: record(door, "alice", EXEMPT))
    assert "PAM_SUCCESS" == door.login(slow).result


@pytest.mark.parametrize(
    ("argv", "result"), [(("nullok",), "PAM_IGNORE"), (("unenrolled=deny",), "PAM_AUTH_ERR")]
)
def test_of_an_unenrolled_user_whose_exemption_has_ended_the_configuration_decides(
    door: Door, argv: tuple[str, ...], result: str
) -> None:
    record(door, "bob", EXEMPT, int(door.clock.now))
    assert result == guess(door, argv=argv).result


# Groups


def test_a_member_of_an_exempt_group_is_not_asked(door: Door) -> None:
    rule(door, EXEMPT)
    for enrolled in (False, True):
        if enrolled:
            door.place.enrol("bob")
        entered = door.login(user="bob")
        assert ("PAM_IGNORE", []) == (entered.result, entered.pamh.transcript)
        line = last_line(door)
        assert ("skipped", "staff", "exempt group") == (
            line["event"],
            line["group"],
            line["reason"],
        )
    assert "PAM_AUTH_ERR" == guess(door, "alice").result


def test_a_group_whose_exemption_has_ended_is_asked(door: Door) -> None:
    rule(door, EXEMPT, int(door.clock.now))
    assert "PAM_AUTH_ERR" == guess(door, argv=()).result


@pytest.mark.parametrize("argv", [("nullok",), ("exempt_groups=staff",), SKIPPING])
def test_a_member_of_a_required_group_is_neither_skipped_nor_exempt(
    door: Door, argv: tuple[str, ...]
) -> None:
    rule(door, REQUIRED)
    assert "PAM_AUTH_ERR" == guess(door, argv=argv).result
    line = fields(door.log.lines()[0])
    assert ("unenrolled", "staff", "required group") == (
        line["event"],
        line["group"],
        line["reason"],
    )
    door.place.enrol("bob")
    assert "PAM_SUCCESS" == door.login(right_code(door), user="bob", argv=argv).result


@pytest.mark.parametrize("name", ["gone", "nul\0", "ü", ""])
def test_a_rule_for_a_group_that_cannot_be_looked_up_lets_nobody_in(door: Door, name: str) -> None:
    """A directory that does not answer must not free the members of a required group."""
    rule(door, EXEMPT, name=name)
    assert ("PAM_AUTH_ERR", "PAM_IGNORE") == (guess(door, argv=()).result, guess(door).result)
    rule(door, REQUIRED, name=name)
    assert "PAM_AUTH_ERR" == guess(door).result
    line = fields(door.log.lines()[-2])
    reason = "not enrolled, and a required group cannot be looked up"
    assert ("unenrolled", reason) == (line["event"], line["reason"])


@pytest.mark.parametrize("status", [SUSPENDED, MUST_ENROLL])
@pytest.mark.parametrize("exempted_by", ["rule", "configuration"])
def test_an_exempt_group_frees_nobody_who_is_suspended_or_must_enrol(
    door: Door, status: str, exempted_by: str
) -> None:
    argv = ("exempt_groups=staff", "nullok") if exempted_by == "configuration" else ("nullok",)
    if exempted_by == "rule":
        rule(door, EXEMPT)
    record(door, "bob", status)
    assert "PAM_AUTH_ERR" == guess(door, argv=argv).result


def test_a_person_exempt_is_not_bound_by_the_group(door: Door) -> None:
    rule(door, REQUIRED)
    record(door, "bob", EXEMPT)
    assert "PAM_IGNORE" == door.login(user="bob").result


def test_names_that_no_group_can_have_are_no_groups() -> None:
    me = pwd.getpwuid(os.getuid())
    mine = grp.getgrgid(me.pw_gid).gr_name
    names = ("nul\0", "\udcff", "", "no-such-group", mine, "B\u00fccher")
    assert (mine,) == membership.groups_among(me, names).member_of


def test_the_directory_is_asked_while_no_store_is_open(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take its time, and a login that holds the store cannot be stopped by its caller."""
    rule(door, EXEMPT)
    open_then: list[bool] = []
    ask = membership.groups_among

    def watch(entry: pwd.struct_passwd, names: tuple[str, ...]) -> Groups:
        with lasting_files.kept_from_opening(str(door.place.store_path)) as is_open_here:
            open_then.append(is_open_here)
        return ask(entry, names)

    monkeypatch.setattr(membership, "groups_among", watch)
    assert "PAM_AUTH_ERR" == guess(door, "carol", argv=()).result
    assert [False] == open_then


@pytest.mark.parametrize("kind", [EXEMPT, REQUIRED])
@pytest.mark.parametrize("unenrolled", ["deny", "skip"])
def test_a_directory_is_asked_for_the_enrolled_as_for_all_others(
    door: Door, monkeypatch: pytest.MonkeyPatch, kind: str, unenrolled: str
) -> None:
    """How long a prompt takes must not tell who is enrolled."""
    asked: list[str] = []

    def hang(entry: pwd.struct_passwd, names: tuple[str, ...]) -> Groups:
        asked.append(entry.pw_name)
        return Groups(unknown=names, problem="the directory hangs")

    monkeypatch.setattr(membership, "groups_among", hang)
    rule(door, kind, name="robots")
    for user in ("alice", "carol"):
        before = len(door.log.lines())
        guess(door, user, argv=(f"unenrolled={unenrolled}",))
        line = fields(door.log.lines()[before])
        assert ("error", "the directory hangs") == (line["event"], line["reason"])
        assert "getent initgroups" in line["hint"]
    assert ["alice", "carol"] == asked
    rule(door, REQUIRED)  # staff, of which bob is a member for certain
    guess(door, "bob", argv=(f"unenrolled={unenrolled}",))
    assert ["alice", "carol"] == asked


def test_rules_cost_a_login_no_question_of_their_own(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One statement reads all of it before the prompt, and one at the answer."""
    asked: list[str] = []
    execute = Database.execute

    def watch(self: Database, statement: str, parameters: tuple = ()) -> object:
        asked.append(statement)
        return execute(self, statement, parameters)

    monkeypatch.setattr(Database, "execute", watch)
    door.login(right_code(door))
    reading = [statement for statement in asked if "group_rules" in statement]
    assert [reading[0]] * 2 == reading
    assert "users AS" in reading[0]
    assert 0 == len([statement for statement in asked if "integrity_check" in statement])


# Damage


def nobody_is_missed(door: Door) -> tuple[str, ...]:
    return ("nullok",)


def before_a_deadline(door: Door) -> tuple[str, ...]:
    return SKIPPING


def in_an_exempt_group(door: Door) -> tuple[str, ...]:
    rule(door, EXEMPT)
    return ()


def in_an_exempt_group_of_the_configuration(door: Door) -> tuple[str, ...]:
    return ("exempt_groups=staff",)


def in_an_exempt_group_and_enrolled(door: Door) -> tuple[str, ...]:
    door.place.enrol("bob")
    return in_an_exempt_group(door)


BY_ABSENCE = [
    nobody_is_missed,
    before_a_deadline,
    in_an_exempt_group,
    in_an_exempt_group_of_the_configuration,
    in_an_exempt_group_and_enrolled,
]


@pytest.mark.parametrize("kind", BY_ABSENCE)
def test_a_store_that_is_damaged_lets_nobody_in_for_what_it_does_not_hold(
    door: Door, kind: Callable[[Door], tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that requires, or a record, may be what is damaged."""
    argv = kind(door)
    assert "PAM_IGNORE" == door.login(user="bob", argv=argv).result

    def damaged(self: SQLiteStore) -> None:
        raise StoreCorrupt("/store.db", "is damaged", "restore it")

    monkeypatch.setattr(SQLiteStore, "confirm_absence", damaged)
    entered = door.login(user="bob", argv=argv)
    assert ("PAM_AUTHINFO_UNAVAIL", []) == (entered.result, entered.pamh.prompts)
    record(door, "bob", EXEMPT)  # which the store does hold
    assert "PAM_IGNORE" == door.login(user="bob", argv=argv).result


def test_no_zeroed_sector_turns_who_is_required_into_one_who_is_not_asked(door: Door) -> None:
    rule(door, REQUIRED)
    record(door, "carol", MUST_ENROLL)
    for number in range(40):
        record(door, f"user{number}", ACTIVE)
        rule(door, EXEMPT, name=f"group{number}")
    whole = door.place.store_path.read_bytes()
    results = set()
    for start in range(0, len(whole), 512):
        if not any(whole[start : start + 512]):
            continue  # zeros already, of a free page
        damaged = whole[:start] + bytes(512) + whole[start + 512 :]
        door.place.store_path.write_bytes(damaged)
        for user in ("bob", "carol"):
            results.add(guess(door, user, ("nullok", "exempt_groups=staff")).result)
            door.log.lines().clear()
    assert {"PAM_AUTH_ERR", "PAM_AUTHINFO_UNAVAIL"} == results


def test_a_store_that_is_no_use_exempts_no_group(door: Door) -> None:
    """Who is required, or suspended, cannot be known."""
    door.place.store_path.write_bytes(b"")
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(user="bob", argv=["exempt_groups=staff"]).result
    door.place.store_path.unlink()
    door.place.store_path.symlink_to("/nonexistent")
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(user="bob", argv=["exempt_groups=staff"]).result


def test_before_there_is_a_store_or_a_key_exempt_groups_of_the_configuration_count(
    door: Door,
) -> None:
    door.place.key_path.unlink()
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(user="bob", argv=["exempt_groups=staff"]).result
    door.place.store_path.unlink()
    assert "PAM_IGNORE" == door.login(user="bob", argv=["exempt_groups=staff"]).result
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(user="bob", argv=["nullok"]).result
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(user="alice", argv=["exempt_groups=staff"]).result


def test_a_disk_that_does_not_say_whether_there_is_a_store_exempts_no_group(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.place.store_path.unlink()
    lstat = os.lstat

    def fail(path: str, **named: object) -> os.stat_result:
        if str(path) == str(door.place.store_path):
            raise OSError(5, "Input/output error", path)
        return lstat(path, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "lstat", fail)
    assert not is_missing(str(door.place.store_path))
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(user="bob", argv=["exempt_groups=staff"]).result


def test_a_store_that_is_damaged_enrols_nobody_in_place_of_whom_it_has_lost(
    front: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def damaged(self: SQLiteStore) -> None:
        asked.append("damaged")
        raise StoreCorrupt("/store.db", "is damaged", "restore it")

    assert is_offered(front.log_in(PamException()))
    monkeypatch.setattr(SQLiteStore, "confirm_absence", damaged)
    entered = front.log_in(PamException())
    assert ("PAM_AUTHINFO_UNAVAIL", False) == (entered.result, is_offered(entered))
    assert None is front.record()
    asked.clear()
    # Of who has not proved a password, nothing takes longer.
    entered = front.log_in(wrong_code(), argv=["attempts=1"], authtok=None)
    assert ("PAM_AUTH_ERR", []) == (entered.result, asked)
