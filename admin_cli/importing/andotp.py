"""andOTP: its plain backup, a list of entries.

Old releases wrote no type, which means TOTP, and the issuer into the label: "Example - alice".
"""

from __future__ import annotations

from typing import Any

from .json_documents import Document, load, objects_at, text_at, token_of, with_places
from .sources import TokenFile
from .tokens import TOTP, Contents, Token, read_each

_BETWEEN = " - "


def recognizes(document: Document) -> bool:
    return isinstance(document, list) and any(
        isinstance(entry, dict) and {"secret", "label"} <= entry.keys() for entry in document
    )


def read(source: TokenFile) -> Contents:
    document = load(source.data)
    return read_each(with_places(objects_at({"entries": document}, "entries")), _token)


def _token(place: str, entry: dict[str, Any]) -> Token:
    label, issuer = text_at(entry, "label"), text_at(entry, "issuer")
    if "issuer" not in entry and _BETWEEN in label:
        issuer, _, label = label.partition(_BETWEEN)
    return token_of(
        place,
        entry,
        label=label,
        issuer=issuer,
        kind=text_at(entry, "type") or TOTP,
        algorithm=text_at(entry, "algorithm"),
    )
