"""Passphrases of files: from a file or a descriptor, else asked for; never an argument."""

from __future__ import annotations

from .. import output
from ..errors import CommandFailed
from ..importing import sources

LEAST_CHARACTERS = 12  # of a new one: whoever has the file can try as many as they like
_HINT = "use --passphrase-file"


def given(path: str | None) -> str:
    """Return the passphrase of a file that is there. Raises CommandFailed, OSError."""
    passphrase = output.ask_secretly("passphrase of the file", _HINT) if path is None else _in(path)
    if not passphrase:
        raise CommandFailed("the passphrase is empty")
    return passphrase


def new(path: str | None) -> str:
    """Return a passphrase for a new file, asked for twice. Raises CommandFailed, OSError."""
    if path is None:
        passphrase = output.ask_secretly("new passphrase for the file", _HINT)
        if output.ask_secretly("same passphrase again", _HINT) != passphrase:
            raise CommandFailed("the two passphrases differ; nothing was written", "try again")
    else:
        passphrase = _in(path)
    if len(passphrase) < LEAST_CHARACTERS:
        raise CommandFailed(
            f"the passphrase has fewer than {LEAST_CHARACTERS} characters",
            "use a longer one: anybody who has the file can try as many as they like",
        )
    return passphrase


def _in(path: str) -> str:
    first, _, _ = sources.content(path).partition(b"\n")
    return first.removesuffix(b"\r").decode("utf-8", "surrogateescape")
