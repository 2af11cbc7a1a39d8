"""Logins to a booted Debian, and what its journal says of them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

from tests.support.booted import Booted
from tests.support.machine import Account
from tests.support.place import ROOT

SOCKET, SERVICE = "pam_totp.socket", "pam_totp.service"
SOCKET_PATH = "/run/pam_totp/pam_totp.sock"
PASSWORD, CODE = "Password: ", "Verification code: "
PAM_SERVICE = "code"  # asks for a code and nothing else

_PAM_FILE = "auth required pam_totp.so attempts=1\naccount required pam_permit.so\n"
_INCLUDE = "@include common-auth\n"


def set_up(machine: Booted) -> None:
    """Ask for codes in sshd, after the password, and in PAM_SERVICE."""
    machine.write(f"/etc/pam.d/{PAM_SERVICE}", _PAM_FILE)
    before = machine.read("/etc/pam.d/sshd")
    assert _INCLUDE in before
    lines = (ROOT / "packaging/pam.d/sshd-password-and-code").read_text("utf-8")
    machine.write("/etc/pam.d/sshd", before.replace(_INCLUDE, lines))
    settings = (ROOT / "packaging/sshd_config.d/password-and-code.conf").read_text("utf-8")
    machine.write("/etc/ssh/sshd_config.d/10-pam_totp.conf", settings)
    machine.systemctl("restart", "ssh.service")


def log_in(machine: Booted, account: Account, typed: str = "", user: str = "root") -> bool:
    """Tell whether one answer, the right code if not ``typed``, is enough for PAM_SERVICE."""
    command = ("pamtester", PAM_SERVICE, account.name, "authenticate")
    answer = (typed or account.code()) + "\n"
    return machine.run(*command, typed=answer, user=user, check=False).returncode == 0


def log_in_twice(machine: Booted, account: Account, user: str = "root") -> tuple[bool, bool]:
    """Tell whether a code lets in, and whether it does so again, also in the next period."""
    code = account.code()
    return log_in(machine, account, code, user), log_in(machine, account, code, user)


def log_in_by_ssh(machine: Booted, account: Account) -> str:
    """Return what is shown after password and code."""
    client = machine.ssh(account)
    client.answer(PASSWORD, account.password)
    client.answer(CODE, account.code())
    return client.rest().strip()


def main_pid(machine: Booted) -> int:
    """Return the process of the service, 0 if it does not run."""
    return int(machine.systemctl("show", "--value", "--property=MainPID", SERVICE))


def is_active(machine: Booted, unit: str) -> str:
    return machine.systemctl("is-active", unit, check=False)


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def wait_until_gone(machine: Booted, path: str) -> None:
    """Wait inside for a file to go: that costs far less than to ask again and again."""
    machine.run("sh", "-c", 'while [ -e "$1" ]; do sleep 0.2; done', "sh", path)


def journal(machine: Booted, *options: str) -> list[str]:
    """Return the lines of the journal in syslog's form."""
    machine.run("journalctl", "--sync")
    return machine.run("journalctl", "--no-pager", "--quiet", *options).stdout.splitlines()


def events(machine: Booted, account: Account, *options: str) -> list[str]:
    """Return what service, worker and module logged of one user's logins."""
    pattern = _event_of(account)
    return [found[1] for line in journal(machine, *options) if (found := pattern.search(line))]


def events_of_the_service(machine: Booted, account: Account) -> list[str]:
    return events(machine, account, f"--unit={SERVICE}")


def events_of_workers(machine: Booted, account: Account) -> list[str]:
    """Return what workers of one login logged: all that workers say and that is not the service's.

    One may be gone before the journal looks which unit it belonged to.
    """
    entries = map(json.loads, journal(machine, "--output=json", "--identifier=pam_totp"))
    return [
        found[1]
        for entry in entries
        if entry.get("_SYSTEMD_UNIT") != SERVICE
        and (found := _event_of(account).search(str(entry.get("MESSAGE"))))
    ]


def _event_of(account: Account) -> re.Pattern[str]:
    return re.compile(rf"pam_totp\([^)]*:auth\): event=(\w+) user={account.name}( |$)")


def drop_in(machine: Booted, unit: str, text: str, name: str = "test") -> None:
    machine.write(f"/etc/systemd/system/{unit}.d/{name}.conf", text)
    machine.systemctl("daemon-reload")


def break_start(machine: Booted, command: str) -> None:
    """Let the service start ``command`` in place of the worker."""
    machine.systemctl("stop", SERVICE)
    drop_in(machine, SERVICE, f"[Service]\nExecStart=\nExecStart={command}\n", name="broken")
