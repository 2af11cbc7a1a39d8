"""What a terminal can show of a QR code: its size, its encoding, its colours."""

from __future__ import annotations

import os
from typing import TextIO

from ... import prose
from . import qr


def reason_not_to_draw(rows: qr.Modules, stream: TextIO) -> str:
    """Say why ``stream`` cannot show a code of half blocks; "" where it can."""
    if not stream.isatty():
        return "the output is not a terminal"
    if (stream.encoding or "").lower().replace("-", "") != "utf8":
        return "the terminal is not set to UTF-8"
    if colours(stream) is None:
        return "the terminal has no colours"
    needed = len(rows[0])
    columns, _ = _size(stream)
    if columns < needed:
        return f"the terminal is {columns} columns wide, and the QR code needs {needed}"
    return ""


def draw(rows: qr.Modules, kind: str, stream: TextIO) -> list[str]:
    """Return the lines of a code to print: ``kind`` is one of --qr that is drawn, or ""."""
    if kind == "ascii":
        return qr.number_signs(rows)
    if kind == "ansi":
        return qr.coloured_spaces(rows, colours(stream) or qr.COLOURS_8)
    known = colours(stream)
    return qr.half_blocks(rows, known) if known else qr.plain_half_blocks(rows)


def lines_too_many(drawn: list[str], stream: TextIO) -> int:
    """Return how many lines the terminal lacks to show ``drawn`` and a prompt below."""
    if not stream.isatty():
        return 0
    _, lines = _size(stream)
    return max(0, len(drawn) + 1 - lines)


def colours(stream: TextIO) -> qr.Colours | None:
    """Return what sets colours on the terminal that TERM names; None: nothing does.

    Where it is not known here, as that of a new terminal emulator often is on a server, it has
    the 8 colours that all of them have.
    """
    if prose.is_dumb():
        return None
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return qr.COLOURS_256
    import curses

    try:
        curses.setupterm(os.environ["TERM"], stream.fileno())
        count = curses.tigetnum("colors")
    except curses.error:
        return qr.COLOURS_8
    if count >= 256:
        return qr.COLOURS_256
    return qr.COLOURS_8 if count >= 8 else qr.REVERSE


def _size(stream: TextIO) -> tuple[int, int]:
    """Return columns and lines; a serial line has 0 of both, and means a VT100's."""
    size = os.get_terminal_size(stream.fileno())
    return size.columns or 80, size.lines or 24
