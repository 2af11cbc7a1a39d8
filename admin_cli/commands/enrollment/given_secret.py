"""--secret-stdin: the secret that a token was made with."""

from __future__ import annotations

import sys

from ... import output
from ...errors import CommandFailed
from ...importing import supported, texts
from ...importing.tokens import Unusable

FORMATS = {"base32": texts.from_base32, "hex": texts.from_hex}


def read(form: str | None) -> bytes:
    """Return the secret on the first line of standard input, in one of FORMATS.

    ``form`` None: the line says so itself, as ``hex:3132...``. Nothing is guessed: most secrets in
    hex are base32 as well. Raises CommandFailed.
    """
    if sys.stdin.isatty():
        text = output.ask_secretly("secret of the token", "")
    else:
        text = sys.stdin.readline()
    named, colon, digits = text.strip().partition(":")
    if colon and named in FORMATS and form in (None, named):
        form, text = named, digits
    if form is None:
        raise CommandFailed(
            "it is not said whether the secret is base32 or hex",
            "use --secret-format, or begin the line with base32: or hex:",
        )
    try:
        secret = FORMATS[form](text.strip())
    except Unusable as error:
        raise CommandFailed(f"{error}; nothing was changed") from None
    if refusal := supported.secret_refusal(secret):
        raise CommandFailed(f"{refusal}; nothing was changed")
    return secret
