"""Other programs, run to their end with nothing of the caller's environment.

PATH and the rest belong to the user who called sudo, and may lead to that user's programs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from pam_totp.system.embedding import PATH

# Where somebody may have built a newer sshd or sudo than the distribution has.
PATH_WITH_LOCAL = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/sbin:/bin"
TIMEOUT = 30.0  # seconds
SYSTEMD = "/run/systemd/system"  # there where systemd runs: sd_booted(3)


def run(
    command: Sequence[str],
    *,
    path: str = PATH,
    timeout: float = TIMEOUT,
    typed: str = "",
    pass_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run ``command``, which is looked for in ``path``. Raises OSError, subprocess.TimeoutExpired.

    What it writes is taken for UTF-8, whatever it is. ``typed``: what it reads. ``pass_fds``:
    descriptors that it keeps.
    """
    return subprocess.run(
        command,
        input=typed,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
        env={"PATH": path, "LC_ALL": "C.UTF-8"},
        pass_fds=pass_fds,
        check=False,
    )


def systemd_runs() -> bool:
    return os.path.isdir(SYSTEMD)
