"""QR codes: their modules, as lines of text, and as the content of a file.

Two modules share a character, one above the other. A terminal may leave some pixels between its
lines, which have the background of the character above or below them. So the lower module is always
the background, and the upper one is drawn on it: no line of the wrong colour crosses what is dark
or light above and below. With an odd number of light rows above, zbar reads the code whether the
pixels are added above, below or on both sides; with an even number it does not.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

QUIET_ZONE = 2  # modules; the standard says 4, readers are content with 2
_QUIET_ZONE_OF_A_FILE = 4
_PIXELS = 8  # of a module in a file
_UPPER_HALF = "\u2580"
_HALF_BLOCKS = {(0, 0): " ", (1, 0): _UPPER_HALF, (0, 1): "\u2584", (1, 1): "\u2588"}
_RESET = "\x1b[0m"

Modules = list[list[int]]  # rows of the code; 1 is dark


class Colours(NamedTuple):
    """The sequences that begin a run of characters with a light or a dark background."""

    light: str
    dark: str


COLOURS_256 = Colours("\x1b[38;5;16;48;5;231m", "\x1b[38;5;231;48;5;16m")  # no theme changes these
COLOURS_8 = Colours("\x1b[0;30;47m", "\x1b[0;37;40m")
REVERSE = Colours("\x1b[0;7m", "\x1b[0m")  # on a dark terminal


def modules(text: str) -> Modules:
    """Return the rows of the code, quiet zone included."""
    return _rows(text, QUIET_ZONE)


def fits_24_lines(uri: str) -> bool:
    """Return whether the code of ``uri`` and a prompt below fit a small screen.

    Version 6 is the last that does: 41 modules and 5 light rows make 23 lines. It holds 136
    codewords at level L (ISO/IEC 18004 table 7).
    """
    bits = 0
    for part in _segments(uri):
        if part.isalnum() and part.isupper():
            bits += 4 + 9 + (11 * len(part) + 1) // 2
        else:
            bits += 4 + 8 + 8 * len(part)
    return bits <= 136 * 8


def half_blocks(rows: Modules, colours: Colours) -> list[str]:
    """Return the lines to print where there are colours, or at least reverse video."""
    above = [[0] * len(rows[0])]
    return [
        _coloured(
            ((lower, " " if upper == lower else _UPPER_HALF) for upper, lower in pairs), colours
        )
        for pairs in _pairs([*above, *rows])
    ]


def plain_half_blocks(rows: Modules) -> list[str]:
    """Return the lines where no colours can be set: of bright text on a dark ground.

    A client of SSH escapes colours. What is light in the code is drawn, what is dark is left out.
    One light row above has to do: the secret and a prompt have to fit the screen, too.
    """
    inverted = [[1 - module for module in row] for row in rows[1:]]
    return ["".join(_HALF_BLOCKS[pair] for pair in pairs) for pairs in _pairs(inverted)]


def coloured_spaces(rows: Modules, colours: Colours) -> list[str]:
    """Return the lines of spaces alone, two a module: for any font and encoding."""
    return [_coloured(((module, "  ") for module in row), colours) for row in rows]


def number_signs(rows: Modules) -> list[str]:
    """Return the lines in ASCII: of dark text on a light ground, as on paper."""
    return ["".join("##" if module else "  " for module in row).rstrip() for row in rows]


def file_content(text: str, kind: str) -> bytes:
    """Return a picture of the code: ``kind`` is ``png`` or ``svg``."""
    content = io.BytesIO()
    _code(text).save(content, kind=kind, scale=_PIXELS, border=_QUIET_ZONE_OF_A_FILE, light="white")
    return content.getvalue()


def _rows(text: str, border: int) -> Modules:
    return [[int(module) for module in row] for row in _code(text).matrix_iter(border=border)]


def _code(text: str) -> Any:
    import segno  # 60 ms, with urllib and ssl

    # Its type says that it takes one text; it takes segments, too.
    return segno.make(_segments(text), error="l", micro=False)  # type: ignore[arg-type]


def _segments(uri: str) -> list[str]:
    """Split ``uri`` so that the secret, in base32, takes 5.5 bits a character and not 8."""
    before, equals, rest = uri.partition("secret=")
    secret, ampersand, after = rest.partition("&")
    return [part for part in (before + equals, secret, ampersand + after) if part]


def _pairs(rows: Modules) -> Iterator[Iterable[tuple[int, int]]]:
    """Yield the modules of two rows at a time: each upper one with the one below."""
    assert len(rows) % 2 == 0
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        yield zip(upper, lower, strict=True)


def _coloured(cells: Iterable[tuple[int, str]], colours: Colours) -> str:
    """Return a line of ``cells``: whether the background is dark, and the text on it."""
    runs = itertools.groupby(cells, key=lambda cell: cell[0])
    line = "".join(
        (colours.dark if is_dark else colours.light) + "".join(text for _, text in run)
        for is_dark, run in runs
    )
    return line + _RESET
