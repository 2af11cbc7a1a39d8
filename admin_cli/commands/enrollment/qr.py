"""A QR code on a terminal: two modules a character, black on white whatever the colours are."""

from __future__ import annotations

import os
from typing import TextIO

QUIET_ZONE = 2  # modules; the standard says 4, readers are content with 2
_BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m"
_RESET = "\x1b[0m"
_HALF_BLOCKS = {(0, 0): " ", (1, 0): "\u2580", (0, 1): "\u2584", (1, 1): "\u2588"}


def modules(text: str) -> list[list[int]]:
    """Return the rows of the code, quiet zone included: 1 is dark."""
    import segno  # 60 ms, with urllib and ssl

    code = segno.make(text, error="l", micro=False)
    return [[int(module) for module in row] for row in code.matrix_iter(border=QUIET_ZONE)]


def draw(text: str) -> str:
    """Return the lines to print."""
    return "\n".join(f"{_BLACK_ON_WHITE}{line}{_RESET}" for line in _lines(modules(text)))


def draw_plain(text: str) -> str:
    """Return the lines where no colours can be set: of bright text on a dark ground.

    A client of SSH escapes colours. What is light in the code is drawn, what is dark is left out.
    """
    return "\n".join(_lines([[1 - module for module in row] for row in modules(text)]))


def _lines(rows: list[list[int]]) -> list[str]:
    if len(rows) % 2:
        rows = [*rows, [0] * len(rows[0])]
    return [
        "".join(_HALF_BLOCKS[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]


def reason_not_to_draw(text: str, stream: TextIO) -> str:
    """Say why ``stream`` cannot show the code of ``text``; "" where it can."""
    if not stream.isatty():
        return "the output is not a terminal"
    if (stream.encoding or "").lower().replace("-", "") != "utf8":
        return "the terminal is not set to UTF-8"
    if os.environ.get("TERM", "") in ("", "dumb"):
        return "the terminal has no colours"
    needed = len(modules(text)[0])
    columns, _ = _size(stream)
    if columns < needed:
        return f"the terminal is {columns} columns wide, and the QR code needs {needed}"
    return ""


def lines_too_many(text: str, stream: TextIO) -> int:
    """Return how many lines ``stream``'s terminal lacks to show the code and a prompt below."""
    needed = len(draw(text).splitlines()) + 1
    _, lines = _size(stream)
    return max(0, needed - lines)


def _size(stream: TextIO) -> tuple[int, int]:
    """Return columns and lines; a serial line has 0 of both, and means a VT100's."""
    size = os.get_terminal_size(stream.fileno())
    return size.columns or 80, size.lines or 24
