"""FreeOTP+: its JSON, where a secret is a list of Java's signed bytes.

It has no type for the codes of Steam: they are those of the issuer "Steam".
"""

from __future__ import annotations

from typing import Any

from .json_documents import Document, load, objects_at, text_at, token_of, with_places
from .otpauth import STEAM
from .sources import TokenFile
from .tokens import Contents, Token, Unusable, read_each

_BYTE = 256


def recognizes(document: Document) -> bool:
    return isinstance(document, dict) and "tokens" in document and "tokenOrder" in document


def read(source: TokenFile) -> Contents:
    return read_each(with_places(objects_at(load(source.data), "tokens")), _token)


def _token(place: str, entry: dict[str, Any]) -> Token:
    label = text_at(entry, "label")
    if text_at(entry, "issuerExt") == STEAM:
        raise Unusable("Steam's codes are not OATH", label)
    return token_of(
        place,
        entry,
        label=label,
        issuer=text_at(entry, "issuerExt") or text_at(entry, "issuerInt"),
        kind=text_at(entry, "type"),
        algorithm=text_at(entry, "algo"),
        secret=_secret(entry.get("secret"), label),
    )


def _secret(numbers: object, label: str) -> bytes:
    if not isinstance(numbers, list) or not numbers:
        raise Unusable("there is no secret", label)
    if not all(type(n) is int and -_BYTE // 2 <= n < _BYTE // 2 for n in numbers):
        raise Unusable("the secret is not a list of bytes", label)
    return bytes(number % _BYTE for number in numbers)
