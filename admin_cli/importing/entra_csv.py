"""CSV of Microsoft Entra ID for OATH tokens: a header, and the secret in base32."""

from __future__ import annotations

from .csv_rows import Row, header_of, rows_with_header
from .sources import TokenFile
from .texts import algorithm_in, from_base32, number_in, reads_as_hex, text_of
from .tokens import Contents, Token, Unusable, read_each

_COLUMNS = {"upn", "secretkey"}


def recognizes(text: str) -> bool:
    return header_of(text) >= _COLUMNS


def read(source: TokenFile) -> Contents:
    return read_each(rows_with_header(text_of(source.data)), _token)


def _token(place: str, row: Row) -> Token:
    user = row.get("upn").replace("''", "'")  # Entra doubles an apostrophe
    serial = row.get("serialnumber")
    try:
        if row.is_too_long:
            raise Unusable("it has more cells than the header")
        secret = row.get("secretkey")
        remark = "its secret may be hexadecimal, which Entra does not take: try a code of it"
        interval = row.get("timeinterval", "timeintervalinseconds")
        return Token(
            place,
            from_base32(secret),
            user,
            algorithm=algorithm_in(row.get("hashfunction")),
            period=number_in(interval or "30", "the time interval"),
            serial=serial,
            remarks=(remark,) if reads_as_hex(secret) else (),
        )
    except Unusable as error:
        raise Unusable(str(error), user, serial) from None
