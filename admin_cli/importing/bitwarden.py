"""Bitwarden: its JSON without encryption. It holds passwords too: two fields are read."""

from __future__ import annotations

from typing import Any

from . import otpauth
from .json_documents import Document, load, object_at, objects_at, text_at, with_places
from .sources import TokenFile
from .texts import from_base32
from .tokens import Contents, Token, Unreadable, Unusable, read_each


def recognizes(document: Document) -> bool:
    return (isinstance(document, dict) and "items" in document) or _is_encrypted(document)


def read(source: TokenFile) -> Contents:
    """Return its tokens; items without one are passed over. Raises Unreadable."""
    document = load(source.data)
    if _is_encrypted(document):
        raise Unreadable("is an encrypted export of Bitwarden", "export it as .json, unencrypted")
    return read_each(with_places(objects_at(document, "items")), _token)


def _is_encrypted(document: Document) -> bool:
    return isinstance(document, dict) and document.get("encrypted") is True


def _token(place: str, item: dict[str, Any]) -> Token | None:
    login = object_at(item, "login")
    return token_of(
        place, text_at(item, "name"), text_at(login, "username"), text_at(login, "totp")
    )


def token_of(place: str, name: str, user: str, totp: str) -> Token | None:
    """Return the token of an item: an address, or a secret alone; None for an empty ``totp``."""
    if not totp:
        return None
    try:
        if "://" in totp:
            token = otpauth.token_of(place, totp)
            return token._replace(user=token.user or user)
        return Token(place, from_base32(totp), user, issuer=name)
    except Unusable as error:
        raise Unusable(str(error), user) from None
