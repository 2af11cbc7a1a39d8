"""Bytes as text, and the words of a format as secrets, numbers and algorithms.

Nothing is guessed: a format says how it writes secrets, and all else is refused. No reason that is
given here repeats what was read, which may be a secret.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from datetime import UTC, datetime

from .tokens import Unreadable, Unusable

MOST_DIGITS = 19  # of a number: more does not fit into 63 bits
MOST_TYPE = 8  # characters of a type's name; no secret is so short
_MOST_OF_A_DN = 4096  # characters of a distinguished name
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BLANKS = str.maketrans("", "", " \t\r\n-")
_BASE32 = re.compile(r"[A-Za-z2-7]*")
_HEX = re.compile(r"[0-9A-Fa-f]*")
_UID = re.compile(r"(?:^|,)\s*uid=((?:[^\\,+]|\\.)+)", flags=re.IGNORECASE)
_ESCAPE = re.compile(rb"\\(?:([0-9A-Fa-f]{2})|(.))", flags=re.DOTALL)
_NUMBER = re.compile(r"[+-]?[0-9]+")


def text_of(data: bytes) -> str:
    """Return ``data`` as text: UTF-16 with its mark, else UTF-8.

    What is not UTF-8 is kept as surrogates: such a name belongs to no account, and is named.
    """
    if data.startswith(_UTF16):
        return data.decode("utf-16", "replace")
    return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")


def lines_of(text: str) -> list[str]:
    """Return the lines; only a line feed ends one, after a carriage return or not."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def numbered_lines(text: str) -> list[tuple[str, str]]:
    """Return each line that says something, as ("line 3", text): no comments, no blank ones."""
    lines = [(f"line {number}", line.strip()) for number, line in enumerate(lines_of(text), 1)]
    return [(place, line) for place, line in lines if line and not line.startswith("#")]


def from_base32(text: str) -> bytes:
    """Return a secret in base32 (RFC 4648 section 6); blanks, hyphens and padding may be there.

    Bits that fill no byte are dropped, as apps do. Raises Unusable.
    """
    digits = text.translate(_BLANKS).rstrip("=")
    if not digits:
        raise Unusable("there is no secret")
    if not _BASE32.fullmatch(digits):
        if _HEX.fullmatch(digits):
            raise Unusable(f"the secret is {len(digits)} hexadecimal digits; base32 is expected")
        raise Unusable("the secret is not base32")
    whole = len(digits) * 5 // 8  # bytes
    digits = digits[: (whole * 8 + 4) // 5]
    if not digits:
        raise Unusable("the secret is too short: it holds no byte")
    return base64.b32decode(digits + "=" * (-len(digits) % 8), casefold=True)


def reads_as_hex(text: str) -> bool:
    """Tell whether base32 is as likely to be hexadecimal: of the length of a hash, 2-7 and A-F."""
    return len(text) in (40, 64, 128) and re.fullmatch(r"[2-7A-Fa-f]*", text) is not None


def from_hex(text: str) -> bytes:
    """Return a secret in hexadecimal digits of either case. Raises Unusable."""
    if not text:
        raise Unusable("there is no secret")
    if not _HEX.fullmatch(text):
        raise Unusable("the secret is not hexadecimal")
    if len(text) % 2:
        raise Unusable("the secret has an odd number of hexadecimal digits")
    return bytes.fromhex(text)


def from_base64(text: str, what: str = "the secret") -> bytes:
    """Return ``what`` in base64 with any blanks in it. Raises Unusable."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        raise Unusable(f"{what} is not base64") from None


def number_in(text: str, what: str) -> int:
    """Return a decimal number. Raises Unusable."""
    text = text.strip()
    if not _NUMBER.fullmatch(text) or len(text) > MOST_DIGITS:
        raise Unusable(f"{what} is not a number")
    return int(text)


def algorithm_in(text: str) -> str:
    """Return the store's name of an algorithm: SHA512 for "sha-512" and "HmacSHA512".

    Of one that the store lacks, its own name. "" is the default of every format: SHA1.
    """
    name = re.sub(r"[\s_-]", "", text.upper()).removeprefix("HMAC") or "SHA1"
    if not re.fullmatch(r"[A-Z0-9/]{1,10}", name):  # no secret is so short
        raise Unusable("the algorithm is not known")
    return name


def refuse_too_many(data: bytes, marks: bytes, most: int) -> None:
    """Raise Unreadable where ``data`` has too many of ``marks``: what a library builds of it is
    many times as large as the file.
    """
    if sum(data.count(mark) for mark in marks) > most:
        raise Unreadable("has too many values", "split it")


def shown_type(name: str) -> str:
    """Return a type of tokens in words; the name is shown unless it may be a secret."""
    if not name:
        return "there is no type"
    is_name = name.isascii() and name.isalnum() and len(name) <= MOST_TYPE
    return f"its type is {name.lower()}" if is_name else "its type is not known"


def account_and_issuer(label: str) -> tuple[str, str]:
    """Return the account and the issuer of a label such as "Example: alice".

    The last colon is the border: an issuer may be an address, an account has no colon.
    """
    issuer, _, account = label.rpartition(":")
    return account.strip(), issuer.strip()


def uid_in(name: str) -> str:
    """Return the uid of a distinguished name (RFC 4514); of any other name, itself."""
    if len(name) > _MOST_OF_A_DN:
        return name  # which is too long for a name
    found = _UID.search(name)
    return _unescaped(found[1].strip()) if found else name


def _unescaped(value: str) -> str:
    """Return a value of a distinguished name: a backslash escapes a character, or a byte in hex."""
    escaped = value.encode("utf-8", "surrogateescape")
    plain = _ESCAPE.sub(
        lambda found: bytes.fromhex(found[1].decode()) if found[1] else found[2], escaped
    )
    return plain.decode("utf-8", "surrogateescape")


def moment_in(text: str, what: str) -> datetime:
    """Return a date and time of ISO 8601, or of LDAP (RFC 4517). Raises Unusable."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Unusable(f"{what} is not a date") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def refuse_outside(begin: datetime | None, end: datetime | None) -> None:
    """Raise Unusable for a token that is not valid yet, or not any more."""
    now = datetime.now(UTC)
    if begin and begin > now:
        raise Unusable(f"it is not valid before {begin:%Y-%m-%d}")
    if end and end <= now:
        raise Unusable(f"it expired on {end:%Y-%m-%d}")
