"""otpauth:// addresses, one a line (the Key URI format), as apps and many servers export them.

A line may also be an otpauth-migration:// address, of Google Authenticator's export.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

from . import otpauth_migration
from .sources import TokenFile
from .texts import (
    account_and_issuer,
    algorithm_in,
    from_base32,
    number_in,
    numbered_lines,
    shown_type,
    text_of,
)
from .tokens import (
    HOTP,
    TOTP,
    Contents,
    Token,
    Unreadable,
    Unusable,
    read_each,
    refuse_too_many_tokens,
)

_ADDRESS = re.compile(r"otpauth://([^/?#]*)/?([^?]*)(?:\?(.*))?", flags=re.IGNORECASE | re.DOTALL)
_LINE = re.compile(r"^[ \t]*otpauth://", flags=re.IGNORECASE | re.MULTILINE)
_FOREIGN = re.compile(r"(steam|motp|yaotp)://", flags=re.IGNORECASE)
STEAM = "Steam"  # the issuer, where an app has no type for its codes
_KNOWN = ("secret", "issuer", "algorithm", "digits", "period", "counter")
_MOST_PARAMETERS = 50


def recognizes(text: str) -> bool:
    return _LINE.search(text) is not None


def read(source: TokenFile) -> Contents:
    return read_lines(numbered_lines(text_of(source.data)))


def read_lines(lines: list[tuple[str, str]]) -> Contents:
    """Return what the lines hold, with their places: of a file, or of QR codes."""
    is_part = [otpauth_migration.recognizes(line) for _, line in lines]
    if sum(is_part) > otpauth_migration.MOST_PARTS:
        raise Unreadable("has too many QR codes", "split it")
    contents = read_each(
        [line for line, part in zip(lines, is_part, strict=True) if not part], token_of
    )
    for (place, line), part in zip(lines, is_part, strict=True):
        if part:
            contents = contents.plus(otpauth_migration.read_line(place, line))
            refuse_too_many_tokens(contents)
    return contents


def token_of(place: str, address: str) -> Token:
    """Return the token of one address. Raises Unusable."""
    found = _ADDRESS.fullmatch(address.strip())
    if not found:
        foreign = _FOREIGN.match(address.strip())
        problem = f"the address is of {foreign[1].lower()}, which is not OATH" if foreign else ""
        raise Unusable(problem or "this is no otpauth address")
    kind, label, query = found[1].lower(), unquote(found[2]), found[3] or ""
    user, prefix = account_and_issuer(label)
    try:
        if kind not in (TOTP, HOTP):
            raise Unusable(f"{shown_type(kind)}; there are totp and hotp")
        given = _parameters(query)
        if STEAM.lower() in (given.get("encoder", "").lower(), given.get("issuer", "").lower()):
            raise Unusable("Steam's codes are not OATH")
        token = Token(
            place,
            from_base32(given.get("secret", "")),
            user,
            kind,
            algorithm_in(given.get("algorithm", "")),
            number_in(given.get("digits") or "6", "the number of digits"),
            number_in(given.get("period") or "30", "the period"),
            issuer=given.get("issuer", "") or prefix,
        )
        if kind == HOTP:
            if not given.get("counter"):
                raise Unusable("there is no counter, which HOTP needs")
            token = token._replace(next_counter=number_in(given["counter"], "the counter"))
        return token
    except Unusable as error:
        raise Unusable(str(error), user) from None


def _parameters(query: str) -> dict[str, str]:
    """Return those that count, by their names in lower case. Raises Unusable for one twice."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise Unusable("the address has too many parameters") from None
    given: dict[str, str] = {}
    for name, value in pairs:
        key = name.strip().lower()
        if key in given and key in _KNOWN:
            raise Unusable(f"the address has more than one {key}")
        given[key] = value.strip()
    return given
