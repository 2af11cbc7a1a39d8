"""Password and code in one answer: what the module takes apart, keeps, tells, and never tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.native.fake_worker import (
    FAILED,
    KEPT,
    NO_CODE,
    NONE,
    Script,
    Worker,
    answer,
    ask_both,
    message,
    packet,
    result,
    says,
)
from tests.native.module_side import (
    ERROR_MSG,
    PAM_AUTH_ERR,
    PAM_AUTHINFO_UNAVAIL,
    PAM_CONV_ERR,
    PAM_IGNORE,
    PAM_SERVICE_ERR,
    PAM_SUCCESS,
    PROBE,
    PROMPT_ECHO_OFF,
    TEXT_INFO,
    Outcome,
    Side,
)
from tests.native.test_module_conversation import PASSWORD_GIVEN, flags_of

HORSE = "correct horse"
ANSWER_KEPT = 0x20000000
PROMPT = (PROMPT_ECHO_OFF, "Password and code: ")
TAKES = says(ask_both(), result(PAM_IGNORE))
ACCEPTS = says(message(b"Code: "), result(PAM_SUCCESS))


def pair(side: Side, password: str = HORSE) -> str:
    """Return the two lines, with the password module between them."""
    return (
        "auth requisite MODULE first_factor=password\n"
        f"auth requisite {side.one_password} [{password}]\n"
        "auth required MODULE\n"
    )


class Login(NamedTuple):
    """What came of it, and what the worker of each line was told."""

    outcome: Outcome
    heard: list[list[bytes]]


def log_in(side: Side, scripts: list[Script], *words: str, stack: str = "", **how: Any) -> Login:
    """Log in, each line of ours led by one of ``scripts``."""
    left = iter(scripts)
    with Worker(side.socket, lambda talk: next(left)(talk)) as worker:
        outcome = side.log_in(*words, stack=stack or pair(side), **how)
    return Login(outcome, [[said for said in talk.received if said] for talk in worker.talks])


def test_the_password_goes_to_the_next_module_and_the_code_to_the_next_line(side: Side):
    outcome, heard = log_in(side, [TAKES, ACCEPTS], f"{HORSE}123456")
    assert (PAM_SUCCESS, [PROMPT]) == (outcome.code, outcome.shown)
    assert [HORSE] == outcome.passwords_tried
    first, second = heard
    assert [answer(b"", KEPT)] == first[1:]
    assert [answer(b"123456")] == second[1:]
    assert [0, PASSWORD_GIVEN | ANSWER_KEPT] == [flags_of(first[0]), flags_of(second[0])]
    assert HORSE.encode() not in b"".join(first + second)


def test_after_a_wrong_password_no_code_is_judged(side: Side):
    outcome, heard = log_in(side, [TAKES], "wrong horse123456")
    assert (PAM_AUTH_ERR, ["wrong horse"]) == (outcome.code, outcome.passwords_tried)
    assert 1 == len(heard)
    assert b"123456" not in b"".join(heard[0])


@pytest.mark.parametrize("code", [3, 7, 9, 11, 19])
def test_every_refusal_after_the_right_password_looks_like_a_wrong_password(side: Side, code: int):
    wrong_password, _ = log_in(side, [TAKES], "wrong horse123456")
    refused, _ = log_in(side, [TAKES, says(message(b"Code: "), result(code))], f"{HORSE}123456")
    assert wrong_password.codes == refused.codes == [PAM_AUTH_ERR]
    assert wrong_password.shown == refused.shown == [PROMPT]


LATE_FAULTS = {
    "ends": says(),
    "says what nobody understands": says(packet(99)),
    "refuses": says(packet(19, b"\1\1too many")),
    "asks on and on": says(*[message(b"Code: ")] * 101),
}


@pytest.mark.parametrize("script", LATE_FAULTS.values(), ids=LATE_FAULTS)
def test_a_worker_that_fails_after_the_right_password_looks_like_a_wrong_password(
    side: Side, script: Script
):
    outcome, _ = log_in(side, [TAKES, script], f"{HORSE}123456")
    assert (PAM_AUTH_ERR, [PROMPT]) == (outcome.code, outcome.shown)
    assert outcome.reasons


def test_messages_are_shown_and_only_prompts_are_answered_with_the_code(side: Side):
    words = [message(b"a", TEXT_INFO), message(b"Code: "), message(b"b", ERROR_MSG)]
    outcome, heard = log_in(side, [TAKES, says(*words, result(PAM_SUCCESS))], f"{HORSE}123456")
    assert [PROMPT, (TEXT_INFO, "a"), (ERROR_MSG, "b")] == outcome.shown
    assert [answer(b"", NONE), answer(b"123456"), answer(b"", NONE)] == heard[1][1:]


def test_a_code_that_is_the_password_as_well_is_told(side: Side):
    outcome, heard = log_in(side, [TAKES, ACCEPTS], "123456123456", stack=pair(side, "123456"))
    assert (PAM_SUCCESS, ["123456"]) == (outcome.code, outcome.passwords_tried)
    assert [answer(b"123456")] == heard[1][1:]


def test_of_somebody_who_has_no_code_all_of_the_answer_is_the_password(side: Side):
    whole = says(ask_both(b""), result(PAM_IGNORE))
    stack = pair(side, "horse123456")
    outcome, heard = log_in(side, [whole, says(result(PAM_IGNORE))], "horse123456", stack=stack)
    assert (PAM_SUCCESS, ["horse123456"]) == (outcome.code, outcome.passwords_tried)
    assert [answer(b"", KEPT)] == heard[0][1:]
    assert ANSWER_KEPT & flags_of(heard[1][0])


def test_where_a_code_is_wanted_all_the_same_there_is_none(side: Side):
    """Enrolled since: nobody is let in by the password alone, and nobody is asked again."""
    whole = says(ask_both(b""), result(PAM_IGNORE))
    judges = says(message(b"Code: "), result(PAM_AUTH_ERR))
    outcome, heard = log_in(side, [whole, judges], HORSE)
    assert (PAM_AUTH_ERR, [HORSE], [PROMPT]) == (
        outcome.code,
        outcome.passwords_tried,
        outcome.shown,
    )
    assert [answer(b"")] == heard[1][1:]


@pytest.mark.parametrize("typed", [HORSE, "", "12345", f"{HORSE}123456 ", "x" * 600, "x" * 100_000])
def test_an_answer_without_a_code_is_not_tried_as_the_password(side: Side, typed: str):
    """Else it would tell whether the password was right, and no guess would be counted."""
    outcome, heard = log_in(side, [TAKES], typed)
    (tried,) = outcome.passwords_tried
    assert (PAM_AUTH_ERR, 32) == (outcome.code, len(tried))
    assert [answer(b"", NO_CODE)] == heard[0][1:]
    assert tried != log_in(side, [TAKES], typed).outcome.passwords_tried[0]


def test_a_recovery_code_comes_after_a_space(side: Side):
    outcome, heard = log_in(side, [TAKES, ACCEPTS], f"{HORSE} ABCD-EFGH-JKMN-PQRS")
    assert [HORSE] == outcome.passwords_tried
    assert [answer(b"ABCD-EFGH-JKMN-PQRS")] == heard[1][1:]


def test_what_is_not_utf_8_is_split_as_well(side: Side):
    password = b"\xff\x80".decode("utf-8", "surrogateescape")
    _, heard = log_in(side, [TAKES, ACCEPTS], f"{password}123456", stack=pair(side, password))
    assert [answer(b"123456")] == heard[1][1:]


@pytest.mark.parametrize(
    ("typed", "told"), [("\\fail", FAILED), ("\\none", NONE), ("\\null", NONE)]
)
def test_no_answer_is_told_as_none(side: Side, typed: str, told: int):
    outcome, heard = log_in(side, [says(ask_both(), result(PAM_CONV_ERR))], typed)
    assert (PAM_CONV_ERR, []) == (outcome.code, outcome.passwords_tried)
    assert [answer(b"", told)] == heard[0][1:]


def test_an_answer_that_a_module_before_has_asked_for_is_taken(side: Side):
    stack = f"auth required pam_exec.so quiet expose_authtok /bin/true\n{pair(side)}"
    outcome, _ = log_in(side, [TAKES, ACCEPTS], f"{HORSE}123456", stack=stack)
    assert (PAM_SUCCESS, [HORSE]) == (outcome.code, outcome.passwords_tried)
    assert [(PROMPT_ECHO_OFF, "Password: ")] == outcome.shown


# A line with first_factor=password never grants, and the other one judges by itself


def test_the_first_line_never_grants(side: Side):
    scripts = [says(ask_both(), result(PAM_SUCCESS))]
    stack = PROBE.replace("MODULE", "MODULE first_factor=password")
    outcome, _ = log_in(side, scripts, f"{HORSE}123456", stack=stack)
    assert PAM_SERVICE_ERR == outcome.code


def test_without_the_first_line_the_other_one_asks(side: Side):
    stack = "".join(pair(side).splitlines(keepends=True)[1:])
    outcome, heard = log_in(side, [ACCEPTS], HORSE, "123456", stack=stack)
    assert [(PROMPT_ECHO_OFF, "Password: "), (PROMPT_ECHO_OFF, "Code: ")] == outcome.shown
    assert PASSWORD_GIVEN == flags_of(heard[0][0])


def test_a_program_that_answers_every_prompt_alike_gets_nowhere_without_the_first_line(side: Side):
    stack = "".join(pair(side).splitlines(keepends=True)[1:])
    typed = f"{HORSE}123456"
    outcome, _ = log_in(side, [], typed, typed, stack=stack)
    assert (PAM_AUTH_ERR, [typed]) == (outcome.code, outcome.passwords_tried)


def test_a_second_first_line_is_told_that_an_answer_was_kept(side: Side):
    stack = pair(side).replace("MODULE\n", "MODULE first_factor=password\n")
    outcome, heard = log_in(
        side, [TAKES, says(result(PAM_SERVICE_ERR))], f"{HORSE}123456", stack=stack
    )
    assert PAM_SERVICE_ERR == outcome.code
    assert ANSWER_KEPT & flags_of(heard[1][0])


def test_the_code_is_judged_once_and_forgotten(side: Side):
    """A third line asks, as any other."""
    scripts = [TAKES, ACCEPTS, ACCEPTS]
    stack = f"{pair(side)}auth required MODULE\n"
    outcome, heard = log_in(side, scripts, f"{HORSE}123456", "654321", stack=stack)
    assert [PROMPT, (PROMPT_ECHO_OFF, "Code: ")] == outcome.shown
    assert [answer(b"654321")] == heard[2][1:]


@pytest.mark.parametrize("said", [ANSWER_KEPT, ANSWER_KEPT | PASSWORD_GIVEN])
def test_the_application_cannot_say_that_an_answer_was_kept(side: Side, said: int):
    stack = "auth required MODULE\n"
    _, heard = log_in(side, [ACCEPTS], "123456", stack=stack, options=(f"-f{said:#x}",))
    assert 0 == flags_of(heard[0][0])


def test_without_a_worker_the_first_line_says_so_before_it_asks(side: Side):
    outcome = side.log_in(f"{HORSE}123456", stack=pair(side))
    assert (PAM_AUTHINFO_UNAVAIL, []) == (outcome.code, outcome.passwords_tried)
    assert [ERROR_MSG] == [style for style, _ in outcome.shown]


def test_setcred_of_both_lines_fails_nobody(side: Side):
    outcome, _ = log_in(side, [TAKES, ACCEPTS], f"{HORSE}123456", options=("-s",))
    assert ["0"] == outcome.of("setcred")


# How long a refusal takes


def test_a_refusal_is_delayed_by_chance_whatever_was_wrong(side: Side):
    refuses = says(message(b"Code: "), result(PAM_AUTH_ERR))
    attempts: list[tuple[list[Script], str]] = [
        ([TAKES], "wrong horse123456"),
        ([TAKES, refuses], f"{HORSE}123456"),
        ([TAKES], HORSE),
    ]
    for scripts, typed in attempts:
        # libpam takes between half of what is asked for and half as much again.
        delays = [log_in(side, scripts, typed).outcome.delays for _ in range(5)]
        assert all(1_000_000 <= delay <= 6_000_000 for (delay,) in delays)
        assert 1 < len({delay for (delay,) in delays})


def test_what_is_asked_for_has_no_edge(side: Side):
    """Of a sum of four, next to nothing lies where the shortest and the longest delay would be."""
    delays = list(asked_for(side, 60))
    assert all(2_000_000 <= delay < 4_000_000 for delay in delays)
    assert 20 < sum(2_500_000 < delay < 3_500_000 for delay in delays)
    assert 50 < len(set(delays))


def asked_for(side: Side, times: int) -> Iterator[int]:
    """Yield what the first line asks libpam for, in microseconds.

    pam_fail_delay(3) of the application stands before libpam's.
    """
    application = side.build_application("asked", "-DTELL_WHAT_IS_ASKED_FOR")
    stack = "auth requisite MODULE first_factor=password\n"
    with Worker(side.socket, TAKES):
        outcome = side.log_in(
            "x123456", stack=stack, application=(application,), options=("-n", str(times))
        )
    yield from (int(line) for line in outcome.of("asked"))


def test_a_program_that_uses_its_handle_again_is_asked_again(side: Side):
    """A code that was left over from an earlier call is not judged in a later one."""
    outcome, heard = log_in(
        side,
        [TAKES, TAKES, ACCEPTS],
        "wrong horse111111",
        f"{HORSE}222222",
        options=("-a", "2"),
    )
    assert [PAM_AUTH_ERR, PAM_SUCCESS] == outcome.codes
    assert [PROMPT, PROMPT] == outcome.shown
    assert [answer(b"222222")] == heard[2][1:]
