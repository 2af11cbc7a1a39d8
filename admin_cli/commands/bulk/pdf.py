"""A sheet as one page of PDF, drawn by reportlab: A4, with margins that fit Letter as well."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ... import libraries
from ..enrollment import qr
from .sheets import CODES_HEADING, Sheet

PACKAGE = "python3-reportlab"
FONT_PACKAGE = "fonts-dejavu-core"
# Of Debian and of Fedora.
FONTS = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
)
_NOWHERE = "/nonexistent"  # the home of accounts that have none
_WIDTH, _HEIGHT = 595.0, 842.0  # of A4, in points
_LEFT, _TOP = 60.0, 770.0
_ACROSS = _WIDTH - 2 * _LEFT
_PICTURE = 190.0  # with the quiet zone
_BESIDE = _LEFT + _PICTURE + 16  # where the text beside the picture begins
_PLAIN, _BOLD, _TYPEWRITER = "Helvetica", "Helvetica-Bold", "Courier-Bold"  # every reader has them
_LATIN = "cp1252"  # what they can show
_EMBEDDED = "DejaVuSans"
_LEAST_SIZE = 6.0


def page(sheet: Sheet) -> bytes:
    """Return the document. Raises CommandFailed without reportlab."""
    content = io.BytesIO()
    canvas = load().Canvas(content, pagesize=(_WIDTH, _HEIGHT), pageCompression=1)
    canvas.setTitle(sheet.title)
    canvas.setAuthor("totpctl")
    writer = _Writer(canvas)
    writer.write(sheet.title, _LEFT, _ACROSS, 17, lines=2, font=_BOLD)
    writer.write(sheet.person, _LEFT, _ACROSS, 13, lines=2)
    writer.skip(14)
    top = writer.y
    _draw(canvas, qr.modules(sheet.offer.uri), _LEFT, top - _PICTURE)
    for number, sentence in enumerate(sheet.what_to_do, 1):
        text = f"{number}. {sentence}"
        writer.write(text, _BESIDE, _LEFT + _ACROSS - _BESIDE, 11, lines=7)
        writer.skip(8)
    writer.y = min(writer.y, top - _PICTURE) - 16
    for name, value in sheet.facts:
        writer.write(name, _LEFT, _ACROSS, 10, lines=1)
        font = _TYPEWRITER if name == "Secret" else _BOLD
        writer.write(value, _LEFT, _ACROSS, 12, lines=4, font=font)
        writer.skip(8)
    writer.skip(10)
    writer.write(CODES_HEADING, _LEFT, _ACROSS, 11, lines=1)
    writer.skip(6)
    for left, right in zip(sheet.codes[::2], sheet.codes[1::2], strict=True):
        writer.write(f"{left}    {right}", _LEFT, _ACROSS, 13, lines=1, font=_TYPEWRITER)
        writer.skip(3)
    writer.skip(14)
    writer.write(sheet.made_at, _LEFT, _ACROSS, 9, lines=1)
    canvas.showPage()
    canvas.save()
    return content.getvalue()


@functools.cache
def load() -> Any:
    """Return reportlab's module of pages. Raises CommandFailed.

    On import it runs ~/.reportlab_settings, and takes settings from the environment: either may be
    the user's who has called sudo.
    """
    with _nobodys_environment():
        return libraries.load("reportlab.pdfgen.canvas", "sheets in PDF", PACKAGE)


@contextlib.contextmanager
def _nobodys_environment() -> Iterator[None]:
    """Hide the caller's environment, and what reportlab warns of: it imports in old ways."""
    before = dict(os.environ)
    try:
        for name in [name for name in before if name.startswith(("RL_", "XDG_"))]:
            del os.environ[name]
        os.environ["HOME"] = _NOWHERE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def is_replaced(text: str) -> bool:
    """Tell whether some of ``text`` is replaced by the numbers of its characters."""
    return _drawable(text, _PLAIN)[0] != text


class _Writer:
    """Writes lines on a page, from ``y`` downwards."""

    def __init__(self, canvas: Any) -> None:
        self.y = _TOP
        self._canvas = canvas

    def skip(self, points: float) -> None:
        self.y -= points

    def write(
        self, text: str, x: float, width: float, size: float, *, lines: int, font: str = _PLAIN
    ) -> None:
        """Write ``text`` from ``x`` on, at most ``width`` wide, in ``lines`` lines at most.

        What is too long becomes smaller; it is cut off only where it could not be read any more.
        """
        text, font = _drawable(text, font)
        wrapped = self._wrapped(text, width, font, size)
        while len(wrapped) > lines and size > _LEAST_SIZE:
            size -= 0.5
            wrapped = self._wrapped(text, width, font, size)
        if len(wrapped) > lines:
            wrapped = [*wrapped[: lines - 1], f"{wrapped[lines - 1][:-4]}..."]
        for line in wrapped:
            self.y -= size * 1.3
            self._canvas.setFont(font, size)
            self._canvas.drawString(x, self.y, line)

    def _wrapped(self, text: str, width: float, font: str, size: float) -> list[str]:
        return list(_wrapped(text, width, lambda part: self._canvas.stringWidth(part, font, size)))


def _wrapped(text: str, width: float, measured: Callable[[str], float]) -> Iterator[str]:
    """Yield lines of ``text`` that are not wider: broken at blanks, else anywhere."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if measured(longer) <= width:
            line = longer
            continue
        if line:
            yield line
        line = word
        while measured(line) > width:
            fitting = next(n for n in range(len(line) - 1, 0, -1) if measured(line[:n]) <= width)
            yield line[:fitting]
            line = line[fitting:]
    yield line


def _drawable(text: str, font: str) -> tuple[str, str]:
    """Return ``text`` with a font that can show it: ``font`` for Latin letters, else one to embed.

    A character that no font here has is replaced by its number.
    """
    if _can_encode(text):
        return text, font
    glyphs = _embedded_glyphs()
    if glyphs is None:
        return text.encode(_LATIN, "backslashreplace").decode(_LATIN), font
    escaped = (
        c if ord(c) in glyphs else c.encode("ascii", "backslashreplace").decode() for c in text
    )
    return "".join(escaped), _EMBEDDED


def _can_encode(text: str) -> bool:
    try:
        text.encode(_LATIN)
    except UnicodeEncodeError:
        return False
    return True


@functools.cache
def _embedded_glyphs() -> Any:
    """Return the numbers of the characters that the font to embed has; None: there is no font."""
    path = next(filter(os.path.isfile, FONTS), None)
    if path is None:
        return None
    load()
    metrics = libraries.load("reportlab.pdfbase.pdfmetrics", "sheets in PDF", PACKAGE)
    fonts = libraries.load("reportlab.pdfbase.ttfonts", "sheets in PDF", PACKAGE)
    font = fonts.TTFont(_EMBEDDED, path)
    metrics.registerFont(font)
    return font.face.charToGlyph


def _draw(canvas: Any, rows: qr.Modules, x: float, y: float) -> None:
    """Draw a QR code of _PICTURE points, its lower left corner at ``x`` and ``y``.

    As one path: of several, readers show the borders.
    """
    size = _PICTURE / len(rows)
    path = canvas.beginPath()
    for number, row in enumerate(rows):
        at = 0
        for is_dark, run in itertools.groupby(row):
            count = len(list(run))
            if is_dark:
                bottom = y + _PICTURE - (number + 1) * size
                path.rect(x + at * size, bottom, count * size, size)
            at += count
    canvas.drawPath(path, stroke=0, fill=1)
