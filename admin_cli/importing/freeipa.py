"""LDIF of FreeIPA's tokens, as ldapsearch writes it; read by the ldif module of python3-ldap."""

from __future__ import annotations

import io
import re
from typing import Any

from ..libraries import load
from .sources import TokenFile
from .texts import algorithm_in, moment_in, number_in, refuse_outside, uid_in
from .tokens import HOTP, MOST_TOKENS, TOTP, Contents, Token, Unreadable, Unusable, read_each

_RECORD = re.compile(r"^dn::?\s", flags=re.MULTILINE)
_ENTRY = re.compile(rb"^dn:", flags=re.MULTILINE | re.IGNORECASE)
_MOST_LINES = 10_000  # of one entry, folded or not
_TOKEN = re.compile(r"ipatoken", flags=re.IGNORECASE)
_END = re.compile(rb"^search: [0-9]+\r?\nresult: [0-9]+[^\n]*$", flags=re.MULTILINE)

Attributes = dict[str, list[bytes]]


def recognizes(text: str) -> bool:
    return _RECORD.search(text) is not None and _TOKEN.search(text) is not None


def read(source: TokenFile) -> Contents:
    """Return the tokens of ``source``; entries that are none are passed over. Raises Unreadable."""
    tokens = [entry for entry in _entries(source.data) if _kind(entry)]
    if not tokens:
        raise Unreadable("has no tokens of FreeIPA")
    places = [f"serial {_text(entry, 'ipatokenuniqueid')}" for entry in tokens]
    return read_each(zip(places, tokens, strict=True), _token)


def _entries(data: bytes) -> list[Attributes]:
    """Return each entry, its attributes by their names in lower case.

    What ldapsearch says of its search at the end, without -LLL, is no entry.
    """
    if len(_ENTRY.findall(data)) > 2 * MOST_TOKENS:
        raise Unreadable("has too many entries", "leave out those that are no tokens")
    if any(block.count(b"\n") > _MOST_LINES for block in data.replace(b"\r", b"").split(b"\n\n")):
        raise Unreadable(f"has an entry of more than {_MOST_LINES:,} lines")
    ldif = load("ldif", "LDIF", "python3-ldap")
    try:
        records = ldif.LDIFRecordList(io.BytesIO(_END.sub(b"", data)))  # this reads the first line
        records.parse()
    except (ValueError, TypeError, AttributeError):  # what it makes of lines that are not LDIF
        raise Unreadable("is not well-formed LDIF") from None
    return [
        {name.partition(";")[0].lower(): values for name, values in entry.items()}  # no options
        for _, entry in records.all_records
    ]


def _kind(entry: Attributes) -> str:
    classes = [name.lower() for name in entry.get("objectclass", []) if name]
    if b"ipatokentotp" in classes:
        return TOTP
    return HOTP if b"ipatokenhotp" in classes else ""


def _token(place: str, entry: Attributes) -> Token:
    user = uid_in(_text(entry, "ipatokenowner"))
    serial = _text(entry, "ipatokenuniqueid")
    try:
        if _text(entry, "ipatokendisabled").upper() == "TRUE":
            raise Unusable("it is disabled in FreeIPA")
        refuse_outside(_moment(entry, "ipatokennotbefore"), _moment(entry, "ipatokennotafter"))
        secret = (entry.get("ipatokenotpkey") or [b""])[0]
        if not secret:
            raise Unusable("there is no secret")
        token = Token(
            place,
            secret,
            user,
            _kind(entry),
            algorithm_in(_text(entry, "ipatokenotpalgorithm")),
            _number(entry, "ipatokenotpdigits", 6),
            serial=serial,
        )
        if token.kind == HOTP:
            return token._replace(next_counter=_number(entry, "ipatokenhotpcounter", 0))
        period = _number(entry, "ipatokentotptimestep", 30)
        if period <= 0:
            raise Unusable("its period is not above 0 seconds")
        return token._replace(
            period=period,
            drift=round(_number(entry, "ipatokentotpclockoffset", 0) / period),  # it is in seconds
            last_accepted_step=_number(entry, "ipatokentotpwatermark", 0) or None,
        )
    except Unusable as error:
        raise Unusable(str(error), user, serial) from None


def _text(entry: Attributes, name: str) -> str:
    value = (entry.get(name) or [b""])[0] or b""
    return value.decode("utf-8", "replace").strip()


def _number(entry: Attributes, name: str, default: int) -> int:
    text = _text(entry, name)
    return number_in(text, name) if text else default


def _moment(entry: Attributes, name: str) -> Any:
    text = _text(entry, name)
    if not text:
        return None
    # RFC 4517 writes 20260101000000Z, ISO 8601 has a T in it.
    return moment_in(re.sub(r"^(\d{8})(\d{6})", r"\1T\2", text), name)
