"""Arrange the automatic undo of a trial, whatever becomes of totpctl.

With systemd a timer, and a unit that the next boot starts before everything that lets people in.
Without, a process that belongs to no terminal, and cron: every minute, and when the machine starts.
Each of them runs ``totpctl revert``, which does nothing where nothing waits.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time

from pam_totp.system.embedding import PATH
from pam_totp.system.reinstalling import reinstall_hint

from ..errors import CommandFailed
from ..host import files, programs
from . import trial_record
from .trial_record import Trial

UNIT = "pam_totp-revert.service"
TIMER = "pam_totp-revert.timer"
UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
WANTS = "/etc/systemd/system/sysinit.target.wants"
CRON_FOLDER = "/etc/cron.d"
CRON_FILE = f"{CRON_FOLDER}/pam_totp-unconfirmed"
CRON_PROGRAMS = ("cron", "crond", "fcron")
PROGRAM = "/usr/sbin/totpctl"
TIMEOUT = 60  # seconds
STEP = 1.0  # seconds
TRY_AGAIN = 30.0  # seconds
_OOM_SCORE = "-900"
_CRON = f"""\
# Undoes what totpctl enable wrote, unless totpctl confirm is run; both remove this file.
PATH={PATH}
@reboot root {PROGRAM} revert
* * * * * root {PROGRAM} revert --if-due
"""


def arrange(trial: Trial) -> list[str]:
    """Arrange that ``trial`` is undone in time; return warnings. Raises CommandFailed."""
    if not os.access(PROGRAM, os.X_OK):
        raise CommandFailed(f"there is no {PROGRAM}, which would undo the change", reinstall_hint())
    if programs.systemd_runs():
        _arrange_systemd(trial)
        return []
    _start_watching(trial)
    return _arrange_cron()


def cancel() -> None:
    """Cancel the automatic undo. The watcher process ends once the record is gone."""
    if programs.systemd_runs():
        for command in (("stop", TIMER), ("disable", "--no-reload", UNIT)):
            _run("systemctl", "--quiet", *command)
    for path in (CRON_FILE, files.beside(CRON_FILE, files.NEW)):
        if os.path.lexists(path):
            files.remove(path)
            files.sync_folder(path)


def _arrange_systemd(trial: Trial) -> None:
    if not any(os.path.exists(f"{folder}/{UNIT}") for folder in UNIT_FOLDERS):
        raise CommandFailed(
            f"there is no unit {UNIT}, which would undo the change", reinstall_hint()
        )
    _run("systemctl", "--quiet", "stop", TIMER)  # of a trial whose totpctl was killed
    seconds = math.ceil(trial.seconds_left())
    for command in (
        ("systemctl", "--quiet", "--no-reload", "enable", UNIT),
        (
            "systemd-run",
            "--quiet",
            f"--unit={UNIT}",
            f"--on-active={seconds}s",
            "--timer-property=AccuracySec=1s",
            "--timer-property=IgnoreOnIsolate=yes",  # systemctl isolate, rescue
        ),
    ):
        problem = _run(*command)
        if problem:
            raise CommandFailed(
                f"{command[0]} cannot arrange the undo: {problem}",
                "see: systemctl status",
            )
    if os.path.isdir(WANTS):
        files.sync_folder(f"{WANTS}/{UNIT}")


def _run(*command: str) -> str:
    """Run a program to its end; return what went wrong."""
    try:
        done = programs.run(command, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else " ".join(done.stderr.split()) or "it failed"


def _arrange_cron() -> list[str]:
    if not os.path.isdir(CRON_FOLDER):
        return [f"a reboot will not undo the change: there is no {CRON_FOLDER}"]
    files.replace(CRON_FILE, _CRON.encode())
    if not _cron_runs():
        return ["a reboot may not undo the change: cron is not running"]
    return []


def _cron_runs() -> bool:
    """Tell by the files of root's processes: anybody may call one of their own, or su, cron."""
    for process in (f"/proc/{name}" for name in os.listdir("/proc") if name.isdigit()):
        try:
            program = os.readlink(f"{process}/exe").removesuffix(" (deleted)")  # after an update
            if os.stat(process).st_uid == 0 and os.path.basename(program) in CRON_PROGRAMS:
                return True
        except OSError:
            continue
    return False


def _start_watching(trial: Trial) -> None:
    """Start the process that watches; when this returns, it stands on its own."""
    started, ready = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            os.close(started)
            os.setsid()
            if os.fork() == 0:
                _detach(ready)
                _watch(trial)
        finally:
            os._exit(0)
    os.close(ready)
    os.waitpid(child, 0)
    with open(started, "rb") as stream:
        if stream.read() != b"ready":
            raise CommandFailed(
                "the process that would undo the change does not start", "see: free; ulimit -u"
            )


def _detach(ready: int) -> None:
    """Detach from the process that started us: terminal, files, folder and signal handlers."""
    os.chdir("/")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as setting:
            setting.write(_OOM_SCORE)
    except OSError:
        pass
    os.write(ready, b"ready")
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2:  # and the one that listed them is closed already
            try:
                os.close(descriptor)
            except OSError:
                pass


def _watch(trial: Trial) -> None:
    """Sleep in small steps: until it is due, or no longer there."""
    due = trial.started_boottime + trial.seconds
    while _still_waits(trial):
        left = due - time.clock_gettime(time.CLOCK_BOOTTIME)
        if left > 0:
            time.sleep(min(left, STEP))
        else:
            failed = _run(PROGRAM, "revert", "--if-due")
            time.sleep(TRY_AGAIN if failed else STEP)


def _still_waits(trial: Trial) -> bool:
    try:
        waiting = trial_record.pending()
    except Exception:
        return True  # damaged: revert knows what to do, when it is time
    return waiting is not None and waiting.id in (trial.id, trial_record.LOST)
