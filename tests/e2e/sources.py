"""Logins by ssh from several addresses of a machine, as from several places."""

from __future__ import annotations

from pexpect import EOF

from tests.support.enabling import CODE, PASSWORD
from tests.support.logs import fields
from tests.support.machine import Account, Machine, Terminal

HERE, HERE_V6 = "10.9.0.1", "fd00::1"  # where sshd has to listen
LISTENING = "/etc/ssh/sshd_config.d/10-listen.conf"
MARK = "expr 41 + 1"  # whose answer no message shows
_UNKNOWN_HOST = ("-oStrictHostKeyChecking=no", "-oLogLevel=ERROR", "-oNumberOfPasswordPrompts=1")


def connect(
    machine: Machine, user: str, source: str, *options: str, command: str = MARK
) -> Terminal:
    place = (f"-b{source}", f"-oHostName={HERE_V6 if ':' in source else HERE}")
    return machine.ssh(user, *place, *_UNKNOWN_HOST, *options, command=command)


def by_ssh(
    machine: Machine, user: Account, source: str, *options: str, code: str | None = None
) -> bool:
    """Log in from ``source``; return whether that let in. A prompt without answer ends it."""
    client = connect(machine, user.name, source, *options)
    while (prompt := client.expect([PASSWORD, CODE, EOF])) != 2:
        answer = user.password if prompt == 0 else code
        if answer is None:
            return False
        client.sendline(answer)
    return "42" in client.before.split()


def last_event(machine: Machine, service: str) -> dict[str, str]:
    lines = [line for line in machine.log.lines() if f"pam_totp({service}:auth)" in line]
    return fields(lines[-1])
