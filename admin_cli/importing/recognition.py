"""The formats, and which one a file is in: by what only that format has, never by its name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from . import (
    aegis,
    andotp,
    bitwarden,
    bitwarden_csv,
    entra_csv,
    foreign_files,
    freeipa,
    freeotp_plus,
    google_authenticator,
    json_documents,
    otpauth,
    otpauth_migration,
    privacyidea_csv,
    pskc,
    qr_pictures,
    safenet,
    sealed_export,
    two_fas,
    users_oath,
    xml_documents,
)
from .formats import FORMATS
from .sources import TokenFile
from .texts import text_of
from .tokens import Contents, Unreadable
from .xml_encryption import Unlocking

Reader = Callable[[TokenFile], Contents]

PICTURE, PSKC, SAFENET, OWN = "qr-picture", "pskc", "safenet", "pam_totp"
# In the order in which they are tried: an option of google-authenticator tells more than a line.
_TEXTS: dict[str, tuple[Callable[[str], bool], Reader]] = {
    "google-authenticator": (google_authenticator.recognizes, google_authenticator.read),
    "otpauth-migration": (otpauth_migration.recognizes, otpauth.read),
    "otpauth": (otpauth.recognizes, otpauth.read),
    "users-oath": (users_oath.recognizes, users_oath.read),
    "freeipa": (freeipa.recognizes, freeipa.read),
    "entra-csv": (entra_csv.recognizes, entra_csv.read),
    "bitwarden-csv": (bitwarden_csv.recognizes, bitwarden_csv.read),
    "privacyidea-csv": (privacyidea_csv.recognizes, privacyidea_csv.read),
}
_JSON: dict[str, tuple[Callable[[json_documents.Document], bool], Reader]] = {
    "aegis": (aegis.recognizes, aegis.read),
    "andotp": (andotp.recognizes, andotp.read),
    "freeotp-plus": (freeotp_plus.recognizes, freeotp_plus.read),
    "2fas": (two_fas.recognizes, two_fas.read),
    "bitwarden": (bitwarden.recognizes, bitwarden.read),
}
_ROOTS = {pskc.ROOT: PSKC, safenet.ROOT: SAFENET}
_MOST_LINES = 200_000
_MOST_LINE = 64 * 1024  # bytes, of a format that has lines: a QR code holds 3,000
_HINT = f"name it with --format; there are: {', '.join(FORMATS)}"


def read(source: TokenFile, unlocking: Unlocking, given: str = "") -> tuple[str, Contents]:
    """Return the format of ``source`` and what it holds; ``given``: in which format it is.

    Raises Unreadable, CommandFailed.
    """
    if not source.data.strip():
        raise Unreadable("is empty", "copy it once more")
    if source.data.count(b"\n") > _MOST_LINES:
        raise Unreadable("has too many lines", "split it")
    if qr_pictures.recognizes(source.data):
        return PICTURE, qr_pictures.read(source)
    foreign_files.refuse(source.data)
    if not _is_document(source.data) and _longest_line(source.data) > _MOST_LINE:
        raise Unreadable(
            f"has a line of more than {_MOST_LINE // 1024} KiB", "is it the right file?"
        )
    found = given or _format_of(source.data)
    if found in _JSON and not _JSON[found][0](json_documents.load(source.data)):
        raise Unreadable(f"is not of the format {found}", "leave out --format")
    return found, _readers(unlocking)[found](source)


def _is_document(data: bytes) -> bool:
    """Tell whether it is JSON or XML, which may be one line."""
    return text_of(data[:1024]).lstrip().startswith(("{", "[", "<"))


def _longest_line(data: bytes) -> int:
    longest, at = 0, 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        longest, at = max(longest, end - at), end + 1
    return longest


def _readers(unlocking: Unlocking) -> dict[str, Reader]:
    return {
        **{name: reader for name, (_, reader) in _TEXTS.items()},
        **{name: reader for name, (_, reader) in _JSON.items()},
        PSKC: partial(pskc.read, unlocking=unlocking),
        SAFENET: safenet.read,
        OWN: partial(sealed_export.read, unlocking=unlocking),
        PICTURE: qr_pictures.read,
    }


def _format_of(data: bytes) -> str:
    """Return the name of the format. Raises Unreadable where it is none that is known."""
    text = text_of(data)
    if sealed_export.recognizes(text):
        return OWN
    root = xml_documents.root_name(text)
    if root:
        return _ROOTS[root]
    document = None
    if text.lstrip().startswith(("{", "[")):
        document = json_documents.load(data)
        tests = [(name, recognizes(document)) for name, (recognizes, _) in _JSON.items()]
    else:
        tests = [(name, recognizes(text)) for name, (recognizes, _) in _TEXTS.items()]
    found = next((name for name, is_it in tests if is_it), "")
    if found:
        return found
    if json_documents.is_encrypted(document):
        raise Unreadable("is encrypted", "export it without encryption, or decrypt it first")
    raise Unreadable("is in no format that is known", _HINT)
