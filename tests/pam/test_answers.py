"""What a person, or whoever sits at the prompt, may type."""

from __future__ import annotations

import pytest

from tests.support import hosts
from tests.support.logs import LogSocket, fields
from tests.support.pam_stack import (
    ME,
    PAM_AUTH_ERR,
    PAM_MAXTRIES,
    PAM_SUCCESS,
    PROMPT,
    Stack,
    find_pam_wrapper_module,
)
from tests.support.place import Place, code_now, wrong_code

WRONG = "Wrong code. Enter the current code from your app, or a recovery code."
HOSTILE = {
    "nothing": b"",
    "blanks": b"      ",
    "too few digits": b"12345",
    "too many digits": b"123456789",
    "a sign": b"+12345",
    "a thousand digits": b"1" * 1000,
    "a megabyte": b"1" * 1_000_000,
    "control characters": bytes(set(range(1, 32)) - {10}),
    "escape sequences": b"\x1b]0;title\x07\x1b[2J",
    "not UTF-8": b"\xff\xfe\x80",
    "a lone surrogate": b"\xed\xa0\x80",
    "cut off UTF-8": b"12345\xc3",
    "Arabic digits": "١٢٣٤٥٦".encode(),
    "a right-to-left override": "\u202e654321".encode(),
    "sshd's answer for who may not log in": b"\b\r\x7fINCORRECT",
    "a format string": b"%n%n%n%s%s",
    "SQL": b"' OR 1=1; DROP TABLE users; --",
    "a log line": b'" event=accepted user="root',
}


@hosts.mostly_service("answer", HOSTILE)
def test_junk_is_malformed_and_neither_counted_nor_logged(
    stack: Stack, place: Place, log: LogSocket, answer: bytes
) -> None:
    stack.probe("attempts=1", "debug")
    before = place.enrol(ME, failures=2)
    result = stack.authenticate(answer)
    assert (PAM_AUTH_ERR, 1) == (result.code, result.prompts)
    assert f"{PROMPT}{WRONG}\npamtester: Authentication failure\n" == result.shown
    assert ["malformed", "debug"] == log.events()
    allowed = {"module", "event", "user", "decision", "attempts"}
    assert all(fields(line).keys() <= allowed for line in log.lines())
    after = place.record(ME)
    assert (2, -1) == (after.failures, after.authenticators[0].last_accepted_step)
    assert before.authenticators[0].id == after.authenticators[0].id


def test_junk_with_a_line_feed_is_two_answers_and_neither_is_counted(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    stack.probe("attempts=2")
    place.enrol(ME)
    assert PAM_AUTH_ERR == stack.authenticate(b"\b\n\r\x7fINCORRECT").code
    assert ["malformed", "malformed"] == log.events()
    assert 0 == place.record(ME).failures


def test_code_after_a_nul_byte_is_not_seen(stack: Stack, place: Place) -> None:
    stack.probe("attempts=1")
    place.enrol(ME)
    assert PAM_AUTH_ERR == stack.authenticate(b"\0" + code_now().encode("ascii")).code


@pytest.mark.parametrize("form", ["{0}{1}", "{0} {1}", " {0} {1} "])
def test_code_may_be_typed_with_spaces(stack: Stack, place: Place, form: str) -> None:
    place.enrol(ME)
    code = code_now()
    assert PAM_SUCCESS == stack.authenticate(form.format(code[:3], code[3:])).code


@pytest.mark.parametrize(
    "typed",
    ["0123-4567-89AB-CDEF", "0123456789abcdef", "o123 4567 89ab cdef", "Oi23-4567-89AB-CDEF"],
)
def test_recovery_code_may_be_typed_as_it_is_read(
    stack: Stack, place: Place, log: LogSocket, typed: str
) -> None:
    place.enrol(ME, recovery_codes=("0123-4567-89AB-CDEF",))
    assert PAM_SUCCESS == stack.authenticate(typed).code
    assert ["recovery_used"] == log.events()
    assert "0" == fields(log.lines()[0])["recovery_codes_left"]


def test_three_attempts_are_made_in_one_call(stack: Stack, place: Place, log: LogSocket) -> None:
    place.enrol(ME)
    wrong = wrong_code()
    result = stack.authenticate(wrong, wrong, wrong, code_now())
    assert (PAM_AUTH_ERR, 3) == (result.code, result.prompts)
    assert ["rejected"] * 3 == log.events()
    assert 3 == place.record(ME).failures


@pytest.mark.parametrize("first", ["wrong", "malformed"])
def test_right_code_after_a_typo_is_success(stack: Stack, place: Place, first: str) -> None:
    place.enrol(ME)
    typo = wrong_code() if first == "wrong" else "12345"
    result = stack.authenticate(typo, code_now())
    assert (PAM_SUCCESS, 2) == (result.code, result.prompts)
    assert 0 == place.record(ME).failures


def test_next_code_after_a_replayed_one_is_success(stack: Stack, place: Place) -> None:
    place.enrol(ME)
    code, following = code_now(), code_now(+1)
    stack.authenticate(code)
    assert PAM_SUCCESS == stack.authenticate(code, following).code


def test_attempts_says_how_often_one_call_asks(stack: Stack, place: Place) -> None:
    place.enrol(ME)
    place.configure(attempts=2)
    assert 2 == stack.authenticate("junk", "junk", "junk").prompts
    stack.probe("attempts=1")
    assert 1 == stack.authenticate("junk", "junk", "junk").prompts


def test_fifth_wrong_code_in_a_row_ends_the_call_and_starts_the_wait(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    stack.probe("attempts=10")
    place.enrol(ME)
    wrong = wrong_code()
    fifth = stack.authenticate(*[wrong] * 5, code_now())
    assert (PAM_AUTH_ERR, 5) == (fifth.code, fifth.prompts)
    assert "Too many in a row: wait 30 seconds before the next try." in fifth.shown
    sixth = stack.authenticate(code_now())
    assert PAM_MAXTRIES == sixth.code
    assert ["rejected"] * 5 + ["throttled"] == log.events()
    assert 5 == place.record(ME).failures


def test_wrong_codes_of_an_unknown_user_are_throttled_alike(stack: Stack, log: LogSocket) -> None:
    stack.probe("attempts=10")
    fifth = stack.authenticate(*["000000"] * 6, user="no-such-user")
    assert (PAM_AUTH_ERR, 5) == (fifth.code, fifth.prompts)
    assert PAM_MAXTRIES == stack.authenticate("000000", user="no-such-user").code
    assert "throttled" == log.events()[-1]


def test_answer_does_not_tell_who_is_enrolled(stack: Stack, place: Place, log: LogSocket) -> None:
    junk = ("junk", "0123-4567-89AB-CDEF")
    unenrolled = stack.authenticate("000000", *junk)
    unknown = stack.authenticate("000000", *junk, user="no-such-user")
    assert ["unenrolled", "rejected", "malformed", "rejected"] * 2 == log.events()
    place.enrol(ME)
    enrolled = stack.authenticate(wrong_code(), *junk)
    with place.open() as store, store.transaction(ME) as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(status="suspended"))
    suspended = stack.authenticate(code_now(), *junk)
    assert (PAM_AUTH_ERR, 3) == (enrolled.code, enrolled.prompts)
    assert [enrolled] * 3 == [unenrolled, unknown, suspended]


def test_password_given_again_is_said_to_be_one_and_asks_again(
    stack: Stack, place: Place, log: LogSocket
) -> None:
    """Of sshd's method that does so, see tests/e2e/test_ssh_odd.py."""
    place.enrol(ME)
    stack.write(f"auth required {find_pam_wrapper_module('pam_set_items.so')}", stack.line())
    result = stack.authenticate("123456", code_now(), environment={"PAM_AUTHTOK": "123456"})
    assert (PAM_SUCCESS, 2) == (result.code, result.prompts)
    assert "That was your password. Enter the code from your app." in result.shown
    assert ["malformed", "accepted"] == log.events()
    assert "sshd_config" not in fields(log.lines()[0])["reason"]
    assert "123456" not in log.text()


def test_prompt_is_the_one_configured(stack: Stack, place: Place) -> None:
    place.enrol(ME)
    place.configure(prompt='"Einmalkennwort für Zürich: "')
    assert stack.authenticate(code_now()).shown.startswith("Einmalkennwort für Zürich: ")


@pytest.mark.parametrize("how", ["quiet=yes", "quiet", "PAM_SILENT"])
def test_nothing_but_the_prompt_is_shown_when_quiet(stack: Stack, place: Place, how: str) -> None:
    place.enrol(ME)
    operation = "authenticate"
    if how == "PAM_SILENT":
        operation += "(PAM_SILENT)"
    else:
        stack.probe(how)
    result = stack.authenticate("junk", code_now(), operations=(operation,))
    again = f"{WRONG}\n{PROMPT}" if how == "PAM_SILENT" else PROMPT  # sudo's people have to know
    assert f"{PROMPT}{again}pamtester: successfully authenticated\n" == result.shown
