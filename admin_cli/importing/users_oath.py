"""users.oath of pam_oath, and the file of mod_authn_otp, which looks almost the same.

A line is: type, user, PIN, secret in hex; after a login also a counter, the last code and when that
was. Of HOTP, liboath writes the counter of the code that was just used, with that code as field 6;
of TOTP its counter means nothing, as it adds the distance of each login to it (tried with 2.6.7).
mod_authn_otp has a count of failures before the code, or an address last, or both; its field 5 is
the next counter of HOTP, and the steps by which a clock is ahead of TOTP.
"""

from __future__ import annotations

import re
from datetime import datetime

from pam_totp.core import otp

from .sources import TokenFile
from .texts import from_hex, number_in, numbered_lines, text_of
from .tokens import HOTP, TOTP, Contents, Token, Unusable, read_each

DIGITS = 6
SEARCHED_STEPS = 20  # either way of the last login, for the step of its code
_LINE = re.compile(r"\s*[HM]OTP(?:/\S*)?\s+\S+\s+\S+\s+\S+")
_TYPE = re.compile(r"HOTP(?:/(E|T([0-9]*))(?:/([0-9]{1,4}))?)?")
_FAILURES = re.compile(r"[0-9]{1,5}")  # a code has six digits or more
_NEGATIVE = re.compile(r"-[0-9]+")


def recognizes(text: str) -> bool:
    return any(_LINE.match(line) for line in text.split("\n"))


def read(source: TokenFile, digits: int = DIGITS) -> Contents:
    """Return the tokens of ``source``; ``digits``: of those whose line does not say it."""
    lines = [(place, line.split()) for place, line in numbered_lines(text_of(source.data))]
    is_of_apache = any(_is_of_apache(fields) for _, fields in lines)
    return read_each(lines, lambda place, fields: _token(place, fields, is_of_apache, digits))


def _is_of_apache(fields: list[str]) -> bool:
    """Tell by what only mod_authn_otp writes: an address, a count of failures, a negative offset.

    pam_oath has a counter alone, which an administrator wrote, or a code and its time after it.
    """
    if len(fields) > 7:
        return True
    has_failures = len(fields) > 5 and _FAILURES.fullmatch(fields[5]) is not None
    return has_failures or (len(fields) > 4 and _NEGATIVE.fullmatch(fields[4]) is not None)


def _token(place: str, fields: list[str], is_of_apache: bool, default: int) -> Token:
    if len(fields) < 2:
        raise Unusable("there is no user")
    user = fields[1]
    try:
        kind, period, digits = _type(fields[0], default)
        secret = from_hex(fields[3] if len(fields) > 3 else "")
        token = Token(place, secret, user, kind, digits=digits, period=period)
        if fields[2] not in ("-", "+"):
            remark = "its PIN is not imported: pam_totp asks for a code alone"
            token = token._replace(remarks=(remark,))
        return _with_state(token, fields[4:], is_of_apache)
    except Unusable as error:
        raise Unusable(str(error), user) from None


def _type(text: str, default: int) -> tuple[str, int, int]:
    """Return the kind of token, its period and its digits, or ``default``. Raises Unusable."""
    found = _TYPE.fullmatch(text)
    if text.upper() != text and _TYPE.fullmatch(text.upper()):
        raise Unusable("token types are in upper case")
    if text.startswith("MOTP"):
        raise Unusable("Mobile-OTP (MOTP) is not OATH")
    if not found:
        shown = f" {text}" if len(text) <= 8 and text.isalpha() else ""  # no secret is so short
        raise Unusable(f"the token type{shown} is not known: HOTP, HOTP/E or HOTP/T30")
    mode, seconds, digits = found.groups()
    if mode and mode.startswith("T"):
        if not seconds:
            raise Unusable("HOTP/T has no period: write HOTP/T30")
        period = number_in(seconds, "the period")
        if period <= 0:
            raise Unusable("its period is not above 0 seconds")
        return TOTP, period, int(digits or default)
    return HOTP, 30, int(digits or default)


def _with_state(token: Token, fields: list[str], is_of_apache: bool) -> Token:
    """Return ``token`` with what the fields from the fifth on tell of its last login."""
    if not fields:
        return token
    if is_of_apache:
        if token.kind == HOTP:
            return token._replace(next_counter=number_in(fields[0], "the counter"))
        return token._replace(drift=number_in(fields[0], "the offset of the clock"))
    if token.kind == HOTP:
        counter = number_in(fields[0], "the counter")
        was_used = len(fields) > 1
        return token._replace(next_counter=counter + 1 if was_used else counter)
    if len(fields) < 3:
        return token
    return token._replace(last_accepted_step=_last_step(token, fields[1], fields[2]))


def _last_step(token: Token, code: str, when: str) -> int | None:
    """Return the step of the last code, near the local time when it was used.

    In the hour that summer time repeats, the code tells which of the two it was. Where it is of
    neither: the last step that it can have been, so that nothing used is good again.
    """
    try:
        moment = datetime.strptime(when.removesuffix("L"), "%Y-%m-%dT%H:%M:%S")  # noqa: DTZ007
        readings = {int(moment.replace(fold=fold).timestamp()) for fold in (0, 1)}
    except (ValueError, OverflowError, OSError):
        raise Unusable("the time of the last login is not one") from None
    nearest = {otp.time_step(reading, token.period) for reading in readings}
    around = range(-SEARCHED_STEPS, SEARCHED_STEPS + 1)
    steps = {step + offset for step in nearest for offset in around}
    if len(code) == token.digits and code.isascii() and code.isdigit():
        found = otp.matching_steps(code, token.secret, steps, token.algorithm, token.digits)
        if found:
            return max(found)
    return max(steps)
