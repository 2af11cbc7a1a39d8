"""The folder of the sheets. A note in it says that it is one, and what to do with them.

A sheet is written before its person is enrolled. So one of a person who is not enrolled is left by
a run that was cut off, and void: the next run removes it. One of a person who is enrolled was
written by an earlier run, and is not touched.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

from pam_totp.system import lock_file

from ...errors import CommandFailed
from ...host import files
from ...host.secret_folder import SecretFolder
from . import sheet_files
from .sheets import Sheet

OPTION = "--sheets"
NOTE = "README"
_MARK = "Sheets of totpctl enroll: whoever has one can log in as its person."
_NOTE = f"""{_MARK}

Hand each to its person, who scans the picture and keeps the recovery codes. Then destroy what is
left here:

    shred -u *

To enroll more people, run totpctl enroll again with this folder.
"""


class SheetFolder:
    """``form``: of options.FORMATS. Others are kept out as long as it is held()."""

    def __init__(self, path: str, form: str) -> None:
        self._folder = SecretFolder(path, OPTION)
        self._form = form

    @property
    def path(self) -> str:
        return self._folder.path

    def check(self) -> None:
        """Raise CommandFailed where it is not for root alone, or has files that are not ours."""
        self._folder.check()
        unfinished = files.NEW + NOTE  # of a run that was killed at its beginning
        if not (self._has_note() or set(self._folder.names()) <= {unfinished}):
            raise CommandFailed(
                f"{self.path} has other files in it", f"name a new or an empty folder: {OPTION}"
            )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make it, with its note, and let no other totpctl write there meanwhile."""
        self._folder.make()
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._lock(descriptor)
            self.check()
            if not self._has_note():
                self._folder.write({NOTE: _NOTE.encode("utf-8")})
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        """Lock the folder itself, which nobody but root can open."""
        try:
            if lock_file.acquire(descriptor, 0):
                return
        except OSError as error:
            problem = f"{self.path} cannot be locked: {error.strerror}"
            raise CommandFailed(problem, f"name a folder on a local disk: {OPTION}") from None
        raise CommandFailed(f"another run writes sheets to {self.path}", "wait for its end")

    def remove_unfinished(self, people: Iterable[str]) -> None:
        """Remove what a run that was cut off left of ``people``, who are not enrolled."""
        void = {
            f"{sheet_files.stem(user)}.{suffix}"
            for user in people
            for suffix in sheet_files.SUFFIXES
        }
        for name in self._folder.names():
            if name in void or name.startswith(files.NEW):
                self._folder.remove(name)

    def write(self, new: Iterable[Sheet]) -> None:
        """Write sheets, durably. Raises OSError, and has written none."""
        new = list(new)
        try:
            self._folder.write(
                {
                    name: content
                    for sheet in new
                    for name, content in sheet_files.files(sheet, self._form).items()
                }
            )
        except BaseException:
            self.remove(sheet.offer.user for sheet in new)
            raise

    def remove(self, people: Iterable[str]) -> None:
        for user in people:
            for name in sheet_files.names(user, self._form):
                self._folder.remove(name)

    def path_of(self, user: str) -> str:
        """Return the file of a sheet, the one to show."""
        return self._folder.path_of(sheet_files.names(user, self._form)[0])

    def _has_note(self) -> bool:
        try:
            with open(self._folder.path_of(NOTE), encoding="utf-8", errors="replace") as file:
                return file.readline().rstrip("\n") == _MARK
        except FileNotFoundError:
            return False
