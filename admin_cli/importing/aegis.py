"""Aegis: its export without encryption."""

from __future__ import annotations

from typing import Any

from .json_documents import Document, load, object_at, objects_at, text_at, token_of, with_places
from .sources import TokenFile
from .tokens import Contents, Token, Unreadable, read_each


def recognizes(document: Document) -> bool:
    return isinstance(document, dict) and "db" in document and "header" in document


def read(source: TokenFile) -> Contents:
    """Return its tokens. Raises Unreadable."""
    document = load(source.data)
    if isinstance(document.get("db"), str):
        raise Unreadable(
            "is an encrypted export of Aegis", "export it without encryption, or decrypt it first"
        )
    return read_each(with_places(objects_at(document, "db", "entries")), _token)


def _token(place: str, entry: dict[str, Any]) -> Token:
    info = object_at(entry, "info")
    return token_of(
        place,
        info,
        label=text_at(entry, "name"),
        issuer=text_at(entry, "issuer"),
        kind=text_at(entry, "type"),
        algorithm=text_at(info, "algo"),
    )
