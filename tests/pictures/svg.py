"""Draw a terminal's screen as SVG, and read its text back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from html import escape
from xml.etree import ElementTree

import pyte
from pyte.screens import Char

CELL_WIDTH, CELL_HEIGHT = 9, 18  # two modules of a QR code a cell: as wide as high
FONT_SIZE, BASELINE = 15, 13
MARGIN, TITLE_BAR = 20, 36
FONTS = "ui-monospace, 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace"
BACKGROUND, FOREGROUND, FRAME, BAR, FAINT = "#1b1f2a", "#d9dee8", "#3c4356", "#272d3b", "#97a1b5"
COLOURS = {
    "default": FOREGROUND,
    "red": "#f28779",
    "green": "#a6d189",
    "brown": "#ffd173",  # pyte's word for yellow
    "blue": "#73b8ff",
    "magenta": "#dfbfff",
    "cyan": "#95e6cb",
    "white": "#ffffff",
    "black": "#000000",
}
# Upper half, lower half. Drawn as one path: a font would leave gaps between them.
BLOCKS = {"\u2580": (0, 1), "\u2584": (1, 1), "\u2588": (0, 2)}  # from which half on, how many
NAMESPACE = "http://www.w3.org/2000/svg"


def screen_of(shown: str, columns: int, lines: int) -> pyte.Screen:
    """Return what a terminal of that size shows after all of ``shown`` came."""
    screen = pyte.Screen(columns, lines)
    pyte.Stream(screen).feed(shown)
    return screen


def draw(screen: pyte.Screen, title: str, description: str) -> str:
    """Return an SVG document: the screen down to its last line with text, in a window."""
    rows = [[screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)]
    while rows and not "".join(cell.data for cell in rows[-1]).strip():
        rows.pop()
    width = screen.columns * CELL_WIDTH + 2 * MARGIN
    height = len(rows) * CELL_HEIGHT + TITLE_BAR + 2 * MARGIN
    parts = [*_window(width, height, title, description)]
    for y, row in enumerate(rows):
        parts += _backgrounds(row, y)
    parts += _blocks(rows)
    parts.append(f'<g class="screen" font-family="{FONTS}" font-size="{FONT_SIZE}">')
    for y, row in enumerate(rows):
        parts += _texts(row, y)
    parts += ["</g>", "</svg>"]
    return "\n".join(parts) + "\n"


def text_of(svg: str) -> list[str]:
    """Return the lines of a screen that was drawn, without its blocks."""
    lines: dict[int, str] = {}
    root = ElementTree.fromstring(svg)
    for text in root.iterfind(f"{{{NAMESPACE}}}g[@class='screen']/{{{NAMESPACE}}}text"):
        y = (int(text.attrib["y"]) - BASELINE - _top(0)) // CELL_HEIGHT
        x = (int(text.attrib["x"]) - _left(0)) // CELL_WIDTH
        lines[y] = lines.get(y, "").ljust(x) + (text.text or "")
    return [lines.get(y, "") for y in range(max(lines) + 1)]


def _left(x: int) -> int:
    return MARGIN + x * CELL_WIDTH


def _top(y: int) -> int:
    return TITLE_BAR + MARGIN + y * CELL_HEIGHT


def _window(width: int, height: int, title: str, description: str) -> Iterator[str]:
    yield (
        f'<svg xmlns="{NAMESPACE}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="title description">'
    )
    yield f'<title id="title">{escape(title)}</title>'
    yield f'<desc id="description">{escape(description)}</desc>'
    frame = f'x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"'
    yield f'<rect {frame} fill="{BACKGROUND}" stroke="{FRAME}"/>'
    yield (
        f'<path d="M1 {TITLE_BAR}V10.5A9.5 9.5 0 0 1 10.5 1H{width - 10.5}'
        f'A9.5 9.5 0 0 1 {width - 1} 10.5V{TITLE_BAR}z" fill="{BAR}"/>'
    )
    for number, colour in enumerate(("#f28779", "#ffd173", "#a6d189")):
        yield f'<circle cx="{22 + 20 * number}" cy="18" r="6" fill="{colour}"/>'
    yield (
        f'<text x="{width // 2}" y="23" text-anchor="middle" fill="{FAINT}" font-size="13" '
        f"font-family=\"system-ui, 'DejaVu Sans', sans-serif\">{escape(title)}</text>"
    )


def _runs(row: list[Char], same: Callable[[Char], object]) -> Iterator[tuple[int, list[Char]]]:
    x = 0
    for _, group in itertools.groupby(row, same):
        cells = list(group)
        yield x, cells
        x += len(cells)


def _backgrounds(row: list[Char], y: int) -> Iterator[str]:
    for x, cells in _runs(row, lambda cell: cell.bg):
        if cells[0].bg != "default":
            size = f'width="{len(cells) * CELL_WIDTH}" height="{CELL_HEIGHT}"'
            fill = _colour(cells[0].bg)
            place = f'x="{_left(x)}" y="{_top(y)}"'
            yield f'<rect {place} {size} fill="{fill}" shape-rendering="crispEdges"/>'


def _blocks(rows: list[list[Char]]) -> Iterator[str]:
    """Draw each colour's blocks as one path."""
    paths: dict[str, list[str]] = {}
    half = CELL_HEIGHT // 2
    for y, row in enumerate(rows):
        for x, cells in _runs(row, lambda cell: (cell.data, cell.fg)):
            if cells[0].data in BLOCKS:
                first, count = BLOCKS[cells[0].data]
                wide, high = len(cells) * CELL_WIDTH, count * half
                place = f"M{_left(x)} {_top(y) + first * half}"
                path = f"{place}h{wide}v{high}h-{wide}z"
                paths.setdefault(_colour(cells[0].fg), []).append(path)
    for fill, path in paths.items():
        yield f'<path fill="{fill}" shape-rendering="crispEdges" d="{"".join(path)}"/>'


def _texts(row: list[Char], y: int) -> Iterator[str]:
    """Each run has the width of its cells, whatever font there is."""
    for x, cells in _runs(row, lambda cell: (cell.fg, cell.bold, cell.data in BLOCKS)):
        shown = "".join(cell.data for cell in cells)
        text = shown.strip()
        if not text or cells[0].data in BLOCKS:
            continue
        x += len(shown) - len(shown.lstrip())
        weight = ' font-weight="bold"' if cells[0].bold else ""
        place = f'x="{_left(x)}" y="{_top(y) + BASELINE}"'
        length = f'textLength="{len(text) * CELL_WIDTH}" lengthAdjust="spacingAndGlyphs"'
        style = f'fill="{_colour(cells[0].fg)}"{weight} xml:space="preserve"'
        yield f"<text {place} {length} {style}>{escape(text, quote=False)}</text>"


def _colour(name: str) -> str:
    return COLOURS.get(name, f"#{name}")
