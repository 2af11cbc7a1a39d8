"""CSV of Microsoft Entra ID for OATH tokens: a header, and the secret in base32."""

from __future__ import annotations

from .csv_rows import rows_with_header
from .sources import TokenFile
from .texts import from_base32, number_in, reads_as_hex, text_of
from .tokens import Contents, Token, Unusable, read_each

_COLUMNS = {"upn", "secret key"}


def recognizes(text: str) -> bool:
    header, _, _ = text.partition("\n")
    return {name.strip().strip('"').lower() for name in header.split(",")} >= _COLUMNS


def read(source: TokenFile) -> Contents:
    return read_each(rows_with_header(text_of(source.data)), _token)


def _token(place: str, row: dict[str, str]) -> Token:
    user = row.get("upn", "").replace("''", "'")  # Entra doubles an apostrophe
    serial = row.get("serial number", "")
    try:
        secret = row.get("secret key", "")
        remark = "its secret may be hexadecimal, which Entra does not take: try a code of it"
        return Token(
            place,
            from_base32(secret),
            user,
            period=number_in(row.get("time interval") or "30", "the time interval"),
            serial=serial,
            remarks=(remark,) if reads_as_hex(secret) else (),
        )
    except Unusable as error:
        raise Unusable(str(error), user, serial) from None
