"""Every way into a booted Debian, as a person goes it at a terminal; and what must not change."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from typing import NamedTuple

import pexpect

from tests.support.booted import SSH_OPTIONS, WITH_KEY, Booted, Terminal
from tests.support.machine import Account

PERIOD = 30  # seconds
CODE = "Verification code: "
CODE_OF_THE_APP = "Code shown by the app: "
PASSWORD = "(?i)password[^:\r\n]*: "  # sshd's own, PAM's, sudo's
SHELL = r"[$#] $"
LOGGED_IN = "uid="
_WHO = "id; exit"
_FILE = "/etc/os-release"  # what is sent
# What decides who gets in, with owners and modes; and that nothing of ours is left among it.
_CHECKSUMS = """
cd /etc && find pam.d ssh/sshd_config ssh/sshd_config.d cron.d systemd/system \\
    -ignore_readdir_race -printf '%p %u:%g %m %y\\n' | sort
find pam.d ssh/sshd_config ssh/sshd_config.d -type f | sort | xargs sha256sum
"""


class Person:
    """Somebody with an app and recovery codes, who gives none of them twice."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.recovery_codes = list(account.recovery_codes)
        self._last_step = 0

    def answer(self) -> str:
        """Return the next code that will do: of the app, or where that has none yet, of paper."""
        now = int(time.time()) // PERIOD
        step = max(now, self._last_step + 1)
        if step <= now + 1:
            self._last_step = step
            return self.account.code(step - now)
        return self.recovery_codes.pop()


class Way(NamedTuple):
    """One way in. ``go`` takes machine, user and the answer to the code, None where none is asked;
    it returns what is shown, with LOGGED_IN if that was enough.
    """

    name: str
    go: Callable[[Booted, Account, str | None], str]


def checksums(machine: Booted) -> str:
    """Return what decides who gets in, byte by byte."""
    return machine.run("sh", "-euc", _CHECKSUMS).stdout


def totpctl(machine: Booted, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run it, and see to the exit status."""
    done = machine.run("totpctl", *words, check=False)
    assert status == done.returncode, done
    assert "Traceback" not in done.stderr, done
    return done


def give(client: Terminal, account: Account, code: str | None) -> Terminal:
    """Give the password, and ``code`` if it is one."""
    client.expect(PASSWORD)
    client.sendline(account.password)
    return give_code(client, code)


def give_code(client: Terminal, code: str | None) -> Terminal:
    if code is not None:
        client.answer(CODE, code)
    return client


def by_ssh(machine: Booted, account: Account, code: str | None) -> str:
    return give(machine.ssh(account, command="id"), account, code).rest()


def by_key(machine: Booted, account: Account, code: str | None) -> str:
    return give_code(machine.ssh(account, WITH_KEY, command="id"), code).rest()


def by_key_and_password(machine: Booted, account: Account, code: str | None) -> str:
    return give(machine.ssh(account, WITH_KEY, command="id"), account, code).rest()


def by_sftp(machine: Booted, account: Account, code: str | None) -> str:
    return _sftp(machine, account, lambda client: give(client, account, code))


def by_sftp_with_key(machine: Booted, account: Account, code: str | None) -> str:
    return _sftp(machine, account, lambda client: give_code(client, code), WITH_KEY)


def by_scp(machine: Booted, account: Account, code: str | None) -> str:
    return _scp(machine, account, lambda client: give(client, account, code))


def by_scp_with_key(machine: Booted, account: Account, code: str | None) -> str:
    return _scp(machine, account, lambda client: give_code(client, code), WITH_KEY)


def _sftp(
    machine: Booted, account: Account, log_in: Callable[[Terminal], Terminal], *options: str
) -> str:
    client = machine.spawn("sftp", *SSH_OPTIONS, *options, f"{account.name}@127.0.0.1")
    log_in(client).answer("sftp> ", f"put {_FILE} sent")
    client.answer("sftp> ", "bye")
    return client.rest() + _owner_of_what_was_sent(machine, account)


def _scp(
    machine: Booted, account: Account, log_in: Callable[[Terminal], Terminal], *options: str
) -> str:
    there = f"{account.name}@127.0.0.1:sent"
    client = log_in(machine.spawn("scp", *SSH_OPTIONS, *options, _FILE, there))
    return client.rest() + _owner_of_what_was_sent(machine, account)


def _owner_of_what_was_sent(machine: Booted, account: Account) -> str:
    path = f"/home/{account.name}/sent"
    owner = machine.run("stat", "--format=uid=%u", path, check=False).stdout
    machine.run("rm", "-f", path)
    return owner


def _as_user(machine: Booted, account: Account, *command: str) -> Terminal:
    """Start a program at a terminal that is the machine's own."""
    words = ("setpriv", f"--reuid={account.name}", f"--regid={account.name}", "--init-groups")
    line = " ".join((*words, *command))
    return machine.spawn("script", "--quiet", "--return", "--command", line, "/dev/null")


def by_sudo(machine: Booted, account: Account, code: str | None) -> str:
    return give(_as_user(machine, account, "sudo", "-k", "id"), account, code).rest()


def by_sudo_i(machine: Booted, account: Account, code: str | None) -> str:
    client = give(_as_user(machine, account, "sudo", "-k", "-i"), account, code)
    # What is typed while sudo makes the terminal its own is lost.
    if client.expect([SHELL, ": $", pexpect.EOF]) == 2:
        return str(client.before)
    client.sendline(_WHO)
    return client.rest()


def by_su(machine: Booted, account: Account, code: str | None) -> str:
    """Somebody else becomes this user."""
    words = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    line = " ".join((*words, "su", account.name, "-c", "id"))
    client = machine.spawn("script", "--quiet", "--return", "--command", line, "/dev/null")
    return give(client, account, code).rest()


def at_the_console(machine: Booted, account: Account, code: str | None) -> str:
    client = console(machine, account)
    give(client, account, code).sendline(_WHO)
    return client.rest()


def console(machine: Booted, account: Account) -> Terminal:
    """Begin a login at a getty; the password comes next."""
    getty = "exec agetty -8 -L - dumb"
    client = machine.spawn("script", "--quiet", "--return", "--command", getty, "/dev/null")
    client.answer("login: ", account.name)
    return client


def terminal(machine: Booted, account: Account, code: str | None, *options: str) -> Terminal:
    """Log in by ssh, and return the terminal with its shell."""
    client = give(machine.ssh(account, *options, command=""), account, code)
    client.expect(SHELL)
    return client


def type_into(shell: Terminal, line: str) -> str:
    """Run a line in a shell, and return what it shows."""
    shell.sendline(f"{line}; echo status=$?.")
    shell.expect(r"status=(\d+)\.\r\n")
    shown: str = shell.before
    shell.expect(SHELL)
    return shown


PASSWORD_WAYS = (
    Way("ssh host command", by_ssh),
    Way("sftp", by_sftp),
    Way("scp", by_scp),
)
KEY_WAYS = (
    Way("ssh -i key host command", by_key),
    Way("sftp with a key", by_sftp_with_key),
    Way("scp with a key", by_scp_with_key),
)
LOCAL_WAYS = (
    Way("sudo", by_sudo),
    Way("sudo -i", by_sudo_i),
    Way("su", by_su),
    Way("console", at_the_console),
)


def recovery_codes_in(shown: str) -> list[str]:
    return re.findall(r"\b[0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){3}\b", shown)
