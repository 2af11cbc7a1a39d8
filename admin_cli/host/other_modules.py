"""The modules that people move from: what a PAM line of theirs is as a line of pam_totp.

Read in their sources: parse_args() of pam_google_authenticator.c and parse_cfg() of pam_oath.c. An
option that has no counterpart is named, with what changes without it; those that only say where
secrets lie, and who may own them, are for the reader of secrets alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from pam_totp.core.admission import DENY
from pam_totp.stack import pam_lines
from pam_totp.stack.pam_lines import Line, NotUnderstood
from pam_totp.stack.pam_ways import NATIVE_MODULE
from pam_totp.system.config_values import PARSERS, RANGES

GOOGLE_AUTHENTICATOR, PAM_OATH = "google-authenticator", "pam_oath"
MODULES = {GOOGLE_AUTHENTICATOR: "pam_google_authenticator.so", PAM_OATH: "pam_oath.so"}
# What pam_totp returns where it lets nobody in. A control must treat them alike: the other module
# returns auth_err for nearly all of it, and "ignore" for the rest would be a way in.
_REFUSALS = ("auth_err", "maxtries", "authinfo_unavail", "conv_err", "service_err", "abort")
_REFUSING = ("bad", "die")
_UNKNOWN_IGNORED = re.compile(r"user_unknown\s*=\s*ignore")  # we return "ignore" for them
_FORWARD = "forward_pass"
_STAYS_STRICT = (
    "unenrolled=deny is added, as it denies users who have no secret: remove it once "
    "unenrolled = {} of pam_totp.conf may count there"
)


class Translation(NamedTuple):
    """Our line, and what of the other's options is different from now on."""

    line: str
    notes: tuple[str, ...]


def lines_of(module: str, file: str, text: str) -> list[Line]:
    """Return the auth lines of ``module`` in a PAM file. Raises NotUnderstood."""
    found = (line for line in pam_lines.lines(file, text) if line.type == "auth")
    return [line for line in found if not line.includes and line.module_name == module]


def option(line: Line, name: str) -> str | None:
    """Return the value of the last ``name=VALUE``, which is the one that counts."""
    values = [a.partition("=")[2] for a in line.arguments if a.startswith(f"{name}=")]
    return values[-1] if values else None


def lets_in_without_a_code(line: Line) -> bool:
    """Return whether ours in place of ``line`` asks unenrolled users for nothing.

    Raises NotUnderstood.
    """
    (ours,) = pam_lines.lines(line.file, translated(line).line)
    return "nullok" in ours.arguments


def translated(line: Line, unenrolled: str = DENY) -> Translation:
    """Return our line in place of ``line``, one for one. Raises NotUnderstood.

    ``unenrolled``: what pam_totp.conf says of users who are not enrolled. Where ``line`` denies
    them, ours does too.
    """
    translate = _GOOGLE if line.module_name == MODULES[GOOGLE_AUTHENTICATOR] else _OATH
    arguments: list[str] = []
    notes: list[str] = []
    for argument in line.arguments:
        name, _, value = argument.partition("=")
        if name in translate:
            ours, note = translate[name](value)
        else:
            ours, note = "", f"{name} is not an option of {line.module_name}"
        arguments += [ours] if ours and ours not in arguments else []
        notes += [note] if note else []
    control, skips = _control(line)
    if skips and "nullok" not in arguments:
        arguments.append("nullok")
    if "nullok" not in arguments and unenrolled != DENY:
        arguments.append(f"unenrolled={DENY}")
        notes.append(_STAYS_STRICT.format(unenrolled))
    words = ("auth", control, NATIVE_MODULE, *map(_quoted, arguments))
    return Translation(" ".join(words), tuple(dict.fromkeys(notes)))


def _control(line: Line) -> tuple[str, bool]:
    """Return the control, and whether it skips users who have no authenticator."""
    actions = pam_lines.actions(line)
    refuses = actions["auth_err"] in _REFUSING
    for code in _REFUSALS:
        if (actions[code] in _REFUSING) != refuses:
            problem = f"treats {code} unlike auth_err, so that not all who are refused are denied"
            raise NotUnderstood(line.file, line.number, problem, "write: required")
    unknown = actions["user_unknown"]
    if unknown == actions["auth_err"] or (unknown in _REFUSING and refuses):
        return line.control, False
    if unknown != "ignore":
        problem = f"has user_unknown={unknown}, which has no counterpart"
        raise NotUnderstood(line.file, line.number, problem, "write: user_unknown=ignore")
    instead = "" if actions["ignore"] == "ignore" else "ignore=ignore"
    return f"[{_UNKNOWN_IGNORED.sub(instead, line.bare_control)}]", True


def _quoted(argument: str) -> str:
    """Return an argument as libpam reads it as one."""
    if not any(blank in argument for blank in " \t"):
        return argument
    return "[" + argument.replace("]", "\\]") + "]"


def refuse_forwarding(line: Line, later: list[Line]) -> None:
    """Raise NotUnderstood where a later line gets its password from ``line``, which asks for both.

    pam_totp asks for the code alone, so such a line would deny everybody.
    """
    if _FORWARD not in line.arguments:
        return
    for other in later:
        if "use_first_pass" in other.arguments:
            problem = f"takes the password that {line.module_name} {_FORWARD} asks for"
            hint = f"remove use_first_pass there, and {_FORWARD} in {line.file}"
            raise NotUnderstood(other.file, other.number, problem, hint)


_Option = Callable[[str], tuple[str, str]]  # its value -> our argument, what changes


def _same(ours: str) -> _Option:
    return lambda _value: (ours, "")


def _nothing(note: str = "") -> _Option:
    return lambda _value: ("", note)


def _prompt(value: str) -> tuple[str, str]:
    try:
        PARSERS["prompt"](value)
    except ValueError as error:
        return "", f"authtok_prompt is left out: a prompt is {error}"
    return f"prompt={value}", ""


def _window(value: str) -> tuple[str, str]:
    """atoi(): what is no number is 0."""
    most = RANGES["window"][1]
    digits = value[: len(value) - len(value.lstrip("0123456789"))]
    steps = int(digits[:9] or "0")
    note = f"window={value} becomes {most} steps, the widest there is" if steps > most else ""
    return f"window={min(steps, most)}", note


_FIRST_PASS = "the code is always asked for, and never taken from the password"
_GOOGLE: dict[str, _Option] = {
    "nullok": _same("nullok"),
    "debug": _same("debug"),
    "echo_verification_code": _same("echo"),
    "authtok_prompt": _prompt,
    "secret": _nothing(),
    "user": _nothing(),
    "allowed_perm": _nothing(),
    "no_strict_owner": _nothing(),
    "noskewadj": _nothing("noskewadj has no counterpart: a clock never widens what is accepted"),
    "no_increment_hotp": _nothing(),  # a wrong code never moves a counter
    "grace_period": _nothing(
        "grace_period is left out, so that each login needs a code; the like of it is remember in "
        "pam_totp.conf"
    ),
    "try_first_pass": _nothing(f"try_first_pass has no counterpart: {_FIRST_PASS}"),
    "use_first_pass": _nothing(f"use_first_pass has no counterpart: {_FIRST_PASS}"),
    _FORWARD: _nothing(
        f"{_FORWARD} has no counterpart: password and code are asked for one after the other"
    ),
}
_OATH: dict[str, _Option] = {
    "debug": _same("debug"),
    "debug_syslog": _same("debug"),
    "window": _window,
    "usersfile": _nothing(),
    "digits": _nothing(),  # each authenticator has its own
    # Debian 12 and 13 do not know it; a later pam_oath lets users in while there is no file at all,
    # and denies those who are not in the file that is there.
    "no_usersfile_okay": _nothing(
        "no_usersfile_okay has no counterpart: users of whom nothing is in the file are denied"
    ),
    "ignore_userfile_password": _nothing(),
    "alwaysok": _nothing("alwaysok has no counterpart: only a right code lets users in"),
    "allow_replayed_otp_within": _nothing(
        "allow_replayed_otp_within has no counterpart: a code is accepted once"
    ),
    "try_first_pass": _nothing(f"try_first_pass has no counterpart: {_FIRST_PASS}"),
    "use_first_pass": _nothing(f"use_first_pass has no counterpart: {_FIRST_PASS}"),
}
