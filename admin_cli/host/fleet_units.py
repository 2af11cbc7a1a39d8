"""Drop-ins for the units of the worker, whose sandbox has no network: a fleet's host needs one."""

from __future__ import annotations

import contextlib
import os
import subprocess

from . import files, programs, units

UNITS = ("pam_totp.service", "pam_totp-worker@.service", "pam_totp-me@.service")
FOLDER = "/etc/systemd/system"
NAME = "fleet.conf"
TEXT = """\
# Written by totpctl fleet join: the store is a database on the network. Everything else of the
# sandbox stays. Without this, logins have workers outside of it.
[Service]
PrivateNetwork=no
IPAddressDeny=
RestrictAddressFamilies=AF_INET AF_INET6
BindReadOnlyPaths=-/run/systemd/resolve -/run/NetworkManager -/run/resolvconf -/run/postgresql
"""


def paths() -> list[str]:
    """Return where the drop-ins lie."""
    return [f"{FOLDER}/{unit}.d/{NAME}" for unit in UNITS]


def open_network() -> None:
    """Write the drop-ins, and let them count; nothing on a machine without systemd."""
    if not os.path.isdir(FOLDER):
        return
    for path in paths():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.replace(path, TEXT.encode())
    _reload()


def _reload() -> None:
    """Let systemd read them. The service is stopped: its socket starts it again with a login."""
    if not programs.systemd_runs():
        return
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        programs.run(["systemctl", "daemon-reload"], timeout=units.TIMEOUT)
        programs.run(["systemctl", "try-restart", UNITS[0]], timeout=units.TIMEOUT)
