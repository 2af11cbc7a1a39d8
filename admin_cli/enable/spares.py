"""Room that is kept for what takes our lines out again, beside each file that is written then.

``enable`` keeps it. Where a file was switched on by a release that did not, or the room was used,
``totpctl init`` does, which every package runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..errors import CommandFailed
from ..host import files
from . import blocks, enabled, sshd_files


class Spare(NamedTuple):
    """One spare file beside ``path``; ``which``: 0, or 1 for the second one."""

    path: str
    size: int  # bytes
    which: int = 0

    @property
    def name(self) -> str:
        return files.spares(self.path)[self.which]


def keep_beside(path: str, size: int) -> None:
    """Keep room for ``size`` bytes beside ``path``. Raises OSError."""
    for spare in _of(path, size):
        files.keep_spare(*spare)


def missing(paths: Iterable[str]) -> list[Spare]:
    """Return the missing spares of those of ``paths`` that have our lines.

    And of the list of what is on, which forgets them. Raises CommandFailed or OSError.
    """
    needed: list[Spare] = []
    for path in paths:
        content = files.read(path)
        if content is not None and blocks.keys_of(path, content) is not None:
            needed += _of(path, len(content))
    if needed and os.path.lexists(enabled.PATH):
        needed.append(Spare(enabled.PATH, enabled.SPARE_SIZE))
    return [spare for spare in needed if not files.has_spare(*spare)]


def remove_unneeded() -> None:
    """Remove the spares of files that have none of our lines (any more)."""
    any_on = bool(enabled.services())
    found = files.having(files.SPARE, blocks.folders())
    for path in dict.fromkeys(path.removesuffix(files.SECOND) for path in found):
        try:
            is_on = blocks.keys_of(path, files.read(path)) is not None
        except CommandFailed:
            is_on = True
        any_on = any_on or is_on
        if not is_on:
            files.remove_spare(path)
    if not any_on:
        enabled.remove_spares()


def _of(path: str, size: int) -> Iterator[Spare]:
    """sshd's PAM file is written twice on the way: sshd_files.py says why."""
    yield Spare(path, size)
    if path == sshd_files.pam_file():
        yield Spare(path, size, 1)
