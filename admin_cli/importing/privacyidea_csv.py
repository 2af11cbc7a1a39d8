"""CSV of privacyIDEA and LinOTP: serial, seed in hex, type, digits, period or counter, hash.

Without a type it is HOTP. privacyIDEA's "# version: 2" has user, resolver and realm before that.
A hash is named by LinOTP alone; else both take it from the length of the seed. Where a first row
names the columns, they may come in any order.
"""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

from .csv_rows import Row, header_of, rows, rows_with_header
from .sources import TokenFile
from .texts import algorithm_in, from_hex, number_in, shown_type, text_of
from .tokens import HOTP, TOTP, Contents, Token, Unreadable, Unusable, read_each

_HASHES = {32: "SHA256", 64: "SHA512"}  # by the bytes of the seed
_TAKEN_OTHERWISE = {28: "SHA224", 48: "SHA384"}  # by privacyIDEA; for LinOTP they are SHA1
_SEED = re.compile(r"[0-9A-Fa-f]{20,}")
_TYPES = ("", "hotp", "hmac", "totp", "ocra", "ocra2")
_WITH_USERS = re.compile(r"\s*#\s*version:\s*2\b")
_USER_COLUMNS = 3
_MOST_ROWS = 1000  # that are looked at to recognize the format

_SERIAL = ("serial", "serialnumber", "tokenserial")
_KEY = ("seed", "otpkey", "key", "hmackey", "secret")
_TYPE = ("type", "tokentype")
_DIGITS = ("digits", "otplen", "otplength")
_PERIOD, _COUNTER = ("period", "timestep", "interval"), ("counter", "count")
_HASH = ("hash", "hashlib", "algorithm")
_USER = ("user", "username")


class _Cells(NamedTuple):
    """One row."""

    serial: str
    seed: str
    type: str = ""
    digits: str = ""
    number: str = ""  # the period of TOTP, the counter of HOTP
    hash: str = ""
    user: str = ""


def recognizes(text: str) -> bool:
    if _WITH_USERS.match(text) or _has_header(text):
        return True
    try:
        return any(
            len(cells) > 1
            and cells[0]
            and _SEED.fullmatch(cells[1])
            and (len(cells) < 3 or cells[2].lower() in _TYPES)
            for _, cells in itertools.islice(rows(text), _MOST_ROWS)
        )
    except Unreadable:
        return False


def read(source: TokenFile) -> Contents:
    """Return its tokens. Raises Unreadable."""
    text = text_of(source.data)
    if _has_header(text):
        return read_each(rows_with_header(text), lambda place, row: _token(place, _named(row)))
    has_users = _WITH_USERS.match(text) is not None
    return read_each(rows(text), lambda place, cells: _token(place, _in_order(cells, has_users)))


def _has_header(text: str) -> bool:
    header = header_of(text)
    return all(header & set(names) for names in (_SERIAL, _KEY, _TYPE))


def _in_order(cells: list[str], has_users: bool) -> _Cells:
    own = cells[_USER_COLUMNS:] if has_users else cells
    serial, seed, kind, digits, number, name, *_ = [*own, *[""] * 6]
    return _Cells(serial, seed, kind, digits, number, name, cells[0] if has_users else "")


def _named(row: Row) -> _Cells:
    if row.is_too_long:
        raise Unusable("it has more cells than the header", serial=row.get(*_SERIAL))
    kind = row.get(*_TYPE)
    number = row.get(*(_PERIOD if kind.lower() == TOTP else _COUNTER))
    columns = (_DIGITS, _HASH, _USER)
    digits, name, user = (row.get(*names) for names in columns)
    return _Cells(row.get(*_SERIAL), row.get(*_KEY), kind, digits, number, name, user)


def _token(place: str, cells: _Cells) -> Token:
    try:
        if not cells.serial:
            raise Unusable("there is no serial")
        kind = cells.type.lower() or HOTP
        if kind == "hmac":  # LinOTP's word
            kind = HOTP
        if kind not in (HOTP, TOTP):
            raise Unusable(f"{shown_type(kind)}; there are totp and hotp")
        secret = from_hex(cells.seed)
        token = Token(
            place,
            secret,
            cells.user,
            kind,
            _algorithm(cells.hash, len(secret)),
            number_in(cells.digits or "6", "the number of digits"),
            serial=cells.serial,
        )
        if kind == HOTP:
            return token._replace(next_counter=number_in(cells.number or "0", "the counter"))
        return token._replace(period=number_in(cells.number or "30", "the period"))
    except Unusable as error:
        raise Unusable(str(error), cells.user, cells.serial) from None


def _algorithm(name: str, seed_bytes: int) -> str:
    if name:
        return algorithm_in(name)
    if seed_bytes in _TAKEN_OTHERWISE:
        raise Unusable(
            f"its seed of {seed_bytes} bytes means {_TAKEN_OTHERWISE[seed_bytes]} to privacyIDEA "
            "and SHA1 to LinOTP: write the hash into column 6"
        )
    return _HASHES.get(seed_bytes, "SHA1")
