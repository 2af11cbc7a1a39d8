"""A folder of files that root hands out, and nobody else may read: made by us, or found as such."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from pam_totp.system import atomic_files, trusted_files
from pam_totp.system.errors import Unavailable

from ..errors import CommandFailed
from . import files


class SecretFolder:
    """``option``: what names the folder on the command line. Its parent is there already."""

    def __init__(self, path: str, option: str) -> None:
        self.path = os.path.abspath(path)
        self._hint = f"name another: {option}"

    def check(self) -> None:
        """Raise CommandFailed where others could read or change what lies there.

        A folder that is not there is made later.
        """
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            parent = os.path.dirname(self.path)
            if not os.path.isdir(parent):
                raise CommandFailed(f"there is no folder for {self.path}", self._hint) from None
            return
        is_roots = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
        if not is_roots or stat.S_IMODE(status.st_mode) & 0o077:
            raise CommandFailed(f"{self.path} is not a folder for root alone", self._hint)
        try:
            trusted_files.check_folder(self.path)
        except Unavailable as error:
            raise CommandFailed(str(error), error.hint) from None

    def make(self) -> None:
        """Have it there, durably. Raises as check() does, and OSError."""
        try:
            os.mkdir(self.path, 0o700)
        except FileExistsError:
            pass
        else:
            atomic_files.sync_folder(self.path)
        self.check()  # somebody may have been faster

    def names(self) -> list[str]:
        """Return the names of what lies there."""
        try:
            return sorted(os.listdir(self.path))
        except FileNotFoundError:
            return []

    def path_of(self, name: str) -> str:
        return os.path.join(self.path, name)

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Let each of ``contents`` take the place of the file of its name; all are then durable.

        Raises OSError, which names the file; those before it are there then.
        """
        files.write_all_for_root({self.path_of(name): each for name, each in contents.items()})

    def remove(self, name: str) -> None:
        atomic_files.remove(self.path_of(name))
