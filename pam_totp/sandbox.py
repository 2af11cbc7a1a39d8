"""Whether the unit's sandbox shows this process what a login is about, as it is outside.

A worker of systemd's can write only where its unit says, and of /var and the like it sees no more
than that. One that the module starts has no sandbox: a store or a key at another place costs the
sandbox, and nobody a login.
"""

from __future__ import annotations

import os
import time

from . import config, config_values
from .errors import PamTotpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK_SECONDS = 1.0  # how often the mounts are looked at

_SHOWN = "/etc"
_MOUNTS = "/proc/self/mountinfo"
_roots: dict[str, str] | None = None
_looked_at = 0.0


class ShutOff(PamTotpError):
    """A file lies where this process cannot see it, or may only read it."""


def remember() -> None:
    """Keep in mind what is mounted where: a folder that is moved later leaves its mount behind."""
    global _roots
    _roots = _mounted()


def check_files(arguments: Sequence[str]) -> None:
    """Raise ShutOff where the login's files are not here. ``arguments``: of the PAM line."""
    try:
        given = config.parse_arguments(arguments)
        _check_seen(given.path if given.path != config.DEFAULT_PATH else "/")
        settings = config.load(given.path, given.settings).config
        _check_seen(settings.sealing_key)
        folder = os.path.dirname(config_values.split_store_url(settings.store)[1])
        _check_seen(folder)
        is_shut_off = os.statvfs(folder).f_flag & os.ST_RDONLY
    except ShutOff:
        raise
    except (PamTotpError, OSError, ValueError):
        return  # the login finds out, and says why
    if is_shut_off:
        raise ShutOff(folder, "is read-only in the sandbox", _drop_in(folder))
    if _was_moved(folder):
        raise ShutOff(
            folder,
            "was moved or replaced since this worker was started",
            "run: systemctl restart pam_totp.service",
        )


def _was_moved(folder: str) -> bool:
    global _looked_at
    now = time.monotonic()
    if _roots is None or now - _looked_at < LOOK_SECONDS:
        return False
    if _mounted().get(folder) != _roots.get(folder):
        return True
    _looked_at = now
    return False


def _check_seen(path: str) -> None:
    """Raise ShutOff where ``path`` may be there for others: something else hides its folder.

    What is missing beside the files of /etc is missing for everybody.
    """
    if os.path.lexists(path):
        return
    folder = os.path.dirname(path)
    while folder and not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if os.stat(folder).st_dev != os.stat(_SHOWN).st_dev:
        raise ShutOff(path, "is not there in the sandbox", _drop_in(path))


def _drop_in(path: str) -> str:
    return f"write BindPaths=-{path} into a drop-in"


def _mounted() -> dict[str, str]:
    """Return which folder of its file system each mount shows; of those at one place, the last.

    A folder that was moved, or deleted, is shown under its new name: proc_pid_mountinfo(5). Nothing
    is known where it cannot be read: that denies nobody.
    """
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            fields = [line.split(" ", 5) for line in file]
    except OSError:
        return {}
    return {field[4]: field[3] for field in fields}
