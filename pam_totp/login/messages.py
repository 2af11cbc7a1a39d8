"""What a person reads at the prompt.

Nothing here tells anyone whether somebody is enrolled, except that person while enrolling or after
the login. Each sentence is a text(), or counted(), so that ``make po`` finds it for translators:
whole, and with names for its values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import clock_skew, dates, recovery, verifier
from .texts import Text, as_is, counted, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.own_changes import Note

# Where pam_totp.conf sets none.
PROMPT = text("Verification code: ")
ONE_PROMPT = text("Password and code: ")

UNAVAILABLE = text(
    "Verification codes cannot be checked right now. An administrator can find the reason in "
    "the system log."
)
TOO_MANY_PROMPTS = text(
    "Too many logins of yours are waiting for a code. Finish or close one of them. If they are not "
    "yours, change your password: somebody may know it."
)
# For the log, which is in English.
PASSWORD_AS_ANSWER = (
    "the password came back as the code: sshd's password method answers every prompt with it; "
    "set 'PasswordAuthentication no' and 'KbdInteractiveAuthentication yes' in sshd_config"
)
BOTH_ASKED_TWICE = "there are two lines with first_factor=password, and none of them decides"
NO_CODE_AT_THE_END = "the answer to the only prompt has no code at its end"
PASSWORD_TYPED_AGAIN = "the password came in place of the code"
CLOCK_IS_BEHIND = "the last accepted code lies in the future: was the clock set back?"

# Enrollment at a login.
CODE_OF_THE_APP = text("Code shown by the app: ")
WRONG_CODE_OF_THE_APP = text(
    "That is not the code the app should show now. Is the phone's clock right?"
)
NO_RIGHT_CODE = text(
    "No correct code, so nothing was saved. Delete the app's entry: the next login shows a new one."
)
LIGHT_TERMINAL = text(
    "On a light terminal, press Enter for another picture; if it is garbled, type in the secret."
)
PRESS_ENTER = text("Press Enter once you have written them down. Until then nothing is saved: ")
ENROLLED = text("From now on, logins ask for a code from the app.")
OVERTAKEN = text(
    "Your enrollment was changed in the meantime: nothing of this was saved. Log in again."
)
NOT_KEPT = text("Your enrollment could not be saved. Discard the secret and the codes.")
_EMPTY_LINE = as_is("")
AT_A_FIRST_LOGIN = (
    _EMPTY_LINE,
    text("This login needs a second factor: an authenticator app on your phone."),
    text("If the login times out, nothing is saved: log in again for a new secret."),
)

# People change their own enrollment.
CODE_TO_CHANGE = text("Current code from your app, or a recovery code: ")
PRESS_ENTER_FOR_CODES = text(
    "Press Enter once you have written them down. Until then the old ones stay valid: "
)
OFFER_OF_A_NEW_PHONE = text(
    "If your phone is lost, type yes to set up a new one now. Enter alone logs you in: "
)
NEW_PHONE_BY_COMMAND = text("For a new phone, run: totpctl me new-phone LABEL")
NO_NEW_PHONE = text(
    "No correct code, so nothing was changed. Delete the new entry from the app; to try again, "
    "run: totpctl me new-phone"
)
NEW_PHONE_NOT_KEPT = text(
    "The new phone could not be saved: nothing was changed. Delete the new entry from the app."
)
AT_A_NEW_PHONE = (
    _EMPTY_LINE,
    text("The new entry counts once you have entered a code that it shows."),
    text("If the login times out, nothing is changed."),
)
AT_A_CHANGE = (
    _EMPTY_LINE,
    text("The new entry counts once you have entered a code that it shows."),
)

THAT_WAS_THE_PASSWORD = text("That was your password. Enter the code from your app.")
OFFLINE = text(
    "The database of the fleet cannot be reached: your code was checked by this host alone."
)
_INVERTED = str.maketrans(" \u2588\u2580\u2584", "\u2588 \u2584\u2580")
_WRONG = text("Wrong code. Enter the current code from your app, or a recovery code.")


def for_verdict(verdict: verifier.Verdict, user: str, *, may_help_themselves: bool = False) -> Text:
    """Return one line for ``verdict``; "" where there is nothing to say.

    ``may_help_themselves``: the person gets new recovery codes with totpctl me.
    """
    outcome, wait = verdict.outcome, verdict.wait
    if outcome == verifier.REJECTED and wait:
        return counted(
            "Wrong code. Too many in a row: wait {count} second before the next try.",
            "Wrong code. Too many in a row: wait {count} seconds before the next try.",
            wait,
        )
    if outcome in (verifier.REJECTED, verifier.MALFORMED):
        return _WRONG
    if outcome == verifier.PASSWORD:
        return THAT_WAS_THE_PASSWORD
    if outcome == verifier.REPLAYED and not wait:
        return text(
            "This code has already been used. Press the button of your token for the next one."
        )
    if outcome == verifier.REPLAYED:
        return counted(
            "This code has already been used. Wait for the next one (at most {count} second).",
            "This code has already been used. Wait for the next one (at most {count} seconds).",
            wait,
        )
    if outcome in (verifier.THROTTLED, verifier.LOCKED):
        return _turned_away(verdict, user)
    if outcome == verifier.RECOVERY_USED:
        return _recovery_used(verdict.recovery_codes_left, may_help_themselves)
    if outcome == verifier.ACCEPTED and verdict.is_offline:
        return OFFLINE
    return as_is("")


def _turned_away(verdict: verifier.Verdict, user: str) -> Text:
    """Say until when codes are not looked at."""
    if verdict.outcome == verifier.THROTTLED and verdict.codes_only:
        return text(
            "Too many wrong codes this month. Wait {hours} h, or use a recovery code. "
            "An administrator can run: totpctl unlock {user}",
            hours=-(-verdict.wait // 3600),
            user=user,
        )
    if verdict.outcome == verifier.THROTTLED:
        return counted(
            "Too many wrong codes. Wait {count} second before the next try.",
            "Too many wrong codes. Wait {count} seconds before the next try.",
            verdict.wait,
        )
    if verdict.codes_only:
        return text(
            "Too many wrong codes: locked. Use a recovery code. "
            "An administrator can run: totpctl unlock {user}",
            user=user,
        )
    return text(
        "Too many wrong codes: locked. An administrator can run: totpctl unlock {user}", user=user
    )


def enrollment(
    introduction: Sequence[Text], secret: str, uri: str, picture: Sequence[str]
) -> list[Text]:
    """Return the lines that show a new secret. ``uri`` and ``picture`` may be empty.

    The picture comes last, so that a small screen shows it whole, but for the secret, which stands
    above it too: whatever a terminal makes of the picture, the secret can be read.
    """
    address, last = as_is(f"  {uri}"), _secret(secret)
    if picture:
        how = text("Scan the picture with the app, or give it this address or this secret:")
        drawn = map(as_is, picture)
        return [*introduction, how, address, last, LIGHT_TERMINAL, *drawn, last]
    if uri:
        return [*introduction, text("Give this address or this secret to the app:"), address, last]
    return [*introduction, text("Give this secret to the app:"), last]


def for_light_terminal(secret: str, picture: Sequence[str]) -> list[Text]:
    """Return the lines that show the picture for a dark terminal with dark and light exchanged."""
    return [*(as_is(line.translate(_INVERTED)) for line in picture), _secret(secret)]


def _secret(secret: str) -> Text:
    return text("Secret: {secret}", secret=secret)


def clock_of_phone(ahead: int, period: int) -> Text:
    """Return what to tell who enrolls, of a phone whose clock is ``ahead`` seconds ahead."""
    half_hours, seconds = clock_skew.of_clock(ahead, period)
    if half_hours:
        hours = f"{half_hours // 2}:30" if half_hours % 2 else str(half_hours // 2)
        if ahead > 0:
            return text(
                "The clock of your phone is about {hours} h ahead of this machine's: "
                "is its time zone right?",
                hours=hours,
            )
        return text(
            "The clock of your phone is about {hours} h behind this machine's: "
            "is its time zone right?",
            hours=hours,
        )
    if ahead > 0:
        return text(
            "The clock of your phone is about {seconds} s ahead of this machine's", seconds=seconds
        )
    return text(
        "The clock of your phone is about {seconds} s behind this machine's", seconds=seconds
    )


def recovery_codes(codes: Sequence[str]) -> list[Text]:
    """Return the lines that show a set of recovery codes."""
    pairs = zip(codes[::2], codes[1::2], strict=True)
    return [
        _EMPTY_LINE,
        text("Recovery codes. Each works for one login without the phone:"),
        _EMPTY_LINE,
        *(as_is(f"  {left}   {right}") for left, right in pairs),
        _EMPTY_LINE,
        text("They are not shown again. Write them down and keep them away from the phone."),
    ]


def failed_before(failures: int) -> Text:
    """Return what to tell who got in, of ``failures`` wrong codes since the last login; or ""."""
    if failures == 0:
        return as_is("")
    return counted(
        "{count} wrong code since the last login. If it was not yours, change your password.",
        "{count} wrong codes since the last login. If they were not yours, change your password.",
        failures,
    )


def own_change(note: Note) -> Text:
    """Return what to tell who got in, of a change that was made with their own code."""
    from ..core import own_changes  # with what no other login loads

    when = as_is(note.time)
    if note.where:
        when = text("{time}, from {where}", time=note.time, where=note.where)
    if note.kind == own_changes.ADD:
        return text(
            "{when}: authenticator {label} was added, with a code of yours. "
            "If that was not you, tell an administrator at once.",
            when=when,
            label=note.label,
        )
    if note.kind == own_changes.NEW_PHONE:
        return text(
            "{when}: authenticator {label} got a new secret, with a code of yours. "
            "If that was not you, tell an administrator at once.",
            when=when,
            label=note.label,
        )
    if note.kind == own_changes.REMOVE:
        return text(
            "{when}: authenticator {label} was removed, with a code of yours. "
            "If that was not you, tell an administrator at once.",
            when=when,
            label=note.label,
        )
    return text(
        "{when}: new recovery codes were issued, with a code of yours. "
        "If that was not you, tell an administrator at once.",
        when=when,
    )


def changed(kind: str, label: str) -> Text:
    """Return what to tell a person whose own change is kept."""
    from ..core import own_changes  # with what no other login loads

    if kind == own_changes.ADD:
        return text("{label} is now an authenticator of yours.", label=label)
    if kind == own_changes.NEW_PHONE:
        return text(
            "{label} has a new secret; the old one is void: delete its entry from the app.",
            label=label,
        )
    if kind == own_changes.REMOVE:
        return text(
            "{label} is no authenticator of yours any more: delete its entry from the app.",
            label=label,
        )
    return text("The new recovery codes are valid; the old ones are void.")


def needed_from(until: int) -> Text:
    """Return what to tell who still gets in without a code, but not from ``until`` on."""
    return text(
        "From {day} on (UTC), you cannot log in here without a verification code. "
        "Ask an administrator to enroll you before that day.",
        day=dates.day_of(until),
    )


def _recovery_used(left: int, may_help_themselves: bool) -> Text:  # noqa: FBT001
    if left > recovery.FEW_LEFT:
        return counted(
            "Recovery code accepted. It is used up; {count} left.",
            "Recovery code accepted. It is used up; {count} left.",
            left,
        )
    if may_help_themselves:
        return counted(
            "Recovery code accepted. It is used up; {count} left. "
            "Get new ones with: totpctl me recovery-codes",
            "Recovery code accepted. It is used up; {count} left. "
            "Get new ones with: totpctl me recovery-codes",
            left,
        )
    return counted(
        "Recovery code accepted. It is used up; {count} left. "
        "Ask an administrator for new ones: totpctl recovery-codes",
        "Recovery code accepted. It is used up; {count} left. "
        "Ask an administrator for new ones: totpctl recovery-codes",
        left,
    )
