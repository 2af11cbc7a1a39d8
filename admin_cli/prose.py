"""How a sentence looks on a terminal: its first word coloured, and broken between words.

Anywhere else, a line is a line and has no colour, for programs read it. NO_COLOR (no-color.org) and
TERM=dumb mean no colour.
"""

from __future__ import annotations

import os
import re
from typing import TextIO

import click

MIN_COLUMNS = 40  # in fewer, the terminal breaks lines itself
# The word that a line begins with, and its colour.
_COLOURS = {
    "totpctl: error:": "red",
    "totpctl: warning:": "yellow",
    "hint:": "cyan",
    "WRONG": "red",
    "NOTE": "yellow",
    "fix:": "cyan",
}
_FIRST_WORD = re.compile(rf"( *)({'|'.join(_COLOURS)})( *)")
# A command that people copy comes after one of these, and stays in one piece.
_COMMAND = re.compile(r"\b(?:run|with|see|at|type|fix|compare|start|try|by): ")
_GLUE = "\u00a0"


def on(stream: TextIO, text: str) -> str:
    """Return the printable ``text`` as ``stream`` shows it best."""
    if not stream.isatty():
        return text
    begins = _FIRST_WORD.match(text)
    columns = os.get_terminal_size(stream.fileno()).columns
    if columns >= MIN_COLUMNS and len(text) > columns and (begins or not text.startswith(" ")):
        indentation = begins.end() - begins.start(2) if begins else 0
        text = _wrapped(text, columns, (len(begins[1]) if begins else 0) + min(indentation, 7))
    if begins and _has_colours():
        before, word = begins.group(1, 2)
        rest = text[len(before) + len(word) :]
        text = before + click.style(word, fg=_COLOURS[word], bold=True) + rest
    return text


def _wrapped(text: str, columns: int, indentation: int) -> str:
    import textwrap

    found = _COMMAND.search(text)
    if found:
        commands = "; ".join(
            command.replace(" ", _GLUE) for command in text[found.end() :].split("; ")
        )
        text = text[: found.end()] + commands
    lines = textwrap.wrap(
        text,
        columns,
        subsequent_indent=" " * indentation,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(lines).replace(_GLUE, " ")


def _has_colours() -> bool:
    return not os.environ.get("NO_COLOR") and not is_dumb()


def is_dumb() -> bool:
    """Tell whether the terminal that TERM names, if it does, takes no control sequences."""
    return os.environ.get("TERM", "") in ("", "dumb")
