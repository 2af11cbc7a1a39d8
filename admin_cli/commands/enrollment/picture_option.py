"""--qr: how the QR code of a new secret is shown, or the file that it goes to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import click
from click.shell_completion import CompletionItem

from ...errors import CommandFailed
from . import qr

KINDS = ("utf8", "ansi", "ascii", "none")
_SUFFIXES = (".png", ".svg")


def _parsed(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str:
    if value is None or value in KINDS:
        return value or ""
    if not value.lower().endswith(_SUFFIXES):
        raise click.BadParameter(f"{', '.join(KINDS)}, or a file whose name ends in .png or .svg")
    return os.path.abspath(value)


def _offered(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the kinds; where none begins like that, the shell's own names of files."""
    kinds = [CompletionItem(kind) for kind in KINDS if kind.startswith(incomplete)]
    return kinds or [CompletionItem(incomplete, type="file")]


qr_option = click.option(
    "--qr",
    metavar="KIND",
    shell_complete=_offered,
    callback=_parsed,
    help="utf8, ansi, ascii or none; or FILE.png or FILE.svg. Default: utf8 where it can be shown.",
)


def is_file(kind: str) -> bool:
    return kind.startswith("/")


@contextlib.contextmanager
def file_of(kind: str, uri: str) -> Iterator[None]:
    """Have the picture of ``uri`` in the file that ``kind`` names, if it names one.

    It goes again where the enrollment comes to nothing: nobody should scan it then.
    """
    if not is_file(kind):
        yield
        return
    from ...host import files

    content = qr.file_content(uri, kind[-3:].lower())
    try:
        files.write_for_root(kind, content)
    except OSError as error:
        problem = f"cannot write {kind}: {error.strerror}; nothing was changed"
        raise CommandFailed(problem, "name a file in a folder that exists, with --qr") from None
    try:
        yield
    except BaseException:
        files.remove(kind)
        raise
