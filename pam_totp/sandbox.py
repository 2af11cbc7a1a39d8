"""Whether the unit's sandbox lets this process write the store that a login is about.

A worker of systemd's can write only where its unit says. One that the module starts has no
sandbox: a store at another place costs the sandbox, and nobody a login.
"""

from __future__ import annotations

import os

from . import config, config_values
from .errors import PamTotpError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class ShutOff(PamTotpError):
    """The store lies where this process may only read."""


def check_store(arguments: Sequence[str]) -> None:
    """Raise ShutOff where the store's folder is read-only here. ``arguments``: of the PAM line."""
    try:
        given = config.parse_arguments(arguments)
        url = config.load(given.path, given.settings).config.store
        folder = os.path.dirname(config_values.split_store_url(url)[1])
        is_shut_off = os.statvfs(folder).f_flag & os.ST_RDONLY
    except (PamTotpError, OSError, ValueError):
        return  # the login finds out, and says why
    if is_shut_off:
        raise ShutOff(
            folder, "is read-only in the sandbox", f"write ReadWritePaths=-{folder} into a drop-in"
        )
