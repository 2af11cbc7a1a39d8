"""Password and code in one answer: what both lines decide, and what nobody can tell from them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pam_totp.core import dates, one_answer
from pam_totp.core.admission import EXEMPT, REQUIRED, GroupRule
from pam_totp.core.users import EXEMPT as EXEMPT_STATUS
from pam_totp.core.users import MUST_ENROLL, SUSPENDED
from pam_totp.login import in_process, messages
from pam_totp.login.flow import (
    PAM_AUTH_ERR,
    PAM_AUTHINFO_UNAVAIL,
    PAM_CONV_ERR,
    PAM_IGNORE,
    PAM_MAXTRIES,
    PAM_SUCCESS,
)
from pam_totp.login.steps import Turn
from pam_totp.system.errors import LoginAborted, StoreMissing, StoreUnavailable
from tests.support.each import each
from tests.support.place import code_now, wrong_code
from tests.unit.alice import NOW
from tests.unit.door import Door
from tests.unit.fake_pam import HEADER, Answer, FakePam
from tests.unit.script import ALICE, DIGEST, REQUEST, Script, code

RECOVERY_CODE = "0123-4567-89AB-CDEF"
HORSE = "correct horse"
FIRST = REQUEST._replace(service="vpn", arguments=("first_factor=password",))
JUDGES = REQUEST._replace(service="vpn", answer_kept=True, password_given=True)
EIGHT = ALICE._replace(
    authenticators=(
        *ALICE.authenticators,
        ALICE.authenticators[0]._replace(id="2", label="token", digits=8),
    )
)
WITH_CODES = ALICE._replace(recovery_salt=bytes(16), recovery_digests=frozenset((DIGEST,)))


def first(*answers: object, **how: Any) -> Script:
    settings = {"one_prompt": True, **how.pop("settings", {})}
    return Script(*(answers or ("secret000000",)), request=FIRST, settings=settings, **how)


def judges(*answers: object, **how: Any) -> Script:
    return Script(*answers, request=JUDGES, **how)


def asked(script: Script) -> list[tuple[object, ...]]:
    return [step.arguments for step in script.steps if step.name == "ask_for_both"]


# The first line: everybody is asked alike

WHO: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "enrolled": ({}, (6,)),
    "two lengths": ({"record": EIGHT}, (6, 8)),
    "unknown": ({"is_known": False}, (6,)),
    "unenrolled": ({"record": None}, (6,)),
    "unenrolled, enroll": ({"record": None, "settings": {"unenrolled": "enroll"}}, (6,)),
    "unenrolled, skip": ({"record": None, "settings": {"unenrolled": "skip"}}, ()),
    "unenrolled, skip until a day that is over": (
        {"record": None, "settings": {"unenrolled": "skip", "unenrolled_until": NOW}},
        (6,),
    ),
    "suspended": ({"record": EIGHT._replace(status=SUSPENDED)}, (6, 8)),
    "suspended, without an authenticator": (
        {"record": ALICE._replace(status=SUSPENDED, authenticators=())},
        (6,),
    ),
    "must enroll": ({"record": ALICE._replace(status=MUST_ENROLL, authenticators=())}, (6,)),
    "exempt": ({"record": ALICE._replace(status=EXEMPT_STATUS)}, ()),
    "exempt, which is over": (
        {"record": ALICE._replace(status=EXEMPT_STATUS, exempt_until=NOW)},
        (6,),
    ),
    "exempt group": ({"rules": [GroupRule("staff", EXEMPT)], "member_of": ("staff",)}, ()),
    "required group": (
        {"record": None, "rules": [GroupRule("staff", REQUIRED)], "member_of": ("staff",)},
        (6,),
    ),
    "another account": ({"record": EIGHT._replace(uid=4711)}, (6,)),
    "locked": ({"record": ALICE._replace(failures=100)}, (6,)),
    "throttled": ({"record": ALICE._replace(failures=5, throttled_until=NOW + 30)}, (6,)),
}


@each(("who", "digits"), WHO.values(), ids=WHO)
def test_everybody_sees_the_same_prompt_and_goes_on_to_the_password(
    who: dict[str, Any], digits: tuple[int, ...]
) -> None:
    script = first(**who)
    assert PAM_IGNORE == script.log_in()
    assert [("Password and code: ", digits)] == asked(script)
    assert ([], [], []) == (script.prompts, script.shown, script.events)
    assert who.get("record", ALICE) == script.record


def test_whoever_is_asked_for_no_code_and_who_is_are_looked_up_alike() -> None:
    """Damage is looked for at the other line, once the password is known to be right."""
    steps = ["read_config", "find_catalog", "look_up_account", "look_up_user"]
    steps += ["take_place", "ask_for_both"]
    for who, _ in WHO.values():
        script = first(**who)
        script.log_in()
        names = [name for name in script.names if name != "look_up_groups"]
        assert steps == names


def test_an_answer_without_a_code_is_logged() -> None:
    script = first(HORSE)
    assert (PAM_IGNORE, ["malformed"]) == (script.log_in(), script.events)
    assert {"reason": messages.NO_CODE_AT_THE_END} == script.steps[-1].arguments[2]


def test_the_prompt_is_as_configured_and_not_shown_as_it_is_typed() -> None:
    script = first(settings={"one_prompt_text": "Both: ", "echo": True})
    script.log_in()
    assert [("Both: ", (6,))] == asked(script)


def test_without_one_prompt_the_first_line_asks_for_nothing() -> None:
    script = first(settings={"one_prompt": False})
    assert (PAM_IGNORE, ["read_config", "find_catalog"]) == (script.log_in(), script.names)


def test_a_second_first_line_denies() -> None:
    """Neither of them would judge the code."""
    request = FIRST._replace(answer_kept=True)
    script = Script(request=request, settings={"one_prompt": True})
    assert (PAM_AUTH_ERR, ["error"]) == (script.log_in(), script.events)


def test_with_too_many_at_the_prompt_nobody_is_asked() -> None:
    script = first(turn=Turn(may_ask=False, may_tell=True))
    assert (PAM_MAXTRIES, []) == (script.log_in(), asked(script))
    assert [messages.TOO_MANY_PROMPTS] == script.shown


@each(
    ("error", "code"),
    [
        (StoreUnavailable, PAM_AUTHINFO_UNAVAIL),
        (StoreMissing, PAM_AUTHINFO_UNAVAIL),
        (OSError, PAM_AUTHINFO_UNAVAIL),
        (LoginAborted, PAM_CONV_ERR),
    ],
)
@each("at", [3, 5])
def test_a_first_line_that_fails_denies_before_the_password(
    error: type[Exception], code: int, at: int
) -> None:
    assert code == first(broken={at: error("store", "is broken")}).log_in()


# The line after the password


def test_the_right_code_is_accepted() -> None:
    script = judges(code())
    assert (PAM_SUCCESS, ["accepted"], []) == (script.log_in(), script.events, script.shown)


def test_a_recovery_code_is_accepted_and_how_many_are_left_is_told() -> None:
    script = judges(RECOVERY_CODE, record=WITH_CODES)
    assert (PAM_SUCCESS, ["recovery_used"]) == (script.log_in(), script.events)
    assert 1 == len(script.shown)


def test_wrong_codes_before_are_told_after_a_right_one() -> None:
    record = ALICE._replace(untold=2, failures=2)
    script = judges(code(), record=record)
    script.log_in()
    assert [messages.failed_before(2)] == script.shown


def test_wrong_codes_before_are_told_again_by_the_next_login() -> None:
    """Programs that can ask only once take messages, and show them to nobody."""
    script = judges(code(), record=ALICE._replace(untold=2, failures=2))
    script.log_in()
    assert "have_told" not in script.names


REFUSED: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "wrong": ({}, "000000", ["rejected"]),
    "no code": ({}, "", ["malformed"]),
    "replayed": (
        {
            "record": ALICE.with_changed(
                ALICE.authenticators[0]._replace(last_accepted_step=NOW // 30)
            )
        },
        code(),
        ["replayed"],
    ),
    "the fifth": ({"record": ALICE._replace(failures=4)}, "000000", ["rejected"]),
    "throttled": (
        {"record": ALICE._replace(failures=5, throttled_until=NOW + 30)},
        code(),
        ["throttled"],
    ),
    "locked": ({"record": ALICE._replace(failures=100)}, code(), ["locked"]),
    "suspended": ({"record": ALICE._replace(status=SUSPENDED)}, code(), ["rejected"]),
    "unknown": ({"is_known": False}, code(), ["unenrolled", "rejected"]),
    "unenrolled": ({"record": None}, code(), ["unenrolled", "rejected"]),
    "to be enrolled": (
        {"record": None, "settings": {"unenrolled": "enroll"}},
        code(),
        ["unenrolled", "rejected"],
    ),
    "a recovery code of nobody": ({}, RECOVERY_CODE, ["rejected"]),
    "one too many at the prompt": (
        {"turn": Turn(may_ask=False, may_tell=True, news="many")},
        "000000",
        ["rejected"],
    ),
    "the store fails": (
        {"broken": {5: StoreUnavailable}},
        code(),
        ["error"],
    ),
    "the disk is full": ({"broken": {5: OSError}}, code(), ["error"]),
    "the application goes": ({"broken": {4: LoginAborted}}, code(), ["aborted"]),
}


@each("is_silent", [False, True])
@each(("how", "answer", "events"), REFUSED.values(), ids=REFUSED)
def test_every_refusal_says_no_more_than_a_wrong_password(
    how: dict[str, Any], answer: str, events: list[str], is_silent: bool
) -> None:
    broken = {at: error("x", "is broken") for at, error in how.get("broken", {}).items()}
    request = JUDGES._replace(is_silent=is_silent)
    script = Script(answer, request=request, **{**how, "broken": broken})
    assert (PAM_AUTH_ERR, [], events) == (script.log_in(), script.shown, script.events)
    assert 1 >= len(script.prompts)


def test_why_nobody_enrolls_there_is_logged() -> None:
    script = judges("000000", record=None, settings={"unenrolled": "enroll"})
    script.log_in()
    (fields,) = [s.arguments[2] for s in script.steps if s.arguments[:1] == ("unenrolled",)]
    assert "enrollment was not offered: this login asks only once" in str(fields)


def test_whoever_is_asked_for_no_code_passes_by_the_password_alone() -> None:
    script = judges(record=None, settings={"unenrolled": "skip"})
    assert (PAM_IGNORE, ["skipped"]) == (script.log_in(), script.events)
    assert "confirm_absence" in script.names


def test_whoever_may_skip_until_a_day_is_told_so() -> None:
    until = dates.end_of_day("2099-01-31")
    settings = {"unenrolled": "skip", "unenrolled_until": until}
    script = judges(record=None, settings=settings)
    assert PAM_IGNORE == script.log_in()
    assert [messages.needed_from(until)] == script.shown


# Under pam_python


def both(door: Door, pamh: FakePam, kept: list[str], *argv: str, first_factor: bool = False) -> int:
    arguments = [f"config={door.place.config_path}", *argv]
    arguments += ["first_factor=password", "one_prompt"] if first_factor else []
    return in_process.authenticate(pamh, 0, arguments, kept)


def handle(*answers: Answer, **how: Any) -> FakePam:
    return FakePam(answers=answers, service="vpn", may_set_authtok=True, **how)


def test_the_hook_hands_on_the_password_and_keeps_the_code(door: Door) -> None:
    pamh, kept = handle(HORSE + code_now()), list[str]()
    assert PAM_IGNORE == both(door, pamh, kept, first_factor=True)
    assert (HORSE, 1, ["Password and code: "]) == (pamh.authtok, len(kept), pamh.prompts)
    assert PAM_SUCCESS == both(door, pamh, kept)
    assert ([], 1) == (kept, len(pamh.prompts))


def test_the_hook_keeps_nothing_beyond_the_line_that_judges(door: Door) -> None:
    pamh, kept = handle(HORSE + wrong_code(), code_now()), list[str]()
    both(door, pamh, kept, first_factor=True)
    assert PAM_AUTH_ERR == both(door, pamh, kept)
    assert PAM_SUCCESS == both(door, pamh, kept)  # which asks, as any other


def test_the_hook_takes_what_a_module_before_has_asked_for(door: Door) -> None:
    pamh, kept = handle(authtok=HORSE + code_now()), list[str]()
    assert PAM_IGNORE == both(door, pamh, kept, first_factor=True)
    assert (HORSE, []) == (pamh.authtok, pamh.prompts)


@pytest.mark.parametrize("answer", [HORSE, "", b"\xff123456"])
def test_the_hook_hands_on_nobodys_password_where_there_is_no_code(
    door: Door, answer: str | bytes
) -> None:
    pamh, kept = handle(answer), list[str]()
    assert PAM_IGNORE == both(door, pamh, kept, first_factor=True)
    assert (32, [""]) == (len(str(pamh.authtok)), kept)


def test_the_hook_hands_on_all_of_the_answer_of_somebody_who_has_no_code(door: Door) -> None:
    pamh, kept = handle("horse123456", user="bob"), list[str]()
    assert PAM_IGNORE == both(door, pamh, kept, "nullok", first_factor=True)
    assert ("horse123456", [""]) == (pamh.authtok, kept)
    assert PAM_IGNORE == both(door, pamh, kept, "nullok")


@pytest.mark.parametrize("answer", [None, FakePam.exception()])
def test_the_hook_denies_without_an_answer(door: Door, answer: Answer) -> None:
    pamh, kept = handle(answer), list[str]()
    assert PAM_CONV_ERR == both(door, pamh, kept, first_factor=True)
    assert (None, []) == (pamh.authtok, kept)


def test_the_hook_has_every_refusal_delayed_by_chance(door: Door) -> None:
    delays = set()
    for answer in (HORSE + "123456", HORSE, "", "x" * 600) * 3:
        pamh = handle(answer)
        both(door, pamh, [], first_factor=True)
        delays.update(pamh.delays)
    assert all(in_process.DELAY <= delay < 2 * in_process.DELAY for delay in delays)
    assert 6 < len(delays)


def test_the_hook_judges_no_code_that_an_earlier_call_left(door: Door) -> None:
    kept = ["123456"]
    both(door, handle(HORSE + "654321"), kept, first_factor=True)
    assert ["654321"] == kept


def test_the_hook_tells_two_first_lines(door: Door) -> None:
    kept = ["123456"]
    pamh = handle(authtok=HORSE)
    assert PAM_AUTH_ERR == both(door, pamh, kept, first_factor=True)
    assert messages.BOTH_ASKED_TWICE in door.log.lines()[0]


def test_limits_of_an_answer_are_those_of_pam() -> None:
    (found,) = re.findall(r"define PAM_MAX_RESP_SIZE +(\d+)\n", HEADER.read_text("utf-8"))
    assert one_answer.MAX_BYTES == int(found)
