"""What a person reads at the prompt.

Nothing here tells anyone whether somebody is enrolled, except that person while enrolling or after
the login.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import dates, recovery, verifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.own_changes import Note

UNAVAILABLE = (
    "Verification codes cannot be checked right now. An administrator can find the reason in "
    "the system log."
)
TOO_MANY_PROMPTS = (
    "Too many logins of yours are waiting for a code. Finish or close one of them. If they are not "
    "yours, change your password: somebody may know it."
)
PASSWORD_AS_ANSWER = (
    "the password came back as the code: sshd's password method answers every prompt with it; "
    "set 'PasswordAuthentication no' and 'KbdInteractiveAuthentication yes' in sshd_config"
)
BOTH_ASKED_TWICE = "there are two lines with first_factor=password, and none of them decides"
NO_CODE_AT_THE_END = "the answer to the only prompt has no code at its end"
PASSWORD_TYPED_AGAIN = "the password came in place of the code"
CLOCK_IS_BEHIND = "the last accepted code lies in the future: was the clock set back?"

# Enrollment at a login.
CODE_OF_THE_APP = "Code shown by the app: "
WRONG_CODE_OF_THE_APP = "That is not the code the app should show now. Is the phone's clock right?"
NO_RIGHT_CODE = (
    "No correct code, so nothing was saved. Delete the app's entry: the next login shows a new one."
)
LIGHT_TERMINAL = (
    "On a light terminal, press Enter for another picture; if it is garbled, type in the secret."
)
PRESS_ENTER = "Press Enter once you have written them down. Until then nothing is saved: "
ENROLLED = "From now on, logins ask for a code from the app."
OVERTAKEN = "Your enrollment was changed in the meantime: nothing of this was saved. Log in again."
NOT_KEPT = "Your enrollment could not be saved. Discard the secret and the codes."
_ENROLMENT = (
    "",
    "This login needs a second factor: an authenticator app on your phone.",
    "If the login times out, nothing is saved: log in again for a new secret.",
)

THAT_WAS_THE_PASSWORD = "That was your password. Enter the code from your app."
OFFLINE = "The database of the fleet cannot be reached: your code was checked by this host alone."
_OWN_CHANGES = {  # by the kinds of own_changes.py
    "add": "authenticator {label} was added",
    "new-phone": "authenticator {label} got a new secret",
    "remove": "authenticator {label} was removed",
    "recovery-codes": "new recovery codes were issued",
}
_INVERTED = str.maketrans(" \u2588\u2580\u2584", "\u2588 \u2584\u2580")
_WRONG = "Wrong code. Enter the current code from your app, or a recovery code."


def for_verdict(verdict: verifier.Verdict, user: str) -> str:
    """Return one line for ``verdict``; "" where there is nothing to say."""
    outcome, wait = verdict.outcome, verdict.wait
    if outcome == verifier.REJECTED and wait:
        return f"Wrong code. Too many in a row: wait {wait} seconds before the next try."
    if outcome in (verifier.REJECTED, verifier.MALFORMED):
        return _WRONG
    if outcome == verifier.PASSWORD:
        return THAT_WAS_THE_PASSWORD
    if outcome == verifier.REPLAYED and not wait:
        return "This code has already been used. Press the button of your token for the next one."
    if outcome == verifier.REPLAYED:
        return f"This code has already been used. Wait for the next one (at most {wait} seconds)."
    if outcome == verifier.THROTTLED and verdict.codes_only:
        hours = -(-wait // 3600)
        return (
            f"Too many wrong codes this month. Wait {hours} h, or use a recovery code. "
            f"An administrator can run: totpctl unlock {user}"
        )
    if outcome == verifier.THROTTLED:
        return f"Too many wrong codes. Wait {wait} seconds before the next try."
    if outcome == verifier.LOCKED and verdict.codes_only:
        return (
            "Too many wrong codes: locked. Use a recovery code. "
            f"An administrator can run: totpctl unlock {user}"
        )
    if outcome == verifier.LOCKED:
        return f"Too many wrong codes: locked. An administrator can run: totpctl unlock {user}"
    if outcome == verifier.RECOVERY_USED:
        return _recovery_used(verdict.recovery_codes_left)
    if outcome == verifier.ACCEPTED and verdict.is_offline:
        return OFFLINE
    return ""


def enrollment(secret: str, uri: str, picture: Sequence[str]) -> list[str]:
    """Return the lines that show a new secret. ``uri`` and ``picture`` may be empty.

    The picture comes last, so that a small screen shows it whole, but for the secret, which stands
    above it too: whatever a terminal makes of the picture, the secret can be read.
    """
    last = f"Secret: {secret}"
    if picture:
        how = "Scan the picture with the app, or give it this address or this secret:"
        return [*_ENROLMENT, how, f"  {uri}", last, LIGHT_TERMINAL, *picture, last]
    if uri:
        return [*_ENROLMENT, "Give this address or this secret to the app:", f"  {uri}", last]
    return [*_ENROLMENT, "Give this secret to the app:", last]


def for_light_terminal(secret: str, picture: Sequence[str]) -> list[str]:
    """Return the lines that show the picture for a dark terminal with dark and light exchanged."""
    return [*(line.translate(_INVERTED) for line in picture), f"Secret: {secret}"]


def recovery_codes(codes: Sequence[str]) -> list[str]:
    """Return the lines that show a set of recovery codes."""
    pairs = zip(codes[::2], codes[1::2], strict=True)
    return [
        "",
        "Recovery codes. Each works for one login without the phone:",
        "",
        *(f"  {left}   {right}" for left, right in pairs),
        "",
        "They are not shown again. Write them down and keep them away from the phone.",
    ]


def failed_before(failures: int) -> str:
    """Return what to tell who got in, of ``failures`` wrong codes since the last login; or ""."""
    if failures == 0:
        return ""
    if failures == 1:
        return "1 wrong code since the last login. If it was not yours, change your password."
    return (
        f"{failures} wrong codes since the last login. "
        "If they were not yours, change your password."
    )


def own_change(note: Note) -> str:
    """Return what to tell who got in, of a change that was made with their own code."""
    done = _OWN_CHANGES[note.kind].format(label=note.label)
    where = f", from {note.where}" if note.where else ""
    return (
        f"{note.time}{where}: {done}, with a code of yours. "
        "If that was not you, tell an administrator at once."
    )


def needed_from(until: int) -> str:
    """Return what to tell who still gets in without a code, but not from ``until`` on."""
    return (
        f"From {dates.day_of(until)} on (UTC), you cannot log in here without a verification code. "
        "Ask an administrator to enroll you before that day."
    )


def _recovery_used(left: int) -> str:
    text = f"Recovery code accepted. It is used up; {left} left."
    if left <= recovery.FEW_LEFT:
        text += " Ask an administrator for new ones: totpctl recovery-codes"
    return text
