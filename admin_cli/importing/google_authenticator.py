"""~/.google_authenticator, one person's: the FILEFORMAT of google-authenticator-libpam.

The first line is the secret, then come options, as ``" KEY VALUE``, and scratch codes. This reads
what pam_google_authenticator.c and base32.c make of it: the first line of a key counts, and in the
secret the digits 0, 1 and 8 stand for the letters O, L and B, which people mistake for them.
"""

from __future__ import annotations

import re

from .sources import TokenFile
from .texts import from_base32, lines_of, number_in, text_of
from .tokens import HOTP, TOTP, Contents, Token, Unusable, read_each

OPTIONS = (
    *("TOTP_AUTH", "HOTP_COUNTER", "RATE_LIMIT", "WINDOW_SIZE", "DISALLOW_REUSE", "STEP_SIZE"),
    *("TIME_SKEW", "RESETTING_TIME_SKEW", "OTP_DISABLED"),
)
_OPTION = re.compile(r'" ([A-Z0-9_]+)(?:[ \t]+(.*))?')
_SCRATCH_CODE = re.compile(r"[0-9]{8}")
_MISTAKEN = str.maketrans("018", "OLB")
_OPTION_LINE = re.compile(rf'" (?:{"|".join(OPTIONS)})(?:\s|$)')
_SECRET_LINE = re.compile(r"[A-Za-z0-9 \t-]+")


def recognizes(text: str) -> bool:
    """Tell by an option that only this format has; else by a secret above scratch codes alone."""
    first, *rest = (line.rstrip() for line in lines_of(text))
    if any(_OPTION_LINE.match(line) for line in rest):
        return True
    rest = [line for line in rest if line]
    codes = [line for line in rest if _SCRATCH_CODE.fullmatch(line)]
    return bool(codes) and codes == rest and _SECRET_LINE.fullmatch(first) is not None


def read(source: TokenFile) -> Contents:
    """Return the one token of ``source``; it belongs to the account of the file."""
    text = text_of(source.data)
    return read_each([("the file", text)], lambda place, text: _token(place, text, source.user))


def _token(place: str, text: str, user: str) -> Token:
    first, *rest = (line.rstrip() for line in lines_of(text))
    options: dict[str, str] = {}
    for line in rest:
        if found := _OPTION.fullmatch(line):
            options.setdefault(found[1], found[2] or "")
    try:
        if "=" in first:  # base32.c knows no padding
            raise Unusable("the secret is not base32")
        secret = from_base32(first.translate(_MISTAKEN))
    except Unusable as error:
        raise Unusable(f"line 1: {error}", user) from None
    scratch_codes = sum(1 for line in rest if _SCRATCH_CODE.fullmatch(line))
    token = Token(place, secret, user, recovery_codes=scratch_codes, remarks=_remarks(options))
    try:
        if counter := _counter(options):  # it wins over TOTP_AUTH
            return token._replace(kind=HOTP, next_counter=counter)
        if "TOTP_AUTH" not in options:
            which = "a HOTP_COUNTER above 0" if "HOTP_COUNTER" in options else "HOTP_COUNTER"
            reason = f"has neither TOTP_AUTH nor {which}, so only its scratch codes were accepted"
            raise Unusable(reason)
        return token._replace(
            kind=TOTP,
            period=number_in(options.get("STEP_SIZE", "30"), "STEP_SIZE"),
            drift=number_in(options.get("TIME_SKEW") or "0", "TIME_SKEW"),
            last_accepted_step=_last_step(options.get("DISALLOW_REUSE", "")),
        )
    except Unusable as error:
        raise Unusable(str(error), user) from None


def _counter(options: dict[str, str]) -> int:
    """Return the next counter; 0 where there is none: one below 1 counts as none."""
    return max(number_in(options.get("HOTP_COUNTER") or "0", "HOTP_COUNTER"), 0)


def _last_step(disallowed: str) -> int | None:
    """Return the highest step that was used: no code up to it may be good again."""
    steps = [number_in(step, "DISALLOW_REUSE") for step in disallowed.split()]
    return max(steps, default=None)


def _remarks(options: dict[str, str]) -> tuple[str, ...]:
    remarks = []
    if "WINDOW_SIZE" in options:
        remarks.append(
            "its WINDOW_SIZE is not imported: window in pam_totp.conf counts for everybody"
        )
    if "OTP_DISABLED" in options:
        remarks.append("its OTP_DISABLED is not imported: pam_google_authenticator ignores it too")
    return tuple(remarks)
