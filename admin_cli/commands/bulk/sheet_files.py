"""The files of a sheet: a page of PDF, or a picture with text beside it."""

from __future__ import annotations

from ..enrollment import qr
from . import pdf
from .sheets import CODES_HEADING, Sheet

PDF = "pdf"
_PICTURES = ("png", "svg")
_TEXT = "txt"  # beside a picture
SUFFIXES = (PDF, *_PICTURES, _TEXT)


def stem(user: str) -> str:
    """Return the name of a person's files, but for what is behind the dot.

    A name of a directory may have a slash in it, and one that begins with a dot would be hidden.
    """
    written = user.replace("%", "%25").replace("/", "%2F")
    return f"%2E{written[1:]}" if written.startswith(".") else written


def names(user: str, form: str) -> tuple[str, ...]:
    """Return the names of the files of a sheet in a form: the first is the one to show."""
    suffixes = (PDF,) if form == PDF else (form, _TEXT)
    return tuple(f"{stem(user)}.{suffix}" for suffix in suffixes)


def files(sheet: Sheet, form: str) -> dict[str, bytes]:
    """Return the content of each of names(). Raises CommandFailed where a library is missing."""
    if form == PDF:
        contents = [pdf.page(sheet)]
    else:
        contents = [qr.file_content(sheet.offer.uri, form), _text(sheet).encode("utf-8")]
    return dict(zip(names(sheet.offer.user, form), contents, strict=True))


def _text(sheet: Sheet) -> str:
    """Return in words what is not in a picture."""
    lines = [sheet.title, sheet.person, ""]
    lines += [f"{number}. {sentence}" for number, sentence in enumerate(sheet.what_to_do, 1)]
    lines += ["", *(f"{name}: {value}" for name, value in sheet.facts)]
    lines += [f"Address: {sheet.offer.uri}", "", CODES_HEADING, "", *sheet.codes, "", sheet.made_at]
    return "".join(f"{line}\n" for line in lines)
