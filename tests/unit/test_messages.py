from __future__ import annotations

import pytest

from pam_totp import verifier
from pam_totp.messages import UNAVAILABLE, for_verdict
from pam_totp.verifier import Verdict

WRONG = "Wrong code. Enter the current code of your app, or a recovery code."
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


@pytest.mark.parametrize(
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
            "This code was used already. Wait for the next one (at most 17 seconds).",
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
            "Your password came in place of a code: this login method cannot ask for one.",
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


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("wait", [0, 30])
def test_every_message_is_one_ascii_line(outcome: str, wait: int) -> None:
    """A client in the C locale shows anything else as octal escapes."""
    text = for_verdict(Verdict(outcome, "phone", wait), "alice")
    assert text.isascii()
    assert text == "" or text.isprintable()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_no_message_names_the_authenticator(outcome: str) -> None:
    assert "my own phone" not in for_verdict(Verdict(outcome, "my own phone", 5), "alice")


def test_a_malformed_answer_and_a_wrong_code_read_the_same() -> None:
    wrong = for_verdict(Verdict(verifier.REJECTED), "alice")
    assert wrong == for_verdict(Verdict(verifier.MALFORMED), "alice")


def test_unavailable_points_to_the_system_log() -> None:
    assert "system log" in UNAVAILABLE
    assert UNAVAILABLE.isascii()
