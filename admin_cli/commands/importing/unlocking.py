"""Keys of encrypted files: from a file or a descriptor, else asked for."""

from __future__ import annotations

import re

from ... import output
from ...errors import CommandFailed
from ...importing import sources
from ...importing.xml_encryption import Unlocking
from .. import passphrases

_KEY_BYTES = (16, 24, 32)


def unlocking(
    key_file: str | None, passphrase_file: str | None, *, accepts_no_mac: bool
) -> Unlocking:
    """Return how to get what opens a file; nothing is read or asked for before it is needed."""
    return Unlocking(
        key=lambda: _key(key_file),
        passphrase=lambda: passphrases.given(passphrase_file),
        accepts_no_mac=accepts_no_mac,
    )


def _key(path: str | None) -> bytes:
    """Return a key: its bytes, or the hexadecimal digits of it."""
    if path is None:
        given = output.ask_secretly("key of the file, in hex", "use --key-file").encode("utf-8")
    else:
        given = sources.content(path)
    digits = b"".join(given.split())
    if re.fullmatch(rb"(?:[0-9A-Fa-f]{2})+", digits) and len(digits) // 2 in _KEY_BYTES:
        return bytes.fromhex(digits.decode("ascii"))
    if len(given) not in _KEY_BYTES:
        raise CommandFailed("that is no key of 128, 192 or 256 bits", "give it in hex")
    return given
