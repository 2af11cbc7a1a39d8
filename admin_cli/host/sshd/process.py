"""The sshd that listens on this machine: how it was started, and how it reloads its files."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import CommandFailed
from .. import programs

UNITS = ("ssh.service", "sshd.service")
SOCKETS = ("ssh.socket", "sshd.socket")
TIMEOUT = 5  # seconds for a listening sshd to restart itself
_LISTEN = "0A"  # proc(5); include/net/tcp_states.h: TCP_LISTEN


class Options(NamedTuple):
    """What counts of sshd's command line: -f FILE, and each -o KEYWORD=VALUE."""

    file: str = ""
    settings: tuple[str, ...] = ()

    def words(self) -> list[str]:
        words = ["-f", self.file] if self.file else []
        for setting in self.settings:
            words += ["-o", setting]
        return words


def program() -> str:
    return shutil.which("sshd", path=programs.PATH_WITH_LOCAL) or "/usr/sbin/sshd"


def listeners() -> list[int]:
    """Return the processes of sshd that listen: root's, not of a container."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _command_line(name)]


def options() -> Options:
    """Return how the listening sshd was started; of several, one without -f comes first."""
    found = all_options()
    return found[0] if found else Options()


def all_options() -> list[Options]:
    """Return how each listening sshd was started, that of options() first, alike ones once."""
    found = (_parse(_command_line(str(pid))) for pid in listeners())
    return sorted(dict.fromkeys(found), key=_has_file)


def reload() -> None:
    """Let sshd read its configuration again, and wait until it has; nothing where none runs.

    Raises CommandFailed if no sshd listens after it.
    """
    before = {pid: _sockets(pid) for pid in listeners()}
    unit = _unit()
    if unit:
        done = _restart(unit) if _active(SOCKETS) else _systemctl("try-reload-or-restart", unit)
        if done.returncode != 0:
            words = " ".join(done.stderr.split())
            raise CommandFailed(f"systemctl cannot reload {unit}: {words}", "run: sshd -t")
    else:
        for pid in before:
            os.kill(pid, signal.SIGHUP)
    deadline = time.monotonic() + TIMEOUT
    while before and time.monotonic() < deadline:
        if any(sockets and sockets != before.get(pid) for pid, sockets in _now().items()):
            return
        time.sleep(0.02)
    if before and not listeners():
        raise CommandFailed("sshd no longer listens", "start it: systemctl start ssh")


def _restart(unit: str) -> subprocess.CompletedProcess[str]:
    """Restart an sshd that systemd listens for; open connections go on.

    Told to reload, it would open its port itself, which the socket unit has, and end. Nor may a
    few times in a row count as a service that keeps failing: the socket would be closed.
    """
    _systemctl("reset-failed", unit)
    return _systemctl("try-restart", unit)


def _now() -> dict[int, frozenset[str]]:
    return {pid: _sockets(pid) for pid in listeners()}


def _unit() -> str:
    """Return the unit that sshd runs as; "" without one, or if it starts for each login."""
    return _active(UNITS) if programs.systemd_runs() else ""


def _active(units: Sequence[str]) -> str:
    """Return the first of ``units`` that runs; "" if none does."""
    return next((u for u in units if _systemctl("is-active", u).returncode == 0), "")


def _systemctl(verb: str, unit: str) -> subprocess.CompletedProcess[str]:
    try:
        return programs.run(["systemctl", verb, unit], path=programs.PATH_WITH_LOCAL)
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"systemctl {verb} {unit} did not answer") from None


def _command_line(pid: str) -> str:
    """Return what a listening sshd shows of itself; "" for every other process.

    It writes "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups" over its arguments. Those of
    somebody else's are not read: they lie in memory that may not answer.
    """
    folder = f"/proc/{pid}"
    try:
        of_root = os.stat(folder).st_uid == 0
        of_here = os.readlink(f"{folder}/ns/pid") == os.readlink("/proc/self/ns/pid")
        if not (of_root and of_here and _runs_sshd(folder)):
            return ""
        with open(f"{folder}/cmdline", "rb") as file:
            shown = file.read(4096).split(b"\0")[0].decode("utf-8", "replace")
    except OSError:  # it has ended
        return ""
    return shown if shown.startswith("sshd: ") and " [listener]" in shown else ""


def _runs_sshd(folder: str) -> bool:
    """Tell by its file what a process is: anybody can start su as "sshd: ...", and it is root's."""
    path = os.readlink(f"{folder}/exe").removesuffix(" (deleted)")  # after an update
    program_file = os.stat(f"{folder}/exe")
    is_set_uid = program_file.st_mode & (stat.S_ISUID | stat.S_ISGID)
    return os.path.basename(path) == "sshd" and program_file.st_uid == 0 and not is_set_uid


def _parse(shown: str) -> Options:
    """Read the options that matter; a value with a blank in it cannot be told, and is left out."""
    words = shown.partition(" [listener]")[0].split()[2:]
    file, settings = "", []
    while words:
        word = words.pop(0)
        if word[:2] in ("-f", "-o"):
            value = word[2:] or (words.pop(0) if words else "")
            if word[:2] == "-f":
                file = value
            elif "=" in value:
                settings.append(value)
    return Options(file, tuple(settings))


def _has_file(found: Options) -> bool:
    return bool(found.file)


def _sockets(pid: int) -> frozenset[str]:
    """Return the sockets that a process listens on."""
    listening: set[str] = set()
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{name}", encoding="ascii") as file:
                rows = [line.split() for line in file]
        except OSError:  # a kernel without IPv6; or the process has ended
            continue
        listening |= {f"socket:[{row[9]}]" for row in rows if row[3] == _LISTEN}
    folder = f"/proc/{pid}/fd"
    try:
        return frozenset(
            {os.readlink(f"{folder}/{name}") for name in os.listdir(folder)} & listening
        )
    except OSError:
        return frozenset()
