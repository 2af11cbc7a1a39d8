"""What a person reads at the prompt. Nothing here tells whether somebody is enrolled."""

from __future__ import annotations

from . import dates, verifier

FEW_RECOVERY_CODES = 3

UNAVAILABLE = (
    "Verification codes cannot be checked right now. An administrator finds the reason in the "
    "system log."
)
PASSWORD_AS_ANSWER = (
    "the password came back as the code: sshd's password method answers every prompt with it; "
    "set 'PasswordAuthentication no' and 'KbdInteractiveAuthentication yes' in sshd_config"
)
CLOCK_IS_BEHIND = "the last accepted code lies in the future: was the clock set back?"

_WRONG = "Wrong code. Enter the current code of your app, or a recovery code."


def for_verdict(verdict: verifier.Verdict, user: str) -> str:
    """Return one line for ``verdict``; "" where there is nothing to say."""
    outcome, wait = verdict.outcome, verdict.wait
    if outcome == verifier.REJECTED and wait:
        return f"Wrong code. Too many in a row: wait {wait} seconds before the next try."
    if outcome in (verifier.REJECTED, verifier.MALFORMED):
        return _WRONG
    if outcome == verifier.PASSWORD:
        return "Your password came in place of a code: this login method cannot ask for one."
    if outcome == verifier.REPLAYED:
        return f"This code was used already. Wait for the next one (at most {wait} seconds)."
    if outcome == verifier.THROTTLED:
        return f"Too many wrong codes. Wait {wait} seconds before the next try."
    if outcome == verifier.LOCKED:
        return f"Too many wrong codes: locked. An administrator can run: totpctl unlock {user}"
    if outcome == verifier.RECOVERY_USED:
        return _recovery_used(verdict.recovery_codes_left)
    return ""


def needed_from(until: int) -> str:
    """Return what to tell who still gets in without a code, but not from ``until`` on."""
    return (
        f"From {dates.day_of(until)} on (UTC), you cannot log in here without a verification code. "
        "Ask an administrator to enroll you before that day."
    )


def _recovery_used(left: int) -> str:
    text = f"Recovery code accepted. It is used up; {left} left."
    if left <= FEW_RECOVERY_CODES:
        text += " Ask an administrator for new ones: totpctl recovery-codes"
    return text
