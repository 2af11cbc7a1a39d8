"""What a command could not do: in words, with what helps and the exit code.

Exit codes: 0 done, 1 failed, 2 usage, 3 no such user, group or enrollment,
4 not root, 5 store unavailable, 6 a check says no.
"""

from __future__ import annotations

import errno
import os
import shlex

from pam_totp.system import disks
from pam_totp.system.errors import PamTotpError

DONE, FAILED, USAGE, NO_SUCH_USER, NOT_ROOT, STORE_UNAVAILABLE, CHECK_SAYS_NO = range(7)


class CommandFailed(PamTotpError):
    """A command could not do what it was asked; ``exit_code`` is one of the above."""

    exit_code = FAILED

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__("", problem, hint)

    def __str__(self) -> str:
        return self.problem


class NoSuchUser(CommandFailed):
    exit_code = NO_SUCH_USER


class NotRoot(CommandFailed):
    exit_code = NOT_ROOT


class CheckSaysNo(CommandFailed):
    exit_code = CHECK_SAYS_NO


def need_root(purpose: str) -> None:
    """Raise NotRoot unless root runs this; ``purpose`` is what only root can do."""
    if os.geteuid() != 0:
        raise NotRoot(f"only root can {purpose}", "run it with sudo")


def error_in_words(error: OSError | PamTotpError) -> str:
    return os_error_in_words(error) if isinstance(error, OSError) else str(error)


def os_error_in_words(error: OSError) -> str:
    place = _place(error)
    where = f"{place}: " if place else ""
    return f"{where}{error.strerror or type(error).__name__}"


def os_error_hint(error: OSError) -> str:
    """Return what helps where nothing can be written, "" where nothing is known to.

    The place is known if the error names it.
    """
    place = _place(error)
    path = os.path.realpath(place) if isinstance(place, str) else ""
    folder = os.path.dirname(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disks.no_room_hint(folder) if path else "free some space on the disk: df -h; df -i"
    if error.errno == errno.EROFS:
        return disks.read_only_hint(path) if path else "find the read-only disk: findmnt -O ro"
    if error.errno == errno.EPERM and path and os.geteuid() == 0:
        return f"check whether chattr made it immutable: lsattr -d {shlex.join([folder, path])}"
    if error.errno == errno.EBUSY and path:
        return f"a file that is mounted cannot be replaced; see: findmnt {shlex.quote(path)}"
    return ""


def _place(error: OSError) -> object:
    """Return the file that it is about: of two names, the one that was to be replaced."""
    return error.filename2 or error.filename
