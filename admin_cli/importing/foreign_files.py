"""What holds no tokens as it is: packed, encrypted, or a picture of a kind that is not read.

Told by its first bytes, so that nobody is told that such a file is "not well-formed JSON".
"""

from __future__ import annotations

import codecs

from .tokens import Unreadable

_PICTURE = ("is a picture of a kind that is not read", "save it as PNG or JPEG")
_AGE = (
    "is encrypted with age",
    "decrypt it into a pipe: age --decrypt FILE | totpctl import -",
)
_ZIP = ("is a zip archive", "unpack it first: unzip")
_BEGINNINGS: dict[bytes, tuple[str, str]] = {
    b"\x1f\x8b": ("is packed with gzip", "unpack it first: gunzip"),
    **{
        b"BZh%d1AY&SY" % n: ("is packed with bzip2", "unpack it first: bunzip2")
        for n in range(1, 10)
    },
    b"\xfd7zXZ\0": ("is packed with xz", "unpack it first: unxz"),
    b"\x28\xb5\x2f\xfd": ("is packed with zstd", "unpack it first: unzstd"),
    b"PK\x03\x04": _ZIP,
    b"PK\x05\x06": _ZIP,
    b"7z\xbc\xaf\x27\x1c": ("is an archive of 7-Zip", "unpack it first: 7z x"),
    b"\x03\xd9\xa2\x9a": (
        "is a database of KeePass",
        "copy the otpauth address of each entry into a file, one a line",
    ),
    b"Salted__": ("is encrypted with openssl", "decrypt it first: openssl enc -d"),
    b"-----BEGIN PGP MESSAGE-----": (
        "is encrypted with OpenPGP",
        "decrypt it into a pipe: gpg --decrypt FILE | totpctl import -",
    ),
    b"age-encryption.org/": _AGE,
    b"-----BEGIN AGE ENCRYPTED FILE-----": _AGE,
    b"\xac\xed\x00\x05": (
        "is an encrypted backup of FreeOTP",
        "export it from FreeOTP+ as JSON, or decrypt it first",
    ),
    b"SQLite format 3\0": ("is a database of SQLite", "export it in the app that it is from"),
    b"%PDF-": ("is a PDF", "save the QR codes in it as pictures: PNG or JPEG"),
}
_PICTURES = (b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")  # so may a secret in base32 begin
_TAR, _TAR_AT = b"ustar", 257
_HEIF, _HEIF_AT = b"ftyp", 4
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))
_MOST_CONTROLS = 0.05  # of random bytes, every tenth is one
# An encrypted backup of andOTP has no mark: a number of rounds, a salt, a nonce and a tag.
_ANDOTP_ROUNDS, _ANDOTP_BYTES = range(1000, 10_000_001), 4 + 12 + 12 + 16


def refuse(data: bytes) -> None:
    """Raise Unreadable for what has to become something else first."""
    for begin, (problem, hint) in _BEGINNINGS.items():
        if data.startswith(begin):
            raise Unreadable(problem, hint)
    if data.startswith(_TAR, _TAR_AT):
        raise Unreadable("is a tar archive", "unpack it first, and name the folder")
    if _is_text(data):
        return
    if data.startswith(_PICTURES) or data.startswith(_HEIF, _HEIF_AT):
        raise Unreadable(*_PICTURE)
    if len(data) >= _ANDOTP_BYTES and int.from_bytes(data[:4], "big") in _ANDOTP_ROUNDS:
        raise Unreadable(
            "is not text, and may be an encrypted backup of andOTP",
            "make a plain backup (.json), or decrypt it first",
        )
    raise Unreadable(
        "is not text: it may be encrypted",
        "export it without encryption, or decrypt it first",
    )


def _is_text(data: bytes) -> bool:
    if data.startswith(_UTF16):
        return True
    if b"\0" in data:
        return False
    controls = len(data) - len(data.translate(None, _CONTROLS))
    return controls <= _MOST_CONTROLS * len(data)
