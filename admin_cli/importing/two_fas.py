"""2FAS: its backup without a password."""

from __future__ import annotations

from typing import Any

from .json_documents import Document, load, object_at, objects_at, text_at, token_of, with_places
from .sources import TokenFile
from .tokens import TOTP, Contents, Token, Unreadable, read_each


def recognizes(document: Document) -> bool:
    return isinstance(document, dict) and "services" in document and "schemaVersion" in document


def read(source: TokenFile) -> Contents:
    """Return its tokens. Raises Unreadable."""
    document = load(source.data)
    if document.get("servicesEncrypted"):
        raise Unreadable(
            "is an encrypted backup of 2FAS", "export it without a password, or decrypt it first"
        )
    return read_each(with_places(objects_at(document, "services")), _token)


def _token(place: str, service: dict[str, Any]) -> Token:
    otp = object_at(service, "otp")
    return token_of(
        place,
        {**otp, "secret": service.get("secret")},
        label=text_at(otp, "account") or text_at(otp, "label"),
        issuer=text_at(otp, "issuer") or text_at(service, "name"),
        kind=text_at(otp, "tokenType") or TOTP,
        algorithm=text_at(otp, "algorithm"),
        first_counter=0,
    )
