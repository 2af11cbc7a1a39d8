"""A login where a code was right a short while ago: who is not asked, and who is, all the same."""

from __future__ import annotations

from typing import Any

import pytest

from pam_totp.core.remembering import ADDRESS, LOGIN, TERMINAL, UNSEEN, Remembered
from pam_totp.core.users import EXEMPT, MUST_ENROLL, SUSPENDED, UserRecord
from pam_totp.login.flow import PAM_AUTH_ERR, PAM_IGNORE, PAM_MAXTRIES, PAM_SUCCESS
from pam_totp.login.steps import AccountEntry
from pam_totp.store import Known
from tests.support.each import each
from tests.unit.alice import DIGESTS, NOW, SALT, SECRET, code
from tests.unit.script import ALICE, REQUEST, Script
from tests.unit.test_remembering import IN_SSHD, IN_SUDO

EIGHT_HOURS = {"remember": 8 * 3600}
SUDO = REQUEST._replace(service="sudo", rhost="", ruser="alice", tty="/dev/pts/1")
CODE = code(NOW // 30, SECRET).code
WRONG = "000000"


def logged_in(**how: Any) -> UserRecord:
    """Return alice's record after a login with a code."""
    script = Script(CODE, **{"settings": EIGHT_HOURS, "processes": IN_SSHD, **how})
    assert PAM_SUCCESS == script.log_in()
    assert script.record is not None
    return script.record


def again(record: UserRecord, *answers: object, **how: Any) -> Script:
    """Log in an hour later; without ``answers`` nothing may be asked."""
    settings = {"settings": EIGHT_HOURS, "processes": IN_SSHD, "at": NOW + 3600}
    script = Script(*answers, record=record, **{**settings, **how})
    script.code = script.log_in()  # type: ignore[attr-defined]
    return script


def is_asked(record: UserRecord, **how: Any) -> bool:
    script = again(
        record,
        WRONG,
        **{**how, "settings": {"attempts": 1, **EIGHT_HOURS, **how.get("settings", {})}},
    )
    return bool(script.prompts)


def test_where_a_code_was_right_none_is_asked_for() -> None:
    script = again(logged_in())
    assert PAM_SUCCESS == script.code  # type: ignore[attr-defined]
    assert [
        *("read_config", "find_catalog", "look_up_account", "look_up_user", "processes"),
        *("judge_stack", "password_state", "log remembered"),
    ] == script.names
    (fields,) = [step.arguments[2] for step in script.steps if step.name == "log"]
    assert {"by": ADDRESS, "place": "198.51.100.7", "age": 3600} == fields


def test_it_is_no_longer_after_the_time_however_often_it_was_used() -> None:
    record = logged_in()
    for hour in range(1, 8):
        script = again(record, at=NOW + hour * 3600)
        assert script.record == record
    assert is_asked(record, at=NOW + 8 * 3600)


@pytest.mark.parametrize("remember", [0, 1800])
def test_the_settings_of_this_login_count(remember: int) -> None:
    assert is_asked(logged_in(), settings={"remember": remember})


def test_where_it_is_not_set_no_step_is_added() -> None:
    script = Script(CODE)
    script.log_in()
    assert ["take_place", "ask", "verify", "log accepted"] == script.names[4:]
    assert script.record is not None
    assert () == script.record.remembered


@each(
    "how",
    [
        {"request": REQUEST._replace(rhost="198.51.100.8")},
        {"request": REQUEST._replace(rhost="home.example")},
        {"request": REQUEST._replace(rhost="")},
        {"request": REQUEST._replace(service="cockpit")},
        {"uid": 0},
        {"password": "20000.0a1b2c3d"},
        {"proves_password": False},
        {"at": NOW - 60},
    ],
    ids=[
        "another address", "a name", "no address", "another service", "root", "another password",
        "a stack where the code is all", "a clock set back",
    ],
)  # fmt: skip
def test_everywhere_else_it_is_asked_for(how: dict[str, Any]) -> None:
    assert is_asked(logged_in(), **how)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"record": ALICE._replace(status=SUSPENDED)}, PAM_AUTH_ERR),
        ({"record": ALICE._replace(status=MUST_ENROLL)}, PAM_AUTH_ERR),
        ({"record": ALICE._replace(status=EXEMPT, exempt_until=NOW + 10**6)}, PAM_IGNORE),
        ({"record": ALICE._replace(status=EXEMPT, exempt_until=1)}, PAM_SUCCESS),
        ({"is_known": False}, PAM_AUTH_ERR),
    ],
    ids=["suspended", "must enroll", "exempt", "no longer exempt", "unknown"],
)
def test_of_whom_it_was_decided_otherwise(how: dict[str, Any], code: int) -> None:
    remembered = logged_in().remembered
    record = how.get("record", ALICE)._replace(remembered=remembered)
    once = {"attempts": 1, **EIGHT_HOURS}
    script = again(record, WRONG, settings=once, is_known=how.get("is_known", True))
    assert code == script.code  # type: ignore[attr-defined]
    assert (code == PAM_SUCCESS) == ("remembered" in script.events)


def test_whoever_is_throttled_or_locked_is_turned_away_wherever_they_are() -> None:
    """A wrong code has ended it, but another host or an import may have counted it."""
    before = logged_in()._replace(known_places=())  # which has an allowance of its own
    throttled = before._replace(failures=9, throttled_until=NOW + 3700)
    for record in (before._replace(failures=100), throttled):
        script = again(record, WRONG)
        assert PAM_MAXTRIES == script.code  # type: ignore[attr-defined]
        assert "remembered" not in script.events


def test_wrong_codes_that_were_counted_before_still_are_afterwards() -> None:
    record = logged_in()._replace(failures=3, untold=3)
    script = again(record)
    assert ["remembered"] == script.events
    assert record == script.record


def test_a_wrong_code_ends_it_for_all_places() -> None:
    record = logged_in()
    elsewhere = again(
        record, WRONG, settings={"attempts": 1}, request=REQUEST._replace(rhost="203.0.113.5")
    )
    assert elsewhere.record is not None
    assert () == elsewhere.record.remembered
    assert is_asked(elsewhere.record)


def test_a_recovery_code_earns_nothing() -> None:
    record = ALICE._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
    script = Script("0123-4567-89AB-CDEF", record=record, settings=EIGHT_HOURS, processes=IN_SSHD)
    script.log_in()
    assert script.record is not None
    assert () == script.record.remembered


@pytest.mark.parametrize(
    "how",
    [{"uid": 0}, {"proves_password": False}, {"record": None, "policy": None}],
    ids=["root", "the code is all", "nobody"],
)
def test_nothing_is_noted_either(how: dict[str, Any]) -> None:
    script = Script(CODE, settings={"attempts": 1, **EIGHT_HOURS}, processes=IN_SSHD, **how)
    script.log_in()
    assert script.record is None or () == script.record.remembered


BY_KEY = REQUEST._replace(ssh_auth_info="publickey ssh-ed25519 AAAA\n")


def test_a_key_is_a_first_factor_whatever_the_pam_file_asks_before_the_code() -> None:
    how = {"request": BY_KEY, "proves_password": False}
    script = again(logged_in(**how), **how)
    assert PAM_SUCCESS == script.code  # type: ignore[attr-defined]
    assert ["processes", "password_state", "log remembered"] == script.names[4:]
    assert is_asked(logged_in(**how), proves_password=False)


def test_a_password_whose_change_nobody_would_see_earns_nothing_and_a_key_does() -> None:
    assert () == logged_in(password=UNSEEN).remembered
    by_key = logged_in(request=BY_KEY, password=UNSEEN)
    assert not is_asked(by_key, request=BY_KEY, password=UNSEEN)
    assert is_asked(by_key, password=UNSEEN)
    assert is_asked(by_key, request=SUDO, processes=IN_SUDO, password=UNSEEN)


def test_a_code_that_came_with_the_password_earns_nothing_nor_is_it_left_out() -> None:
    """It was asked for before anybody had judged the password."""
    kept = {"request": REQUEST._replace(answer_kept=True, password_given=True)}
    assert () == logged_in(**kept).remembered
    assert is_asked(logged_in(), **kept)


def test_the_line_that_asks_for_both_asks_wherever_somebody_is() -> None:
    script = Script(
        "secret" + CODE,
        record=logged_in(),
        request=REQUEST._replace(arguments=("first_factor=password",)),
        settings={"one_prompt": True, **EIGHT_HOURS},
        processes=IN_SSHD,
    )
    assert PAM_IGNORE == script.log_in()
    assert "ask_for_both" in script.names


def test_an_enrollment_in_a_login_earns_nothing() -> None:
    settings = {"unenrolled": "enroll", **EIGHT_HOURS}
    request = REQUEST._replace(password_given=True)
    script = Script(CODE, "", record=None, request=request, settings=settings, processes=IN_SSHD)
    assert PAM_SUCCESS == script.log_in()
    assert script.record is not None
    assert () == script.record.remembered


def test_whoever_is_not_asked_at_a_trusted_place_earns_nothing() -> None:
    settings = {"skip_from": ("198.51.100.0/24",), **EIGHT_HOURS}
    script = Script(settings=settings, processes=IN_SSHD)
    assert PAM_IGNORE == script.log_in()
    assert script.record is not None
    assert () == script.record.remembered


def test_a_host_that_answers_alone_asks() -> None:
    """Nobody could have it forgotten."""

    class Offline(Script):
        def look_up_user(self, name: str, place: str) -> Known:
            return super().look_up_user(name, place)._replace(is_offline=True)

    script = Offline(
        WRONG, record=logged_in(), settings={"attempts": 1, **EIGHT_HOURS}, processes=IN_SSHD
    )
    assert PAM_AUTH_ERR == script.log_in()
    assert script.prompts


def test_where_the_local_store_may_suspend_somebody_they_are_asked() -> None:
    """It cannot be used, so that nobody gets in without a code."""

    class Uncertain(Script):
        def look_up_user(self, name: str, place: str) -> Known:
            return super().look_up_user(name, place)._replace(problem="local_store is damaged")

    settings = {"attempts": 1, **EIGHT_HOURS}
    script = Uncertain(WRONG, record=logged_in(), settings=settings, processes=IN_SSHD)
    assert PAM_AUTH_ERR == script.log_in()
    assert script.prompts


def test_whoever_has_the_name_of_somebody_else_by_now_is_asked() -> None:
    """Another uid of a directory proves nothing, so that a code is still good; but it is asked."""

    class OfADirectory(Script):
        def look_up_account(self, user: str) -> AccountEntry | None:
            found = super().look_up_account(user)
            return found and found._replace(account=found.account._replace(is_local=False))

    settings = {"attempts": 1, **EIGHT_HOURS}
    for uid, asked in ((1000, False), (1001, True)):
        record = logged_in()._replace(uid=uid)
        script = OfADirectory(WRONG, record=record, settings=settings, processes=IN_SSHD)
        script.log_in()
        assert asked == bool(script.prompts)


def test_people_hear_of_their_own_changes_also_where_they_are_not_asked() -> None:
    """Whoever else has made one must not log in from a remembered place so that nobody hears."""
    noted = f"{NOW}\tremove\ttablet\t192.0.2.66"
    script = again(logged_in()._replace(own_changes=noted))
    assert ["log remembered", "tell"] == script.names[-2:]


def test_sudo_asks_nothing_within_a_login_by_ssh_and_in_its_own_terminal() -> None:
    by_ssh = logged_in()
    script = again(by_ssh, request=SUDO, processes=IN_SUDO)
    assert ["remembered"] == script.events
    in_another = IN_SUDO.replace("700:9000", "701:9000")
    assert is_asked(by_ssh, request=SUDO, processes=in_another)
    by_sudo = logged_in(request=SUDO, processes=in_another)
    assert [TERMINAL] == [one.kind for one in by_sudo.remembered]
    assert not is_asked(by_sudo, request=SUDO, processes=in_another)
    assert is_asked(by_sudo, request=SUDO._replace(service="su"), processes=in_another)
    in_another_terminal = in_another.replace("720:9100", "730:9200")
    assert is_asked(by_sudo, request=SUDO, processes=in_another_terminal)


def test_nor_does_sudo_where_nothing_says_what_it_runs_in() -> None:
    assert is_asked(logged_in(), request=SUDO, processes="")


def test_a_login_by_ssh_is_never_known_by_a_session() -> None:
    """sshd runs below no login of its own, but its processes have ancestors as well."""
    record = logged_in()._replace(
        remembered=(Remembered("sshd", LOGIN, "51e6369c:400:50", NOW, NOW + 9999, "19000"),)
    )
    assert is_asked(record, request=REQUEST._replace(rhost="198.51.100.8"))


def test_a_place_at_the_prompt_is_not_needed() -> None:
    from pam_totp.login.steps import Turn

    script = again(logged_in(), turn=Turn(may_ask=False))
    assert PAM_SUCCESS == script.code  # type: ignore[attr-defined]
    full = Script(CODE, turn=Turn(may_ask=False), settings=EIGHT_HOURS)
    assert PAM_MAXTRIES == full.log_in()


def test_the_same_steps_are_taken_for_everybody_who_is_asked() -> None:
    """What decides whether a right code is remembered must not tell who has one."""
    seen = []
    for how in ({}, {"record": None}, {"record": ALICE._replace(status=SUSPENDED)}):
        script = Script(WRONG, settings={"attempts": 1, **EIGHT_HOURS}, processes=IN_SSHD, **how)
        script.log_in()
        seen.append([name for name in script.names if not name.startswith("log")])
    assert seen[0] == seen[1] == seen[2]
    looked = ["processes", "judge_stack", "password_state"]
    assert [*looked, "take_place", "ask", "verify", "tell"] == seen[0][4:]
