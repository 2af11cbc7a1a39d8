"""JSON that may be hostile, and the values of its objects, of whatever type they are."""

from __future__ import annotations

import json
from typing import Any

from .texts import account_and_issuer, algorithm_in, from_base32, number_in, refuse_too_many
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
    except ValueError:  # also what is no text, and a number of thousands of digits
        raise Unreadable("is not well-formed JSON") from None


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
) -> Token:
    """Return the token of an app's ``fields``: secret, digits, period and counter.

    ``secret``: where it is not a text in base32. Raises Unusable.
    """
    user, prefix = account_and_issuer(label)
    try:
        if kind.lower() not in (TOTP, HOTP):
            name = kind.lower() if kind.isalnum() and len(kind) <= 8 else ""
            raise Unusable(f"codes of the type {name or 'that it has'} are not OATH")
        token = Token(
            place,
            from_base32(text_at(fields, "secret")) if secret is None else secret,
            user,
            kind.lower(),
            algorithm_in(algorithm),
            number_in(text_at(fields, "digits") or "6", "the number of digits"),
            issuer=issuer or prefix,
        )
        if token.kind == HOTP:
            counter = number_in(text_at(fields, "counter"), "the counter")
            return token._replace(next_counter=counter)
        return token._replace(period=number_in(text_at(fields, "period") or "30", "the period"))
    except Unusable as error:
        raise Unusable(str(error), user) from None
