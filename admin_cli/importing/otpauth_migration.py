"""otpauth-migration:// addresses: what Google Authenticator shows as QR codes to export accounts.

The address holds a message of protocol buffers in base64. It has a dozen fields, of two wire types;
python3-protobuf would have them compiled first, so they are read here. There is no period: it is
always 30 seconds. An export of many accounts is several QR codes, and each says which one it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from .texts import account_and_issuer, from_base64
from .tokens import HOTP, TOTP, Contents, Part, Rejected, Token, Unusable, read_each

# The enums of the message. An algorithm and a type of 0 are not specified: the default.
_ALGORITHMS = {0: "SHA1", 1: "SHA1", 2: "SHA256", 3: "SHA512", 4: "MD5"}
_DIGITS = {0: 6, 1: 6, 2: 8, 3: 7}
_KINDS = {0: TOTP, 1: HOTP, 2: TOTP}
_SECRET, _NAME, _ISSUER, _ALGORITHM, _NUMBER_OF_DIGITS, _KIND, _COUNTER = range(1, 8)
_TOKEN, _, _SIZE, _INDEX, _EXPORT = range(1, 6)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_SEVEN_BITS, _64_BITS = 0x7F, 2**64 - 1
_MOST_VARINT_BYTES = 10
MOST_PARTS = 1000
_MOST_VALUES = 10_000  # of one message
_ADDRESS = re.compile(r"otpauth-migration://[^?]*\?(?:.*&)?data=([^&]*)", flags=re.IGNORECASE)
_LINE = re.compile(r"^[ \t]*otpauth-migration:", flags=re.IGNORECASE | re.MULTILINE)

Fields = dict[int, list[int | bytes]]


def recognizes(text: str) -> bool:
    return _LINE.search(text) is not None


def read_line(place: str, line: str) -> Contents:
    """Return the tokens of one QR code, and which part of the export it is."""
    try:
        found = _ADDRESS.match(line.strip())
        if not found:
            raise Unusable("the address has no data")
        message = _fields(_data(found[1]))
        entries = [entry for entry in message.get(_TOKEN, []) if isinstance(entry, bytes)]
        part = Part(
            _number(message, _EXPORT), _number(message, _INDEX), _number(message, _SIZE) or 1
        )
        if not part.number < part.size <= MOST_PARTS:
            raise Unusable("the QR code has no possible number in its export")
    except Unusable as error:
        return Contents(rejected=(Rejected(place, str(error)),))
    places = [f"{place}, entry {number}" for number in range(1, len(entries) + 1)]
    return read_each(zip(places, entries, strict=True), _token)._replace(parts=(part,))


def _token(place: str, entry: bytes) -> Token:
    fields = _fields(entry)
    user, prefix = account_and_issuer(_text(fields, _NAME))
    secret = fields.get(_SECRET, [b""])[-1]
    algorithm = _ALGORITHMS.get(_number(fields, _ALGORITHM))
    digits = _DIGITS.get(_number(fields, _NUMBER_OF_DIGITS))
    kind = _KINDS.get(_number(fields, _KIND))
    if algorithm is None or digits is None or kind is None:
        raise Unusable("the algorithm, the number of digits or the type is not known", user)
    if not isinstance(secret, bytes) or not secret:
        raise Unusable("there is no secret", user)
    return Token(
        place,
        secret,
        user,
        kind,
        algorithm,
        digits,
        next_counter=_number(fields, _COUNTER),
        issuer=_text(fields, _ISSUER) or prefix,
    )


def _data(text: str) -> bytes:
    """Return the message: in base64 of either alphabet, with padding or without."""
    # "+" that was not escaped stands for itself here, and some programs make a blank of it.
    plain = unquote(text).replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    return from_base64(plain + "=" * (-len(plain) % 4), "the data")


def _fields(message: bytes) -> Fields:
    """Return the values of each field, in their order. Raises Unusable."""
    fields: Fields = {}
    for count, (number, value) in enumerate(_values(message)):
        if count >= _MOST_VALUES:
            raise Unusable("the data has too many values")
        fields.setdefault(number, []).append(value)
    return fields


def _values(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire_type == _BYTES:
            width, at = _varint(message, at)
        elif wire_type in _WIDTHS:
            width = _WIDTHS[wire_type]
        else:
            raise Unusable("the data is damaged")
        if width > len(message) - at:
            raise Unusable("the data is cut off")
        yield number, message[at : at + width]
        at += width


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at ``at``, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + _MOST_VARINT_BYTES]):
        value |= (byte & _SEVEN_BITS) << 7 * place
        if byte <= _SEVEN_BITS:
            return value & _64_BITS, at + place + 1
    raise Unusable("the data is cut off")


def _number(fields: Fields, number: int) -> int:
    value = fields.get(number, [0])[-1]  # the last one counts
    if not isinstance(value, int):
        raise Unusable("the data is damaged")
    return value


def _text(fields: Fields, number: int) -> str:
    value = fields.get(number, [b""])[-1]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
