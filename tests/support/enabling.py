"""A throw-away machine whose sshd and sudo are as a distribution ships them: before enable."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.machine import Account, Machine

PASSWORD_STEP = "@include common-auth\n"
SERVICES = ("sshd", "sudo")
DROP_IN = "/etc/ssh/sshd_config.d/00-pam_totp.conf"
RECORD = "/etc/pam.d/.pam_totp-unconfirmed.json"
CRON_FILE = "/etc/cron.d/pam_totp-unconfirmed"
# What Debian's own sshd_config says, and what an installer may have added.
SSHD_CONFIG = """\
Include /etc/ssh/sshd_config.d/*.conf
KbdInteractiveAuthentication no
UsePAM yes
"""
PASSWORD, CODE = "Password: ", "Verification code: "
# Everything a change may touch. Inodes too: what is put back is the file itself.
_SNAPSHOT = r"""
cd /
files() {
    find etc/pam.d etc/ssh/sshd_config.d etc/cron.d -type f ! -name '.pam_totp-spare.*' "$@"
}
files -printf '%p %i %m %u %g\n'
files -exec sha256sum {} +
find var/lib run ! -name '.pam_totp-spare.*' '(' -name 'unconfirmed*' -o -name '.pam_totp-*' ')'
"""


def furnish(machine: Machine) -> None:
    """Let sshd and sudo ask for a password alone, and start sshd; a folder for cron is there."""
    for service in SERVICES:
        machine.use_pam(service, PASSWORD_STEP)
    folders = "/etc/ssh/sshd_config.d /etc/cron.d"
    emptied = "/etc/pam.d/sudo-i /etc/ssh/sshd_config.d"
    machine.run("sh", "-ec", f"rm -rf {emptied}; mkdir -p {folders}")
    machine.start_sshd(SSHD_CONFIG)


def totpctl(machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = machine.run("totpctl", *arguments, check=False, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def snapshot(machine: Machine) -> str:
    lines = machine.run("sh", "-c", _SNAPSHOT).stdout.splitlines()
    return "\n".join(sorted(re.sub(r"^([0-9a-f]{64})  (.*)", r"\2 - \1", line) for line in lines))


def watchers(machine: Machine) -> list[int]:
    """Return the processes that wait to put something back."""
    found = machine.run("pgrep", "-x", "totpctl", check=False).stdout
    return [int(line) for line in found.split()]


def ssh_with_password(machine: Machine, user: Account) -> str:
    """Log in with the password alone; return what is shown."""
    client = machine.ssh(user.name, "-oNumberOfPasswordPrompts=1")
    client.expect("(?i)password: ")
    client.sendline(user.password)
    return client.rest()


def ssh_with_code(machine: Machine, user: Account, *options: str, offset: int = 0) -> str:
    """Log in with password and code; return what is shown."""
    client = machine.ssh(user.name, *options, "-oNumberOfPasswordPrompts=1")
    client.answer(PASSWORD, user.password)
    client.answer(CODE, user.code(offset))
    return client.rest()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.2)


@contextmanager
def before_enable(prepared: bytes, *, served: bool = True) -> Iterator[Machine]:
    """A machine that asks for passwords alone, with alice enrolled: the files of ``prepared``.

    ``served``: the service listens, as on an administrator's machine; else each login starts a
    worker of its own, and the self-test of each enable five of them.
    """
    with Machine(installed=True) as started:
        started.unpack(prepared)
        furnish(started)
        if served:
            started.start_service()
        yield started


def contents(shown: str) -> list[tuple[str, ...]]:
    """Of a snapshot, leave out the inodes: each second word."""
    return [(*line.split()[:1], *line.split()[2:]) for line in shown.splitlines()]


def left_over(machine: Machine) -> list[str]:
    """Return what a trial keeps for itself, and should not leave behind.

    Spares stay as long as something is on.
    """
    on = machine.run("grep", "-rlqs", "BEGIN pam_totp", "/etc/pam.d", DROP_IN, check=False)
    names = machine.run("find", "/etc", "/var/lib/pam_totp", "-name", ".pam_totp-*").stdout
    if on.returncode == 0:
        names = "\n".join(n for n in names.split() if "/.pam_totp-spare." not in n)
    return [*names.split(), *(p for p in (RECORD, CRON_FILE) if exists(machine, p))]


def originals(machine: Machine) -> list[str]:
    return machine.run("find", "/etc", "-name", ".pam_totp-[bu]*").stdout.split()


def exists(machine: Machine, path: str) -> bool:
    return machine.run("test", "-e", path, check=False).returncode == 0
