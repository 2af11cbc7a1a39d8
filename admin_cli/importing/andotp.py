"""andOTP: its plain backup, a list of entries."""

from __future__ import annotations

from typing import Any

from .json_documents import Document, load, objects_at, text_at, token_of, with_places
from .sources import TokenFile
from .tokens import Contents, Token, read_each


def recognizes(document: Document) -> bool:
    return isinstance(document, list) and any(
        isinstance(entry, dict) and "secret" in entry and "type" in entry for entry in document
    )


def read(source: TokenFile) -> Contents:
    document = load(source.data)
    return read_each(with_places(objects_at({"entries": document}, "entries")), _token)


def _token(place: str, entry: dict[str, Any]) -> Token:
    return token_of(
        place,
        entry,
        label=text_at(entry, "label"),
        issuer=text_at(entry, "issuer"),
        kind=text_at(entry, "type"),
        algorithm=text_at(entry, "algorithm"),
    )
