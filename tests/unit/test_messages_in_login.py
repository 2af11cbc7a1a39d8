"""What is said to who is asked by a program that shows no messages, as sudo does (PAM_SILENT)."""

from __future__ import annotations

import pytest

from pam_totp.core import own_changes
from pam_totp.core.own_changes import NEW_PHONE, OwnChange
from pam_totp.core.users import SUSPENDED
from pam_totp.store.sqlite.store import SQLiteStore
from tests.support.place import code_now, wrong_code
from tests.unit.door import Door
from tests.unit.fake_pam import CONSTANTS, PamException

SILENT = CONSTANTS["PAM_SILENT"]
CODE = "Verification code: "
WRONG = "Wrong code. Enter the current code from your app, or a recovery code.\n"


def wait(seconds: int) -> str:
    return f"Too many wrong codes. Wait {seconds} seconds before the next try.\n"


def locked(user: str) -> str:
    return f"Too many wrong codes: locked. An administrator can run: totpctl unlock {user}\n"


def test_the_next_prompt_says_what_was_wrong(door: Door) -> None:
    door.login(code_now())
    entered = door.login(wrong_code(), code_now(), code_now(1), flags=SILENT)
    used = "This code has already been used. Wait for the next one (at most 30 seconds).\n"
    assert [CODE, WRONG + CODE, used + CODE] == entered.pamh.prompts
    assert ("PAM_SUCCESS", []) == (entered.result, entered.messages)


@pytest.mark.parametrize("user", ["alice", "bob", "mallory", "carol"])
def test_a_prompt_says_before_the_answer_that_it_would_not_be_looked_at(
    door: Door, user: str
) -> None:
    """Enrolled or not, there or not, suspended or not: it reads the same."""
    door.place.enrol("carol", status=SUSPENDED)
    for _ in range(4):
        assert [CODE] == door.login(wrong_code(), user=user, argv=["attempts=1"]).pamh.prompts
    first, second, third = (
        door.login("000000" if n else wrong_code(), user=user, flags=SILENT, argv=["attempts=1"])
        for n in range(3)
    )
    assert [CODE] == first.pamh.prompts
    assert [wait(30) + CODE] == second.pamh.prompts == third.pamh.prompts
    assert "PAM_MAXTRIES" == second.result
    door.clock.advance(10)
    later = door.login("000000", user=user, flags=SILENT, argv=["attempts=1"])
    assert [wait(20) + CODE] == later.pamh.prompts


@pytest.mark.parametrize("user", ["alice", "bob", "mallory"])
def test_a_prompt_says_that_one_is_locked(door: Door, user: str) -> None:
    door.place.configure(max_failures=2)
    door.login(wrong_code(), wrong_code(), user=user, argv=["attempts=2"])
    entered = door.login("000000", user=user, flags=SILENT)
    assert ([locked(user) + CODE], "PAM_MAXTRIES") == (entered.pamh.prompts, entered.result)


def test_where_messages_are_shown_the_prompt_says_nothing_before(door: Door) -> None:
    door.place.enrol("carol", failures=100)
    entered = door.login("000000", user="carol")
    assert [CODE] == entered.pamh.prompts
    assert [locked("carol").strip()] == entered.messages


def test_where_nothing_is_to_be_said_the_prompt_says_nothing_before(door: Door) -> None:
    door.place.enrol("carol", failures=100)
    assert [CODE] == door.login("000000", user="carol", flags=SILENT, argv=["quiet"]).pamh.prompts


# After a login


def test_failures_since_the_last_login_are_told_once(door: Door) -> None:
    door.login(wrong_code(), wrong_code(), wrong_code())
    entered = door.login(code_now())
    told = "3 wrong codes since the last login. If they were not yours, change your password."
    assert [(CONSTANTS["PAM_TEXT_INFO"], told)] == entered.pamh.messages
    assert [] == door.login(code_now(1)).messages


def test_wrong_codes_that_sudo_cannot_show_are_told_at_the_next_login_that_can(door: Door) -> None:
    door.login(wrong_code(), wrong_code(), wrong_code())
    assert [] == door.login(wrong_code(), code_now(), flags=SILENT).messages
    assert (0, 3) == (door.place.record("alice").failures, door.place.record("alice").untold)
    assert [] == door.login(code_now(1), argv=["quiet"]).messages
    door.clock.advance(60)
    told = "3 wrong codes since the last login. If they were not yours, change your password."
    assert [told] == door.login(code_now(1)).messages
    assert 0 == door.place.record("alice").untold


def test_wrong_codes_that_an_application_did_not_take_are_told_again(door: Door) -> None:
    door.login(wrong_code(), argv=["attempts=1"])
    assert "PAM_SUCCESS" == door.login(code_now(), deaf=PamException).result
    assert 1 == door.place.record("alice").untold


def test_who_got_in_is_not_denied_because_the_count_cannot_be_written(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    door.login(wrong_code(), argv=["attempts=1"])
    monkeypatch.setattr(SQLiteStore, "have_told", fail)
    assert "PAM_SUCCESS" == door.login(code_now()).result
    assert 1 == door.place.record("alice").untold


def test_where_the_slow_budget_is_spent_a_recovery_code_lets_the_owner_in(door: Door) -> None:
    code = "0123-4567-89AB-CDEF"
    until = int(door.clock.now) + 24 * 86_400  # by 80 of 100: the rest is for known places
    door.place.enrol("carol", recovery_codes=(code,), guesses_until=until)
    refused = door.login(code_now(), user="carol")
    assert "PAM_MAXTRIES" == refused.result
    assert [
        "Too many wrong codes this month. Wait 8 h, or use a recovery code. "
        "An administrator can run: totpctl unlock carol"
    ] == refused.messages
    assert "PAM_SUCCESS" == door.login(code, user="carol").result
    elsewhere = door.login(code_now(), user="carol", rhost="203.0.113.9")
    assert "PAM_MAXTRIES" == elsewhere.result
    assert "PAM_SUCCESS" == door.login(code_now(), user="carol").result, "a place that is known now"


def test_own_typos_of_this_login_are_not_among_them(door: Door) -> None:
    door.login(wrong_code(), argv=["attempts=1"])
    entered = door.login(wrong_code(), wrong_code(), code_now())
    assert entered.messages[-1].startswith("1 wrong code since the last login.")


def test_who_does_not_get_in_is_not_told_of_failures(door: Door) -> None:
    door.login(wrong_code(), argv=["attempts=1"])
    entered = door.login(wrong_code(), argv=["attempts=1"])
    assert not any("since the last login" in text for text in entered.messages)


def test_a_recovery_code_tells_of_failures_too(door: Door) -> None:
    code = "0123-4567-89AB-CDEF"
    door.place.enrol("carol", recovery_codes=(code,), failures=2, untold=2)
    entered = door.login(code, user="carol")
    assert entered.messages[0].startswith("Recovery code accepted. It is used up; 0 left.")
    assert entered.messages[1].startswith("2 wrong codes since the last login.")


def test_what_was_changed_with_a_code_of_theirs_is_told_to_who_gets_in(door: Door) -> None:
    record = door.place.enrol("carol")
    change = OwnChange(NEW_PHONE, "phone", "198.51.100.7, pts/3", record.authenticators[0])
    noted = own_changes.changed(record, change, int(door.clock.now)).own_changes
    with door.place.open() as store, store.transaction("carol") as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(own_changes=noted))
    refused = door.login(wrong_code(), argv=["attempts=1"], user="carol")
    assert [WRONG.strip()] == refused.messages
    door.clock.advance(5)
    told = (
        "2023-11-14 22:13 UTC, from 198.51.100.7, pts/3: authenticator phone got a new secret, "
        "with a code of yours. If that was not you, tell an administrator at once."
    )
    for offset in range(2):  # whoever did it must not be the only one who hears
        assert told in door.login(code_now(offset), user="carol").messages
    door.clock.advance(4 * 86_400)
    assert [] == door.login(code_now(), user="carol").messages
