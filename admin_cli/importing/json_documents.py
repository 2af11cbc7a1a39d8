"""JSON that may be hostile, and the values of its objects, of whatever type they are."""

from __future__ import annotations

import json
from typing import Any

from .texts import (
    account_and_issuer,
    algorithm_in,
    from_base32,
    number_in,
    refuse_too_many,
    shown_type,
)
from .tokens import HOTP, TOTP, Token, Unreadable, Unusable

_MOST_MARKS = 200_000  # of lists, objects and what is in them: some 50 MB of memory

Document = Any


def load(data: bytes) -> Document:
    """Return the document. Raises Unreadable."""
    refuse_too_many(data, b"[{,", _MOST_MARKS)
    try:
        return json.loads(data)
    except RecursionError:
        raise Unreadable("is nested too deeply") from None
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
            raise Unreadable("is JSON that is cut off", "copy it once more") from None
        raise Unreadable("is not well-formed JSON") from None
    except ValueError:  # no text, or a number of thousands of digits
        raise Unreadable("is not well-formed JSON") from None


def is_encrypted(document: Document) -> bool:
    """Tell by the names in it, where it is of no app that is known."""
    return isinstance(document, dict) and any("encrypt" in name.lower() for name in document)


def objects_at(document: Document, *path: str) -> list[dict[str, Any]]:
    """Return the objects in the list at ``path``; what else is in it is an empty one."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    entries = document if isinstance(document, list) else []
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def object_at(entry: dict[str, Any], name: str) -> dict[str, Any]:
    value = entry.get(name)
    return value if isinstance(value, dict) else {}


def text_at(entry: dict[str, Any], name: str) -> str:
    """Return a text, a number as text, or "" for whatever else it is."""
    value = entry.get(name)
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def number_at(entry: dict[str, Any], name: str, what: str, default: int | None = None) -> int:
    """Return a number, in digits or not; ``default`` where there is none. Raises Unusable."""
    value = entry.get(name)
    if value is None or value == "":
        if default is None:
            raise Unusable(f"there is no {what}")
        return default
    if isinstance(value, float) and value.is_integer():
        value = f"{value:.0f}"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Unusable(f"the {what} is not a number")
    return number_in(str(value), f"the {what}")


def with_places(entries: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"entry {number}", entry) for number, entry in enumerate(entries, 1)]


def token_of(
    place: str,
    fields: dict[str, Any],
    *,
    label: str,
    issuer: str,
    kind: str,
    algorithm: str,
    secret: bytes | None = None,
    first_counter: int | None = None,
) -> Token:
    """Return the token of an app's ``fields``: secret, digits, period and counter.

    ``secret``: where it is not a text in base32; ``first_counter``: what it means to the app that
    there is no counter. Raises Unusable.
    """
    user, prefix = account_and_issuer(label)
    try:
        if kind.lower() not in (TOTP, HOTP):
            raise Unusable(f"{shown_type(kind)}; there are totp and hotp")
        token = Token(
            place,
            from_base32(text_at(fields, "secret")) if secret is None else secret,
            user,
            kind.lower(),
            algorithm_in(algorithm),
            number_at(fields, "digits", "number of digits", 6),
            issuer=issuer or prefix,
        )
        if token.kind == HOTP:
            counter = number_at(fields, "counter", "counter", first_counter)
            return token._replace(next_counter=counter)
        return token._replace(period=number_at(fields, "period", "period", 30))
    except Unusable as error:
        raise Unusable(str(error), user) from None
