"""Pictures with nothing left in them but pixels, and not too many of those.

Texts, profiles and thumbnails may be packed, and become a gigabyte in whatever reads them.
"""

from __future__ import annotations

from collections.abc import Iterator

from .tokens import Unreadable

# As many as are read in 100 MB, a screen of 3,840 x 2,160; what is no RGB is copied once more.
MOST_PIXELS, MOST_GRAY_PIXELS = 8_300_000, 4_400_000
MOST_SIDE = 8_000
_MOST_SCANS = 100  # of a JPEG, each over all its pixels
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_COLOURED = (2, 4, 6)  # the colour types of a PNG that are no grey and no palette
_CHUNK = 12  # bytes: a length and a name before the data, a checksum behind it
_HEADER, _FRAME = 13 + _CHUNK, 10  # bytes that are looked at
_SOI, _EOI, _SOS, _DNL = 0xD8, 0xD9, 0xDA, 0xDC
_WITHOUT_DATA = {0x01, *range(0xD0, 0xD8)}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_DROPPED = {*range(0xE1, 0xF0), 0xFE}  # what programs add; but not JFIF's own
_ADOBE = 0xEE  # says what the colours mean


def of_png(data: bytes) -> bytes:
    """Return a PNG without what is not pixels. Raises Unreadable."""
    kept = [PNG]
    size = (0, 0)
    for name, chunk in _chunks(data):
        if name == b"IHDR" and len(chunk) < _HEADER:
            raise Unreadable(_DAMAGED)
        if name == b"IHDR":
            size = int.from_bytes(chunk[8:12], "big"), int.from_bytes(chunk[12:16], "big")
            _refuse_large(*size, MOST_PIXELS if chunk[17] in _COLOURED else MOST_GRAY_PIXELS)
        if name in _PNG_KEPT:
            kept.append(chunk)
    if 0 in size:
        raise Unreadable(_DAMAGED)
    return b"".join(kept)


def of_jpeg(data: bytes) -> bytes:
    """Return a JPEG without what is not pixels. Raises Unreadable."""
    kept = [JPEG]
    scans = 0
    is_sized = False
    for marker, segment in _segments(data):
        if marker in _FRAMES and len(segment) < _FRAME:
            raise Unreadable(_DAMAGED)
        if marker in _FRAMES:
            height, width = (int.from_bytes(segment[at : at + 2], "big") for at in (5, 7))
            _refuse_large(width, height, MOST_PIXELS if segment[9] == 3 else MOST_GRAY_PIXELS)
            is_sized = width > 0 and height > 0
        scans += marker == _SOS
        if scans > _MOST_SCANS or marker == _DNL:
            raise Unreadable("is no usual picture", "save it as PNG")
        if marker not in _DROPPED or marker == _ADOBE:
            kept.append(segment)
    if not is_sized:
        raise Unreadable(_DAMAGED)
    return b"".join(kept)


_DAMAGED = "is damaged, or no picture of a QR code"


def _refuse_large(width: int, height: int, most: int) -> None:
    if max(width, height) > MOST_SIDE or width * height > most:
        raise Unreadable(
            f"is a picture of {width:,} x {height:,} pixels",
            "scale it down, or cut out the QR code",
        )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name of each chunk of a PNG, and all of it."""
    at = len(PNG)
    while at < len(data):
        end = at + _CHUNK + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise Unreadable(_DAMAGED)
        yield data[at + 4 : at + 8], data[at:end]
        at = end


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each marker of a JPEG, and all until the next one: of a scan, its data too."""
    at = len(JPEG)
    while at < len(data):
        if data[at] != 0xFF or at + 1 >= len(data):
            raise Unreadable(_DAMAGED)
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes
            at += 1
            continue
        end = at + 2
        if marker not in _WITHOUT_DATA and marker != _EOI:
            end += int.from_bytes(data[end : end + 2], "big")
        if marker == _SOS:
            end = _end_of_scan(data, end)
        if end > len(data) or end < at + 2:
            raise Unreadable(_DAMAGED)
        yield marker, data[at:end]
        if marker == _EOI:
            return
        at = end


def _end_of_scan(data: bytes, at: int) -> int:
    """Return where the data of a scan ends: at a marker, but for those of restarts and of 0xFF."""
    while (at := data.find(b"\xff", at)) >= 0:
        if at + 1 < len(data) and not (data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7):
            return at
        at += 2
    return len(data)
