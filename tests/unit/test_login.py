"""One login: what is asked and shown, what PAM is told, and what stands in the log."""

from __future__ import annotations

import base64

import pytest

from pam_totp.core import otp
from pam_totp.core.users import SUSPENDED, Authenticator, UserRecord
from pam_totp.login import flow, messages
from tests.support.logs import fields
from tests.support.place import SECRET, code_now, wrong_code
from tests.unit.door import NAMES, Door
from tests.unit.fake_pam import CONSTANTS, PamException
from tests.unit.logfmt import read

RECOVERY_CODE = "0123-4567-89AB-CDEF"
OTHER_RECOVERY_CODE = "FEDC-BA98-7654-3210"
WRONG = "Wrong code. Enter the current code from your app, or a recovery code."
ERROR, INFO = CONSTANTS["PAM_ERROR_MSG"], CONSTANTS["PAM_TEXT_INFO"]


def test_the_pam_codes_are_those_of_the_header() -> None:
    assert frozenset(NAMES) == flow.CODES
    for name in NAMES.values():
        assert CONSTANTS[name] == getattr(flow, name)


# Outcomes


def test_the_right_code_succeeds(door: Door) -> None:
    entered = door.login(code_now())
    assert "PAM_SUCCESS" == entered.result
    assert [(CONSTANTS["PAM_PROMPT_ECHO_OFF"], "Verification code: ")] == entered.pamh.transcript
    assert door.log.lines()[0].endswith(
        "pam_totp(sshd:auth): event=accepted user=alice rhost=198.51.100.7 tty=ssh "
        "authenticator=phone"
    )
    authenticator = door.place.record("alice").authenticators[0]
    assert door.clock.now // 30 == authenticator.last_accepted_step
    assert door.clock.now == authenticator.last_used_at


def test_wrong_codes_are_refused_after_three_attempts(door: Door) -> None:
    entered = door.login(*[wrong_code()] * 3)
    assert "PAM_AUTH_ERR" == entered.result
    assert ["Verification code: "] * 3 == entered.pamh.prompts
    assert [(ERROR, WRONG)] * 3 == entered.pamh.messages
    assert ["rejected"] * 3 == door.log.events()
    assert 3 == door.place.record("alice").failures


def test_a_typo_does_not_cost_the_login(door: Door) -> None:
    entered = door.login(wrong_code(), "12345", code_now())
    assert "PAM_SUCCESS" == entered.result
    assert [WRONG, WRONG] == entered.messages
    assert ["rejected", "malformed", "accepted"] == door.log.events()
    assert 0 == door.place.record("alice").failures


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_as_many_attempts_are_given_as_configured(door: Door, attempts: int) -> None:
    door.place.configure(attempts=attempts)
    entered = door.login(*[wrong_code()] * attempts)
    assert ("PAM_AUTH_ERR", attempts) == (entered.result, len(entered.pamh.prompts))


def test_a_code_used_a_second_time_is_refused(door: Door) -> None:
    door.login(code_now())
    entered = door.login(code_now(), argv=["attempts=1"])
    assert "PAM_AUTH_ERR" == entered.result
    expected = "This code has already been used. Wait for the next one (at most 30 seconds)."
    assert [(ERROR, expected)] == entered.pamh.messages
    assert "event=replayed" in door.log.lines()[-1]
    assert "authenticator=phone wait=30" in door.log.lines()[-1]
    assert 0 == door.place.record("alice").failures


def test_the_code_after_a_replay_is_accepted_in_the_same_call(door: Door) -> None:
    door.login(code_now())
    entered = door.login(code_now(), code_now(1))
    assert "PAM_SUCCESS" == entered.result
    assert ["accepted", "replayed", "accepted"] == door.log.events()


@pytest.mark.parametrize("answer", ["", "12345", "\b\n\r\177INCORRECT", b"\xff\xfe", "\u0661" * 6])
def test_a_malformed_answer_is_refused_and_not_counted(door: Door, answer: str | bytes) -> None:
    entered = door.login(answer, answer, answer)
    assert "PAM_AUTH_ERR" == entered.result
    assert [(ERROR, WRONG)] * 3 == entered.pamh.messages
    assert ["malformed"] * 3 == door.log.events()
    assert 0 == door.place.record("alice").failures


PASSWORDS = ["hunter2", "123456", RECOVERY_CODE]
THAT_WAS_IT = "That was your password. Enter the code from your app."


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("user", ["alice", "bob", "mallory"])
@pytest.mark.parametrize("quiet", [False, True])
def test_a_method_of_sshd_that_answers_with_the_password_is_refused_at_once(
    door: Door, password: str, user: str, quiet: bool
) -> None:
    argv = ["quiet"] if quiet else []
    entered = door.login(password, user=user, authtok=password, blind=True, argv=argv)
    assert ("PAM_AUTH_ERR", 1) == (entered.result, len(entered.pamh.prompts))
    assert [(ERROR, "" if quiet else THAT_WAS_IT)] == entered.pamh.messages
    line = fields(door.log.lines()[-1])
    assert ("malformed", user) == (line["event"], line["user"])
    assert messages.PASSWORD_AS_ANSWER == line["reason"]
    assert "sshd_config" in line["reason"]
    assert 0 == door.place.record("alice").failures


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("service", ["sshd", "login"])
def test_a_password_that_was_typed_twice_is_no_guess_and_there_is_another_try(
    door: Door, password: str, service: str
) -> None:
    entered = door.login(password, code_now(), authtok=password, service=service)
    assert ("PAM_SUCCESS", [(ERROR, THAT_WAS_IT)]) == (entered.result, entered.pamh.messages)
    assert ["malformed", "accepted"] == door.log.events()
    reason = fields(door.log.lines()[0])["reason"]
    assert "the password came in place of the code" == reason


@pytest.mark.parametrize("service", ["sshd", "vsftpd"])
@pytest.mark.parametrize("user", ["alice", "bob", "mallory"])
def test_the_password_is_taken_as_often_as_any_wrong_answer(
    door: Door, user: str, service: str
) -> None:
    entered = door.login(*["hunter2"] * 3, user=user, authtok="hunter2", service=service)
    assert ("PAM_AUTH_ERR", 3) == (entered.result, len(entered.pamh.prompts))
    assert 0 == door.place.record("alice").failures


def test_only_of_sshd_an_answer_to_a_message_means_anything(door: Door) -> None:
    entered = door.login("hunter2", code_now(), authtok="hunter2", blind=True, service="gdm")
    assert "PAM_SUCCESS" == entered.result


def test_where_prompts_alone_are_shown_the_next_one_says_that_it_was_the_password(
    door: Door,
) -> None:
    silent = CONSTANTS["PAM_SILENT"]
    how = {"authtok": "hunter2", "flags": silent, "service": "sudo"}
    entered = door.login("hunter2", code_now(), **how)
    assert f"{THAT_WAS_IT}\nVerification code: " == entered.pamh.prompts[1]


def test_a_code_is_no_password_because_a_password_was_given(door: Door) -> None:
    assert "PAM_SUCCESS" == door.login(code_now(), authtok="hunter2").result


@pytest.mark.parametrize("authtok", [None, "", UnicodeDecodeError("utf-8", b"\xff", 0, 1, "")])
def test_a_password_that_cannot_be_had_is_none(door: Door, authtok: object) -> None:
    assert "PAM_SUCCESS" == door.login(code_now(), authtok=authtok).result


def test_a_password_that_pam_refuses_to_give_is_none(door: Door) -> None:
    assert "PAM_SUCCESS" == door.login(code_now(), authtok=PamException()).result


def test_the_fifth_wrong_code_starts_a_wait_and_ends_the_call(door: Door) -> None:
    door.place.enrol("carol", failures=4)
    entered = door.login(wrong_code(), user="carol")
    assert "PAM_AUTH_ERR" == entered.result
    expected = "Wrong code. Too many in a row: wait 30 seconds before the next try."
    assert [(ERROR, expected)] == entered.pamh.messages
    assert "event=rejected user=carol" in door.log.lines()[0]
    assert " wait=30" in door.log.lines()[0]


@pytest.mark.parametrize("recovery", [False, True])
def test_whoever_must_wait_is_told_for_how_long_and_sent_away(door: Door, recovery: bool) -> None:
    before = door.place.enrol(
        "carol", recovery_codes=(RECOVERY_CODE,), failures=5, throttled_until=1_700_000_030
    )
    entered = door.login(RECOVERY_CODE if recovery else code_now(), user="carol")
    assert "PAM_MAXTRIES" == entered.result
    expected = "Too many wrong codes. Wait 20 seconds before the next try."
    assert [(ERROR, expected)] == entered.pamh.messages
    assert door.log.lines()[0].endswith(
        "event=throttled user=carol rhost=198.51.100.7 tty=ssh wait=20"
    )
    after = door.place.record("carol")
    assert (before.failures, before.throttled_until) == (after.failures, after.throttled_until)
    assert before.recovery_digests == after.recovery_digests
    assert -1 == after.authenticators[0].last_accepted_step


@pytest.mark.parametrize("recovery", [False, True])
def test_whoever_is_locked_out_stays_out(door: Door, recovery: bool) -> None:
    door.place.enrol("carol", recovery_codes=(RECOVERY_CODE,), failures=100)
    entered = door.login(RECOVERY_CODE if recovery else code_now(), user="carol")
    assert "PAM_MAXTRIES" == entered.result
    expected = "Too many wrong codes: locked. An administrator can run: totpctl unlock carol"
    assert [(ERROR, expected)] == entered.pamh.messages
    assert ["locked"] == door.log.events()


def test_a_recovery_code_succeeds_once(door: Door) -> None:
    door.place.enrol("carol", recovery_codes=(RECOVERY_CODE, OTHER_RECOVERY_CODE))
    entered = door.login("ol23 4567 89ab cdef", user="carol")
    assert "PAM_SUCCESS" == entered.result
    expected = (
        "Recovery code accepted. It is used up; 1 left. "
        "Ask an administrator for new ones: totpctl recovery-codes"
    )
    assert [(INFO, expected)] == entered.pamh.messages
    assert "event=recovery_used user=carol" in door.log.lines()[0]
    assert door.log.lines()[0].endswith(" recovery_codes_left=1")
    assert 1 == len(door.place.record("carol").recovery_digests)
    assert "PAM_AUTH_ERR" == door.login(RECOVERY_CODE, user="carol", argv=["attempts=1"]).result
    assert 1 == door.place.record("carol").failures


def test_a_recovery_code_of_somebody_else_is_refused(door: Door) -> None:
    door.place.enrol("carol", recovery_codes=(RECOVERY_CODE,))
    door.place.enrol("dave", recovery_codes=(OTHER_RECOVERY_CODE,))
    entered = door.login(RECOVERY_CODE, user="dave", argv=["attempts=1"])
    assert "PAM_AUTH_ERR" == entered.result
    assert 1 == len(door.place.record("carol").recovery_digests)


def test_a_recovery_code_of_a_user_without_any_is_refused(door: Door) -> None:
    assert "PAM_AUTH_ERR" == door.login(RECOVERY_CODE, argv=["attempts=1"]).result
    assert 1 == door.place.record("alice").failures


@pytest.mark.parametrize("status", ["suspended", "must_enroll"])
def test_a_suspended_user_is_refused_whatever_the_code(door: Door, status: str) -> None:
    door.place.enrol("carol", recovery_codes=(RECOVERY_CODE,), status=status)
    entered = door.login(code_now(), wrong_code(), RECOVERY_CODE, user="carol")
    assert "PAM_AUTH_ERR" == entered.result
    assert [(ERROR, WRONG)] * 3 == entered.pamh.messages
    assert ["rejected"] * 3 == door.log.events()
    assert 1 == len(door.place.record("carol").recovery_digests)


def test_the_log_says_that_a_user_is_suspended(door: Door) -> None:
    door.place.enrol("carol", status=SUSPENDED)
    door.login(code_now(), user="carol", argv=["attempts=1"])
    assert "event=rejected user=carol" in door.log.lines()[0]
    assert door.log.lines()[0].endswith(" reason=suspended")


def test_eight_digits_sha512_and_a_minute_work_as_well(door: Door) -> None:
    with door.place.open() as store, store.transaction("carol") as transaction:
        app = Authenticator("c1", "desk", SECRET, "SHA512", 8, 60)
        transaction.save(UserRecord("carol", authenticators=(app,)))
    code = otp.hotp(SECRET, int(door.clock.now) // 60, "SHA512", 8)
    assert "PAM_SUCCESS" == door.login(f"{code[:4]} {code[4:]}", user="carol").result


def test_any_of_several_authenticators_opens(door: Door) -> None:
    tablet = b"ABCDEFGHIJKLMNOPQRST"
    door.place.enrol("alice", tablet, label="tablet")
    assert "PAM_SUCCESS" == door.login(code_now(secret=tablet)).result
    assert "PAM_SUCCESS" == door.login(code_now()).result
    assert ["tablet", "phone"] == [line.split("authenticator=")[1] for line in door.log.lines()]


# Meanwhile


def test_nothing_is_locked_while_a_person_types(door: Door) -> None:
    def somebody_else_writes() -> None:
        with door.place.open() as store, store.transaction("alice") as transaction:
            transaction.save(transaction.record)

    assert "PAM_SUCCESS" == door.login(door.meanwhile(code_now(), somebody_else_writes)).result


def test_a_user_who_is_suspended_while_typing_is_refused(door: Door) -> None:
    def suspend() -> None:
        with door.place.open() as store, store.transaction("alice") as transaction:
            transaction.save(transaction.record._replace(status=SUSPENDED))

    entered = door.login(door.meanwhile(code_now(), suspend), argv=["attempts=1"])
    assert "PAM_AUTH_ERR" == entered.result


@pytest.mark.parametrize("answer", ["right", RECOVERY_CODE])
def test_a_user_who_is_removed_while_typing_is_refused(door: Door, answer: str) -> None:
    def remove() -> None:
        with door.place.open() as store, store.transaction("alice") as transaction:
            transaction.save(None)

    text = code_now() if answer == "right" else answer
    entered = door.login(door.meanwhile(text, remove), argv=["attempts=1", "unenrolled=skip"])
    assert "PAM_AUTH_ERR" == entered.result
    assert ["rejected"] == door.log.events()


def test_a_code_that_was_used_elsewhere_while_typing_is_refused(door: Door) -> None:
    text = code_now()
    elsewhere = door.meanwhile(text, lambda: door.login(text))
    assert "PAM_AUTH_ERR" == door.login(elsewhere, argv=["attempts=1"]).result
    assert ["accepted", "replayed"] == door.log.events()


# What is shown


def test_the_prompt_is_as_configured(door: Door) -> None:
    door.place.configure(prompt='"Code from your app: "', echo="yes")
    expected = [(CONSTANTS["PAM_PROMPT_ECHO_ON"], "Code from your app: ")]
    assert expected == door.login(code_now()).pamh.transcript


@pytest.mark.parametrize(
    ("argv", "flags"), [(["quiet"], 0), (["quiet=yes"], 0), ([], CONSTANTS["PAM_SILENT"])]
)
def test_a_quiet_login_is_asked_and_told_nothing(door: Door, argv: list[str], flags: int) -> None:
    entered = door.login(wrong_code(), "junk", wrong_code(), argv=argv, flags=flags)
    assert "PAM_AUTH_ERR" == entered.result
    assert [] == entered.pamh.messages
    assert 3 == len(entered.pamh.prompts)


def test_other_flags_do_not_silence(door: Door) -> None:
    flags = CONSTANTS["PAM_DISALLOW_NULL_AUTHTOK"]
    assert [WRONG] == door.login("junk", argv=["attempts=1"], flags=flags).messages


def test_an_application_that_shows_no_messages_changes_nothing(door: Door) -> None:
    assert "PAM_SUCCESS" == door.login(wrong_code(), code_now(), deaf=PamException).result


# What is logged


def test_debug_logs_decisions_and_no_values(door: Door) -> None:
    door.login(wrong_code(), code_now(), argv=["debug"])
    assert ["rejected", "debug", "accepted", "debug"] == door.log.events()
    assert "decision=accepted attempts=3" in door.log.lines()[-1]
    assert code_now() not in door.log.text()


@pytest.mark.parametrize(
    "text",
    ["x event=accepted", 'x"\nevent=accepted', "\u202e", "\x1b]0;x\x07"],
)
def test_whoever_logs_in_writes_no_log_line_of_their_own(door: Door, text: str) -> None:
    door.login("junk", user=text, rhost=text, tty=text, ruser=text, argv=["attempts=1"])
    lines = [read(line[line.index("pam_totp(") :]) for line in door.log.lines()]
    items = {"user": text, "rhost": text, "tty": text, "ruser": text}
    assert [{"event": "unenrolled", **items}, {"event": "malformed", **items}] == lines
    assert all(line.isprintable() for line in door.log.lines())


def test_items_that_pam_does_not_have_are_left_out_of_the_log(door: Door) -> None:
    door.login(code_now(), service="su", rhost=None, tty=None)
    assert door.log.lines()[0].endswith(
        "pam_totp(su:auth): event=accepted user=alice authenticator=phone"
    )


def test_items_that_are_not_utf_8_do_not_stop_a_login(door: Door) -> None:
    broken = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "")
    entered = door.login(code_now(), service=broken, rhost=broken, tty=broken, ruser=broken)
    assert "PAM_SUCCESS" == entered.result
    assert 'pam_totp("?:auth"): event=accepted user=alice rhost="?"' in door.log.lines()[0]


def test_no_line_holds_a_code_a_secret_or_a_password(door: Door) -> None:
    door.place.enrol("carol", recovery_codes=(RECOVERY_CODE,), status=SUSPENDED)
    wrong, right, password = wrong_code(), code_now(), "hunter2"
    for user in ("alice", "bob", "carol", "nobody-here"):
        for answer in (wrong, RECOVERY_CODE, password, "my-junk", right, right):
            door.login(answer, user=user, authtok=password, argv=["attempts=1", "debug"])
    text = door.log.text()
    assert 24 < len(door.log.lines())
    key = door.place.key_path.read_text(encoding="ascii").strip()
    base32 = base64.b32encode(SECRET).decode("ascii")
    for value in (wrong, right, password, "my-junk", SECRET.decode(), SECRET.hex(), base32, key):
        assert value not in text
    assert RECOVERY_CODE not in text
    assert RECOVERY_CODE.replace("-", "") not in text
