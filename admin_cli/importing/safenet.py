"""The XML in which SafeNet delivered its eToken PASS: a seed in hex and a counter a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sources import TokenFile
from .texts import from_hex, number_in
from .tokens import HOTP, Contents, Token, Unusable, read_each
from .xml_documents import child, children, parse, text_at

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ROOT = "Tokens"
_SHA256_BYTES = 32


def read(source: TokenFile) -> Contents:
    tokens = list(children(parse(source.data, "SafeNet's XML"), "Token"))
    places = [f"serial {token.get('serial', '')}" for token in tokens]
    return read_each(zip(places, tokens, strict=True), _token)


def _token(place: str, element: Element) -> Token:
    serial = element.get("serial", "")
    try:
        application = child(element, "Applications", "Application")
        secret = from_hex(text_at(application, "Seed"))
        counter = number_in(text_at(application, "MovingFactor"), "the MovingFactor")
    except Unusable as error:
        raise Unusable(str(error), serial=serial) from None
    algorithm = "SHA256" if len(secret) == _SHA256_BYTES else "SHA1"
    return Token(place, secret, kind=HOTP, algorithm=algorithm, next_counter=counter, serial=serial)
