"""What totpctl export of another machine has written: its people go on as they were there."""

from __future__ import annotations

from ..exporting import sealed_file
from ..exporting.sealed_file import Carried, NotSealed, WrongPassphrase
from .sources import TokenFile
from .texts import text_of
from .tokens import MOST_TOKENS, Contents, Token, Unreadable
from .xml_encryption import Unlocking


def recognizes(text: str) -> bool:
    return text.startswith(sealed_file.FIRST_WORDS)


def read(source: TokenFile, unlocking: Unlocking) -> Contents:
    """Return the tokens and people of ``source``. Raises Unreadable, CommandFailed."""
    is_ascii = source.data.isascii()  # no mark of an editor's, and no copy
    data = source.data if is_ascii else text_of(source.data).encode("utf-8", "surrogateescape")
    try:
        people = sealed_file.unseal(data, unlocking.passphrase)
    except NotSealed as error:
        raise Unreadable(str(error), "export it again") from None
    except WrongPassphrase:
        raise Unreadable(
            "does not open: the passphrase is wrong, or the file was changed"
        ) from None
    tokens = tuple(token for person in people for token in _tokens(person))
    if len(tokens) > MOST_TOKENS:
        raise Unreadable(f"has more than {MOST_TOKENS:,} tokens", "export fewer people at a time")
    return Contents(tokens, people=tuple(people))


def _tokens(person: Carried) -> list[Token]:
    return [
        Token(
            f"{device.label} of {person.name}",
            device.secret or b"",
            person.name,
            device.kind,
            algorithm=device.algorithm,
            digits=device.digits,
            period=device.period,
            drift=device.drift,
            learned=device.learned,
            last_accepted_step=device.last_accepted_step
            if device.last_accepted_step >= 0 and not device.counts
            else None,
            next_counter=device.counter or 0,
            serial=device.serial,
            label=device.label,
        )
        for device in person.authenticators
    ]
