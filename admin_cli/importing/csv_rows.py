"""Rows of CSV, with the lines that they begin on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from .tokens import Unreadable


def rows(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield ("line 3", cells) of each row that says something. Raises Unreadable."""
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    while True:
        place = f"line {reader.line_num + 1}"
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error:
            raise Unreadable(f"is not well-formed CSV: {place}") from None
        if any(cells) and not cells[0].startswith("#"):
            yield place, cells


def rows_with_header(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows after the first as values by its names, in lower case."""
    read = rows(text)
    _, header = next(read, ("", []))
    names = [name.lower() for name in header]
    for place, cells in read:
        yield place, dict(zip(names, cells, strict=False))
