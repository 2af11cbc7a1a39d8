"""Rows of CSV, with the lines that they begin on.

Cells may be quoted or not, and may be divided by commas, semicolons (as spreadsheets write them
where the comma is a decimal point) or tabs: by what is most of in the first row.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from .texts import lines_of
from .tokens import Unreadable

_DELIMITERS = ",;\t"
_QUOTE = '"'
_BETWEEN_WORDS = re.compile(r"[\s_-]")


def rows(text: str, *, spans_lines: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Yield ("line 3", cells) of each row that says something; lines with # are comments.

    ``spans_lines``: a quoted cell may. Elsewhere a quote that is not closed would hide the rows
    after it. Raises Unreadable.
    """
    lines = lines_of(text)
    first = next((line for line in lines if line.strip() and not _is_comment(line)), "")
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(
        _without_comments(lines, spans_lines=spans_lines),
        delimiter=delimiter,
        skipinitialspace=delimiter != "\t",
    )
    while True:
        place = f"line {reader.line_num + 1}"
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error:
            raise Unreadable(f"is not well-formed CSV: {place}") from None
        if any(cells):
            yield place, cells


def rows_with_header(text: str, *, spans_lines: bool = False) -> Iterator[tuple[str, Row]]:
    """Yield the rows after the first."""
    read = rows(text, spans_lines=spans_lines)
    _, header = next(read, ("", []))
    names = [_plain(name) for name in header]
    for place, cells in read:
        yield place, Row(dict(zip(names, cells, strict=False)), any(cells[len(names) :]))


class Row:
    """Values by the names in the header, in whatever case and with whatever between words."""

    def __init__(self, values: dict[str, str], is_too_long: bool) -> None:
        self._values = values
        self.is_too_long = is_too_long  # a comma in a cell without quotes: all others are shifted

    def get(self, *names: str) -> str:
        """Return the value of the first of ``names`` that the header has; "" for none."""
        return next((self._values[name] for name in names if name in self._values), "")


def header_of(text: str) -> set[str]:
    """Return the names in the first row: letters and digits, in lower case."""
    try:
        _, cells = next(rows(text, spans_lines=True), ("", []))
    except Unreadable:
        return set()
    return {_plain(cell) for cell in cells}


def _plain(name: str) -> str:
    return _BETWEEN_WORDS.sub("", name).lower()


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _without_comments(lines: list[str], *, spans_lines: bool) -> Iterator[str]:
    """Yield the lines, those of comments empty; a # inside a quoted cell begins none."""
    is_inside = False
    for number, line in enumerate(lines, 1):
        if not is_inside and _is_comment(line):
            yield "\n"
            continue
        is_inside ^= line.count(_QUOTE) % 2 == 1
        if is_inside and not spans_lines:
            raise Unreadable(f"is not well-formed CSV: a quote in line {number} is not closed")
        yield f"{line}\n"
    if is_inside:
        raise Unreadable("is not well-formed CSV: its last quote is not closed")
