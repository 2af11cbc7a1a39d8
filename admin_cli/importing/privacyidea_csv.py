"""CSV of privacyIDEA and LinOTP: serial, seed in hex, type, digits, period or counter, hash.

Without a type it is HOTP. privacyIDEA's "# version: 2" has user, resolver and realm before that.
A hash is named by LinOTP alone; else both take it from the length of the seed.
"""

from __future__ import annotations

import re

from .csv_rows import rows
from .sources import TokenFile
from .texts import algorithm_in, from_hex, number_in, text_of
from .tokens import HOTP, TOTP, Contents, Token, Unusable, read_each

_HASHES = {32: "SHA256", 64: "SHA512"}  # by the bytes of the seed
_ROW = re.compile(
    r"^[^,\n]+,[ \t]*[0-9A-Fa-f]{20,}[ \t]*(?:,[ \t]*(?:hotp|totp|ocra2?)?[ \t]*(?:,.*)?)?\r?$",
    flags=re.IGNORECASE | re.MULTILINE,
)
_WITH_USERS = re.compile(r"#\s*version:\s*2\b")
_USER_COLUMNS = 3


def recognizes(text: str) -> bool:
    return _WITH_USERS.match(text) is not None or _ROW.search(text) is not None


def read(source: TokenFile) -> Contents:
    text = text_of(source.data)
    has_users = _WITH_USERS.match(text) is not None
    return read_each(rows(text), lambda place, row: _token(place, row, has_users))


def _token(place: str, row: list[str], has_users: bool) -> Token:
    user = row[0] if has_users else ""
    serial, seed, kind, digits, number, name, *_ = [
        *(row[_USER_COLUMNS:] if has_users else row),
        *[""] * 6,
    ]
    try:
        if not serial:
            raise Unusable("there is no serial")
        kind = kind.lower() or HOTP
        if kind not in (HOTP, TOTP):
            raise Unusable("the type is not totp or hotp")
        secret = from_hex(seed)
        token = Token(
            place,
            secret,
            user,
            kind,
            algorithm_in(name) if name else _HASHES.get(len(secret), "SHA1"),
            number_in(digits or "6", "the number of digits"),
            serial=serial,
        )
        if kind == HOTP:
            return token._replace(next_counter=number_in(number or "0", "the counter"))
        return token._replace(period=number_in(number or "30", "the period"))
    except Unusable as error:
        raise Unusable(str(error), user, serial) from None
