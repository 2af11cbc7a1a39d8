"""Bitwarden's CSV, of a person or an organization. It holds passwords: three columns are read."""

from __future__ import annotations

from . import bitwarden
from .csv_rows import Row, header_of, rows_with_header
from .sources import TokenFile
from .texts import text_of
from .tokens import Contents, Token, Unusable, read_each

_COLUMNS = {"name", "loginusername", "logintotp"}


def recognizes(text: str) -> bool:
    return header_of(text) >= _COLUMNS


def read(source: TokenFile) -> Contents:
    """Return its tokens; rows without one are passed over. Raises Unreadable."""
    return read_each(rows_with_header(text_of(source.data), spans_lines=True), _token)


def _token(place: str, row: Row) -> Token | None:
    if row.is_too_long:
        raise Unusable("it has more cells than the header")
    return bitwarden.token_of(
        place, row.get("name"), row.get("loginusername"), row.get("logintotp")
    )
