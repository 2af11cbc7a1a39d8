"""Password and code in one answer, by real stacks: who gets in, what is used up, what is seen."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from typing import Any

import pytest

from pam_totp.core.users import EXEMPT, MUST_ENROLL, SUSPENDED
from pam_totp.stack import pam_stack
from tests.native.module_side import Outcome
from tests.support import hosts
from tests.support.logs import LogSocket, fields
from tests.support.native import build_application, build_one_password
from tests.support.pam_stack import (
    ME,
    PAM_AUTH_ERR,
    PAM_AUTHINFO_UNAVAIL,
    PAM_SUCCESS,
    Stack,
)
from tests.support.place import Place, code_now, wrong_code

HORSE = "correct horse"
PROMPT = (1, "Password and code: ")
PASSWORD, CODE = (1, "Password: "), (1, "Verification code: ")
RECOVERY_CODE = "ABCD-EFGH-JKMN-PQRS"


class OneField:
    """A program that can ask only once, or twice, and the service that it logs in by."""

    def __init__(self, stack: Stack, place: Place) -> None:
        self._stack = stack
        self.place = place
        self.first = stack.line("first_factor=password", "one_prompt", control="requisite")
        self.judges = stack.line()
        (stack.folder / "other").write_text("auth required pam_deny.so\n")
        self.use(self.first, *debian(), self.judges)

    def use(self, *lines: str) -> None:
        self._stack.write(*lines)

    def log_in(self, *typed: str, user: str = ME, options: tuple[str, ...] = ()) -> Outcome:
        output = self._stack.folder.with_name("output")
        output.write_bytes(b"")
        command = [build_application(), *options, self._stack.folder, "login", output, user]
        subprocess.run(
            [*command, *typed],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )
        return Outcome(output.read_bytes().decode("utf-8", "backslashreplace").split("\n"))

    def judgement(self) -> pam_stack.Judgement:
        return pam_stack.judge(pam_stack.auth_stack("login", self._read))

    def state(self) -> tuple[int, bool]:
        """Return how many wrong codes are counted, and whether the code of now was used up."""
        record = self.place.record(ME)
        step = int(time.time()) // 30
        return record.failures, record.authenticators[0].last_accepted_step >= step - 1

    def _read(self, name: str) -> str | None:
        path = self._stack.folder / name
        if not path.exists():
            return None
        return path.read_text(encoding="utf-8").replace(self._stack.module, "pam_totp.so")


def debian(password: str = HORSE) -> tuple[str, ...]:
    """Return the lines of common-auth, with a module in which the password is known."""
    return (
        f"auth [success=1 default=ignore] {build_one_password()} [{password}]",
        "auth requisite pam_deny.so",
        "auth required pam_permit.so",
    )


@pytest.fixture
def field(stack: Stack, place: Place) -> OneField:
    return OneField(stack, place)


# What a stranger may know: neither, one of both, or both


@pytest.mark.parametrize(
    ("password", "code", "granted", "events", "state"),
    [
        (HORSE, code_now, True, ["accepted"], (0, True)),
        ("wrong", code_now, False, [], (0, False)),
        (HORSE, wrong_code, False, ["rejected"], (1, False)),
        ("wrong", wrong_code, False, [], (0, False)),
    ],
    ids=["both", "the code alone", "the password alone", "neither"],
)
def test_only_both_get_in_and_only_after_the_password_something_is_counted_or_used_up(
    field: OneField,
    log: LogSocket,
    password: str,
    code: Any,
    granted: bool,
    events: list[str],
    state: tuple[int, bool],
) -> None:
    field.place.enrol(ME)
    outcome = field.log_in(password + code())
    assert ([PROMPT], [password]) == (outcome.shown, outcome.passwords_tried)
    assert (PAM_SUCCESS if granted else PAM_AUTH_ERR) == outcome.code
    assert (events, state) == (log.events(), field.state())


def test_refusals_differ_in_nothing_that_an_application_gets(
    field: OneField, log: LogSocket
) -> None:
    """Nor in what it is asked to wait: at least two seconds, then by chance."""
    field.place.enrol(ME)
    field.place.enrol(ME, b"another secret of somebody", label="locked", failures=0)
    typed = ["wrong" + code_now(), HORSE + wrong_code(), HORSE, "", f"{HORSE} {RECOVERY_CODE}"]
    seen = [field.log_in(each) for each in typed]
    assert {PAM_AUTH_ERR} == {outcome.code for outcome in seen}
    assert [[PROMPT]] * len(seen) == [outcome.shown for outcome in seen]
    assert all(1_000_000 < delay for outcome in seen for delay in outcome.delays)


def test_the_code_of_a_wrong_password_is_still_good(field: OneField) -> None:
    field.place.enrol(ME)
    code = code_now(1)
    assert PAM_AUTH_ERR == field.log_in("wrong" + code).code
    assert PAM_SUCCESS == field.log_in(HORSE + code).code


def test_a_code_is_accepted_once(field: OneField, log: LogSocket) -> None:
    field.place.enrol(ME)
    code = code_now(1)
    codes = [field.log_in(HORSE + code).code for _ in range(2)]
    assert ([PAM_SUCCESS, PAM_AUTH_ERR], ["accepted", "replayed"]) == (codes, log.events())


def test_wrong_codes_make_the_owner_wait_and_nobody_is_told(
    field: OneField, log: LogSocket
) -> None:
    field.place.enrol(ME, failures=4)
    assert PAM_AUTH_ERR == field.log_in(HORSE + wrong_code()).code
    outcome = field.log_in(HORSE + code_now())
    assert (PAM_AUTH_ERR, [PROMPT]) == (outcome.code, outcome.shown)
    assert ["rejected", "throttled"] == log.events()


def test_a_locked_user_sees_no_more(field: OneField, log: LogSocket) -> None:
    field.place.enrol(ME, failures=100)
    outcome = field.log_in(HORSE + code_now())
    assert (PAM_AUTH_ERR, [PROMPT], ["locked"]) == (outcome.code, outcome.shown, log.events())


def test_an_answer_without_a_code_does_not_try_the_password(
    field: OneField, log: LogSocket
) -> None:
    field.place.enrol(ME)
    outcome = field.log_in(HORSE)
    assert (PAM_AUTH_ERR, ["malformed"], (0, False)) == (outcome.code, log.events(), field.state())
    assert HORSE not in outcome.passwords_tried


def test_a_recovery_code_gets_in_once(field: OneField, log: LogSocket) -> None:
    field.place.enrol(ME, recovery_codes=(RECOVERY_CODE,))
    codes = [field.log_in(f"{HORSE} {RECOVERY_CODE.lower()}").code for _ in range(2)]
    assert ([PAM_SUCCESS, PAM_AUTH_ERR], ["recovery_used", "rejected"]) == (codes, log.events())


@pytest.mark.parametrize(
    "password",
    ["horse 2000", "20241231", " ", "horse ", "pässwörd 🐎", "$(reboot)", "%s%n", "x" * 400],
)
def test_any_password_comes_whole(field: OneField, password: str) -> None:
    field.place.enrol(ME)
    field.use(field.first, *debian(password), field.judges)
    assert PAM_SUCCESS == field.log_in(f"{password} {code_now(1)}").code


# Whom no code is asked of, and who cannot have one


WHO: dict[str, dict[str, Any]] = {
    "exempt": {"status": EXEMPT},
    "suspended": {"status": SUSPENDED},
    "must enroll": {"status": MUST_ENROLL, "authenticators": ()},
}


def become(field: OneField, **fields: Any) -> None:
    field.place.enrol(ME)
    with field.place.open() as store, store.transaction(ME) as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(**fields))


@pytest.mark.parametrize("password", [HORSE, "horse123456", "horse 123456"])
@pytest.mark.parametrize("why", ["exempt", "not enrolled"])
def test_whoever_has_no_code_types_the_password_alone_and_it_is_tried_whole(
    field: OneField, log: LogSocket, why: str, password: str
) -> None:
    if why == "exempt":
        become(field, status=EXEMPT)
    else:
        field.place.configure(unenrolled="skip")
    field.use(field.first, *debian(password), field.judges)
    outcome = field.log_in(password)
    assert (PAM_SUCCESS, [password], ["skipped"]) == (
        outcome.code,
        outcome.passwords_tried,
        log.events(),
    )
    assert PAM_AUTH_ERR == field.log_in(f"{password}654321").code


@pytest.mark.parametrize("why", ["suspended", "must enroll", "not enrolled", "nobody"])
def test_whoever_is_denied_is_denied_as_by_a_wrong_password(
    field: OneField, log: LogSocket, why: str
) -> None:
    if why in WHO:
        become(field, **WHO[why])
    user = "nobody-here" if why == "nobody" else ME
    for typed in (HORSE + code_now(), HORSE, "wrong" + code_now()):
        outcome = field.log_in(typed, user=user)
        assert (PAM_AUTH_ERR, [PROMPT]) == (outcome.code, outcome.shown), typed


def test_a_first_enrollment_cannot_be_shown_and_the_log_says_so(
    field: OneField, log: LogSocket
) -> None:
    field.place.configure(unenrolled="enroll")
    outcome = field.log_in(HORSE + "123456")
    assert (PAM_AUTH_ERR, [PROMPT]) == (outcome.code, outcome.shown)
    assert "enrollment was not offered: this login asks only once" in log.lines()[0]


# Lines that are missing, or in another order


def test_without_the_second_line_the_password_is_enough_and_the_judge_says_so(
    field: OneField,
) -> None:
    field.place.enrol(ME)
    field.use(field.first, *debian())
    assert PAM_SUCCESS == field.log_in(HORSE + wrong_code()).code
    assert [1] == [line.number for line in field.judgement().bypasses]


def test_without_the_first_line_a_program_that_asks_only_once_lets_nobody_in(
    field: OneField, log: LogSocket
) -> None:
    field.place.enrol(ME)
    field.use(*debian(), field.judges)
    for typed in (HORSE + code_now(), HORSE, code_now()):
        assert PAM_AUTH_ERR == field.log_in(*[typed] * 4).code
    assert (0, False) == field.state()


def test_without_the_first_line_a_program_that_asks_twice_goes_on_as_ever(field: OneField) -> None:
    field.place.enrol(ME)
    field.use(*debian(), field.judges)
    outcome = field.log_in(HORSE, code_now(1))
    assert (PAM_SUCCESS, [PASSWORD, CODE]) == (outcome.code, outcome.shown)


def test_a_first_line_that_is_switched_off_asks_one_after_the_other(
    field: OneField, stack: Stack
) -> None:
    field.place.enrol(ME)
    field.use(stack.line("first_factor=password", control="requisite"), *debian(), field.judges)
    outcome = field.log_in(HORSE, code_now(1))
    assert (PAM_SUCCESS, [PASSWORD, CODE]) == (outcome.code, outcome.shown)
    field.place.configure(one_prompt="yes", one_prompt_text='"Both: "')
    outcome = field.log_in(HORSE + code_now(2))
    assert [(1, "Both: ")] == outcome.shown


@hosts.only(hosts.SERVICE)  # it takes the longest
def test_in_any_order_nobody_gets_in_with_less_than_both_unless_the_judge_says_so(
    field: OneField, log: LogSocket
) -> None:
    field.place.enrol(ME)
    step = f"auth requisite {build_one_password()} [{HORSE}]"
    wrong, less = HORSE + wrong_code(), [HORSE, "wrong" + code_now(1), code_now(1), ""]
    for lines in itertools.permutations((field.first, step, field.judges)):
        field.use(*lines)
        for typed in (wrong, *less):
            outcome = field.log_in(*[typed] * 4)
            assert PAM_AUTH_ERR == outcome.code, (lines, typed)
        log.lines()
        unlock(field)
        found = field.judgement()
        sound = lines == (field.first, step, field.judges)
        misplaced = [*found.before_password, *found.too_late]
        assert sound == (not misplaced), lines


def unlock(field: OneField) -> None:
    with field.place.open() as store, store.transaction(ME) as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(failures=0, throttled_until=0))


def test_a_sufficient_password_gets_past_the_second_line_and_the_judge_says_so(
    field: OneField,
) -> None:
    """As Fedora and RHEL have it: what enable writes there is a copy that jumps."""
    field.place.enrol(ME)
    sufficient = f"auth sufficient {build_one_password()} [{HORSE}]"
    field.use(field.first, sufficient, "auth required pam_deny.so", field.judges)
    assert PAM_SUCCESS == field.log_in(HORSE + wrong_code()).code
    assert [2] == [line.number for line in field.judgement().bypasses]


def test_two_first_lines_let_nobody_in(field: OneField, log: LogSocket) -> None:
    field.place.enrol(ME)
    field.use(field.first, *debian(), field.first)
    assert PAM_AUTH_ERR == field.log_in(HORSE + code_now()).code
    assert "none of them decides" in fields(log.lines()[-1])["reason"]
    assert field.judgement().bypasses


def test_setcred_and_a_second_login_on_one_handle_go_on(field: OneField) -> None:
    field.place.enrol(ME)
    typed = ("wrong" + code_now(1), HORSE + code_now(1))
    outcome = field.log_in(*typed, options=("-s", "-a", "2"))
    assert [PAM_AUTH_ERR, PAM_SUCCESS] == outcome.codes
    assert ["0"] == outcome.of("setcred")


def test_a_store_that_is_away_denies_before_the_password(field: OneField, log: LogSocket) -> None:
    field.place.enrol(ME)
    field.place.store_path.rename(field.place.store_path.with_name("away"))
    outcome = field.log_in(HORSE + code_now())
    assert (PAM_AUTHINFO_UNAVAIL, []) == (outcome.code, outcome.passwords_tried)


@hosts.only(hosts.SERVICE)  # by pam_python this is about UTF-8 alone
def test_a_password_that_is_not_text_comes_whole(field: OneField, stack: Stack) -> None:
    field.place.enrol(ME)
    password = os.fsdecode(b"\xff\x80")
    field.use(field.first, *debian("PASSWORD"), field.judges)
    file = stack.folder / "login"
    file.write_bytes(file.read_bytes().replace(b"PASSWORD", b"\xff\x80"))
    assert PAM_SUCCESS == field.log_in(password + code_now(1)).code
