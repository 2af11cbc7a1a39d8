"""Every rule of totpctl's output, in one place.

- Results go to stdout; messages, prompts and errors to stderr.
- ``--json`` prints one JSON document to stdout, times as ISO 8601 UTC or null.
- An error is ``totpctl: error: ...`` and, where something can be done, ``hint: ...``.
- Destructive verbs ask; ``--yes`` answers. Without a terminal to ask on they refuse.
- A secret is never in argv. It is shown once, and only because somebody asked for it.
- Whatever is written is one line: control characters in names never reach the terminal, and
  neither does what its encoding lacks. picture() alone goes out as it is.
- On a terminal, sentences have colours and are broken between words: prose.py. Tables, and what
  people copy, are not.

What goes wrong, and the exit codes: errors.py.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TextIO

from . import prose
from .errors import CommandFailed

_MOST_NAMES = 10  # in one line


def result(text: str = "") -> None:
    _write(printable(text), sys.stdout)


def result_json(document: object) -> None:
    import json

    _write(json.dumps(document, indent=2, ensure_ascii=True), sys.stdout)


def result_in_words(text: str) -> None:
    """Print a sentence that is a result."""
    _write(prose.on(sys.stdout, printable(text)), sys.stdout)


@contextlib.contextmanager
def result_json_array() -> Iterator[Callable[[object], None]]:
    """Print one JSON array, an item when it is given; it is whole after an exception, too."""
    import json

    before = "[\n  "
    is_empty = True

    def add(item: object) -> None:
        nonlocal before, is_empty
        shown = json.dumps(item, indent=2, ensure_ascii=True).replace("\n", "\n  ")
        _write(before + shown, sys.stdout, end="")
        before, is_empty = ",\n  ", False

    try:
        yield add
    finally:
        _write("[]" if is_empty else "\n]", sys.stdout)


def keep_results() -> None:
    """Have the results that were printed so far on the disk, if they go to a file."""
    with contextlib.suppress(OSError):  # a pipe, a terminal
        os.fsync(sys.stdout.fileno())


def message(text: str = "") -> None:
    _write(prose.on(sys.stderr, printable(text)), sys.stderr)


def warning(text: str) -> None:
    message(f"totpctl: warning: {text}")


def picture(lines: str, stream: TextIO) -> None:
    """Write ``lines`` with the control sequences in them."""
    _write(lines, stream)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is destroyed. Raises CommandFailed on anything but a clear yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed("this needs a confirmation", "confirm it in advance with --yes")
    if ask(f"{question} [y/N]").lower() not in ("y", "yes"):
        raise CommandFailed("nothing was changed")


def ask(question: str, hint_at_end_of_input: str = "") -> str:
    """Ask for a line of text, visible while it is typed; nothing may have been changed before.

    Raises CommandFailed at Ctrl-C and at the end of the input.
    """
    try:
        _write(printable(question) + ": ", sys.stderr, end="")
        line = sys.stdin.readline()
    except UnicodeError:
        line = "\ufffd\n"  # not text; no question here is answered by it
    except KeyboardInterrupt:
        message()
        raise CommandFailed("interrupted; nothing was changed") from None
    if not line or not sys.stdin.isatty():
        message()  # nobody pressed Enter here
    if not line:
        raise CommandFailed("no answer was given; nothing was changed", hint_at_end_of_input)
    return line.strip()


def ask_secretly(question: str, hint: str) -> str:
    """Ask for a secret, invisible while it is typed. Raises CommandFailed."""
    import getpass

    if not sys.stdin.isatty():
        raise CommandFailed(f"there is no terminal to ask for the {question}", hint)
    try:
        return getpass.getpass(f"{question[:1].upper()}{question[1:]}: ", sys.stderr)
    except (EOFError, KeyboardInterrupt):
        message()
        raise CommandFailed("interrupted; nothing was changed") from None


def printable(text: str) -> str:
    """Escape what would move the cursor or end the line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def some_of(names: Iterable[str], most: int = _MOST_NAMES) -> str:
    """Return the first of ``names`` for a sentence, and how many more there are."""
    listed = list(names)
    shown = ", ".join(listed[:most])
    rest = len(listed) - most
    return f"{shown} and {rest} more" if rest > 0 else shown


def iso_time(unix_time: int | None) -> str | None:
    if not unix_time:
        return None
    return datetime.fromtimestamp(unix_time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def result_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Lay out columns as wide as their widest cell."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        result("  ".join(cells).rstrip())


def _write(line: str, stream: TextIO, end: str = "\n") -> None:
    encoding = stream.encoding or "ascii"
    try:
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + end)
        stream.flush()
    except OSError:
        drop_unwritten(stream)
        raise


def drop_unwritten(stream: TextIO) -> None:
    """Forget what cannot be written: it would fail again, louder, when Python exits."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
