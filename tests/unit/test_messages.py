from __future__ import annotations

import pytest

from pam_totp.core import verifier
from pam_totp.core.verifier import Verdict
from pam_totp.login import messages
from pam_totp.login.messages import UNAVAILABLE, failed_before, for_verdict
from tests.support.each import each

WRONG = "Wrong code. Enter the current code from your app, or a recovery code."
OUTCOMES = [
    verifier.ACCEPTED,
    verifier.RECOVERY_USED,
    verifier.REJECTED,
    verifier.REPLAYED,
    verifier.MALFORMED,
    verifier.PASSWORD,
    verifier.THROTTLED,
    verifier.LOCKED,
]


@each(
    ("verdict", "text"),
    [
        (Verdict(verifier.ACCEPTED, "phone"), ""),
        (Verdict(verifier.REJECTED), WRONG),
        (Verdict(verifier.MALFORMED), WRONG),
        (
            Verdict(verifier.REJECTED, wait=30),
            "Wrong code. Too many in a row: wait 30 seconds before the next try.",
        ),
        (
            Verdict(verifier.REPLAYED, "phone", 17),
            "This code has already been used. Wait for the next one (at most 17 seconds).",
        ),
        (
            Verdict(verifier.THROTTLED, wait=42),
            "Too many wrong codes. Wait 42 seconds before the next try.",
        ),
        (
            Verdict(verifier.LOCKED),
            "Too many wrong codes: locked. An administrator can run: totpctl unlock alice",
        ),
        (
            Verdict(verifier.PASSWORD),
            "That was your password. Enter the code from your app.",
        ),
        (
            Verdict(verifier.RECOVERY_USED, recovery_codes_left=4),
            "Recovery code accepted. It is used up; 4 left.",
        ),
        (
            Verdict(verifier.RECOVERY_USED, recovery_codes_left=3),
            "Recovery code accepted. It is used up; 3 left. "
            "Ask an administrator for new ones: totpctl recovery-codes",
        ),
        (
            Verdict(verifier.RECOVERY_USED),
            "Recovery code accepted. It is used up; 0 left. "
            "Ask an administrator for new ones: totpctl recovery-codes",
        ),
    ],
)
def test_a_verdict_is_told_in_one_line(verdict: Verdict, text: str) -> None:
    assert text == for_verdict(verdict, "alice")


@each("outcome", OUTCOMES)
@each("wait", [0, 30])
def test_every_message_is_one_ascii_line(outcome: str, wait: int) -> None:
    """A client in the C locale shows anything else as octal escapes."""
    text = for_verdict(Verdict(outcome, "phone", wait), "alice")
    assert text.isascii()
    assert text == "" or text.isprintable()


@each("outcome", OUTCOMES)
def test_no_message_names_the_authenticator(outcome: str) -> None:
    assert "my own phone" not in for_verdict(Verdict(outcome, "my own phone", 5), "alice")


def test_a_malformed_answer_and_a_wrong_code_read_the_same() -> None:
    wrong = for_verdict(Verdict(verifier.REJECTED), "alice")
    assert wrong == for_verdict(Verdict(verifier.MALFORMED), "alice")


def test_unavailable_points_to_the_system_log() -> None:
    assert "system log" in UNAVAILABLE
    assert UNAVAILABLE.isascii()


@pytest.mark.parametrize(
    ("failures", "text"),
    [
        (0, ""),
        (1, "1 wrong code since the last login. If it was not yours, change your password."),
        (2, "2 wrong codes since the last login. If they were not yours, change your password."),
        (99, "99 wrong codes since the last login. If they were not yours, change your password."),
    ],
)
def test_failures_before_are_counted_in_one_line(failures: int, text: str) -> None:
    assert text == failed_before(failures)


# Enrolment at a login

ADDRESS = "otpauth://totp/Host:alice?secret=ABCDEFGH&issuer=Host"


@pytest.mark.parametrize(
    ("uri", "picture", "expected"),
    [
        (
            ADDRESS,
            ["##", "##"],
            [
                "Scan the picture with the app, or give it this address or this secret:",
                f"  {ADDRESS}",
                "Secret: ABCD EFGH",
                "On a light terminal, press Enter for another picture; "
                "if it is garbled, type in the secret.",
                "##",
                "##",
                "Secret: ABCD EFGH",
            ],
        ),
        (
            ADDRESS,
            [],
            [
                "Give this address or this secret to the app:",
                f"  {ADDRESS}",
                "Secret: ABCD EFGH",
            ],
        ),
        ("", [], ["Give this secret to the app:", "Secret: ABCD EFGH"]),
    ],
    ids=["all", "no picture", "the secret alone"],
)
def test_an_enrolment_shows_the_secret_and_what_there_is_of_the_rest(
    uri: str, picture: list[str], expected: list[str]
) -> None:
    shown = messages.enrollment(messages.AT_A_FIRST_LOGIN, "ABCD EFGH", uri, picture)
    assert expected == shown[3:]


def test_an_enrolment_says_first_that_time_is_short() -> None:
    """sshd gives two minutes, login(1) one; who does not know it wonders where the entry went."""
    before = messages.enrollment(messages.AT_A_FIRST_LOGIN, "ABCD EFGH", "", [])[:3]
    assert "" == before[0]  # ssh puts (user@host) in front of the first line
    assert "If the login times out, nothing is saved: log in again" in before[2]


def test_recovery_codes_are_shown_two_a_line_with_what_to_do() -> None:
    codes = [f"CODE-{number}" for number in range(10)]
    shown = messages.recovery_codes(codes)
    assert "  CODE-0   CODE-1" in shown
    assert codes == " ".join(line for line in shown if line.startswith("  ")).split()
    last = "They are not shown again. Write them down and keep them away from the phone."
    assert last == shown[-1]


@each(
    "text",
    [
        *messages.enrollment(messages.AT_A_FIRST_LOGIN, "ABCD EFGH", ADDRESS, []),
        *messages.recovery_codes(["A", "B"]),
        messages.CODE_OF_THE_APP,
        messages.WRONG_CODE_OF_THE_APP,
        messages.NO_RIGHT_CODE,
        messages.PRESS_ENTER,
        messages.ENROLLED,
        messages.OVERTAKEN,
        messages.NOT_KEPT,
        messages.NEW_PHONE_NOT_KEPT,
    ],
)
def test_what_an_enrolment_says_is_short_ascii(text: str) -> None:
    assert text.isascii()
    assert text == "" or text.isprintable()
    assert len(text) < 100
