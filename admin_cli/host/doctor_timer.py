"""The timer that has doctor look every day: whether it runs, and how to start it.

Without systemd nobody can tell: cron's files are the administrator's own.
"""

from __future__ import annotations

import subprocess

from . import programs, units

TIMER = "pam_totp-doctor.timer"


def is_off() -> bool:
    """Return whether systemd runs and the timer does not; False where it cannot be told."""
    if not programs.systemd_runs():
        return False
    try:
        done = programs.run(["systemctl", "is-active", TIMER], timeout=units.TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() in ("inactive", "failed")


def how_to_start() -> str:
    """Return the commands that have the timer run: systemd enables nothing that is masked."""
    try:
        first = units.unmask(units.show([TIMER]))
    except (OSError, subprocess.TimeoutExpired):
        first = ""
    return f"run: {first}systemctl enable --now {TIMER}"
