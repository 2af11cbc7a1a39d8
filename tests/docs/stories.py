"""On which machine the blocks of a page are typed, and what happens there beside them.

A page with a block of its own kind that has no story here, and no other test, fails.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pam_totp import __version__
from tests.docs.person import PASSWORD, Shell
from tests.support import product
from tests.support.booted import SOURCE, Booted
from tests.support.shared import made_once

RELEASE = "trixie"  # the tutorial is followed on both: tests/booted/test_tutorial.py
Event = Callable[[Booted, Shell], None]


class Story(NamedTuple):
    """``before``: what happens right before the block whose text has these words in it."""

    prepared: Event
    before: Mapping[str, Event] = {}
    folder: str = "/root"


def typed(*lines: str) -> Event:
    """Return an event: somebody types ``lines`` into the root shell, and each succeeds."""

    def event(machine: Booted, root: Shell) -> None:
        for line in lines:
            ended = root.type(line)
            assert ended is not None, line
            assert ended.status == 0, f"{line}: {ended.shown}"

    return event


def accounts(machine: Booted, root: Shell) -> None:
    """A machine with people, on which nobody has heard of pam_totp."""
    typed(
        "useradd --create-home --shell /bin/bash --groups sudo alice",
        "useradd --create-home --shell /bin/bash bob",
        "groupadd staff; groupadd monitoring; groupadd automation; groupadd admins",
        "echo '127.0.0.1 host machine.example' >>/etc/hosts",
    )(machine, root)
    for name in ("alice", "bob"):
        machine.run("chpasswd", "--crypt-method", "SHA256", typed=f"{name}:{PASSWORD}\n")


# As a package does: this Python is perhaps another one than that of the machine around it, and
# totpctl would compile itself whenever it starts.
_COMPILE = """
python3 -I -m compileall -q /usr/lib/pam_totp
find /usr/lib/pam_totp -name __pycache__ -prune -print0 | tar -cP --null -T -
"""


def _compile(machine: Booted) -> bytes:
    command = machine._command(("sh", "-euc", _COMPILE), "root")
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def installed(machine: Booted, root: Shell) -> None:
    accounts(machine, root)
    unpack = machine._command(product.UNPACK, "root")
    subprocess.run(unpack, input=product.tree(), check=True)
    compiled = made_once(f"compiled-in-{machine.release}.tar", lambda: _compile(machine))
    subprocess.run(unpack, input=compiled, check=True)
    typed(
        "totpctl init",
        "systemctl daemon-reload",
        "systemctl enable --now pam_totp.socket",
    )(machine, root)


CONTROLLER = "/root/controller"
_DEB = f"libpam-totp_{__version__}_amd64.deb"
_CONTROL = f"""Package: libpam-totp
Version: {__version__}
Architecture: all
Maintainer: nobody <nobody@localhost>
Description: what make install places, and no more
"""


def managed(machine: Booted, root: Shell) -> None:
    """A machine that Ansible reaches as deploy, and the package, beside the playbook to be."""
    accounts(machine, root)
    machine.run("mkdir", "-p", "/root/package/DEBIAN", f"{CONTROLLER}/dist")
    unpack = ("tar", "--extract", "--directory=/root/package", "--file=/dev/stdin")
    subprocess.run(machine._command(unpack, "root"), input=product.tree(), check=True)
    machine.write("/root/package/DEBIAN/control", _CONTROL)
    machine.write("/root/package/DEBIAN/postinst", "#!/bin/sh\ntotpctl init\n", mode=0o755)
    typed(
        f"dpkg-deb --build --root-owner-group -Znone /root/package {CONTROLLER}/dist/{_DEB}",
        "useradd --create-home --shell /bin/bash --groups sudo deploy",
        f"echo 'deploy:{PASSWORD}' | chpasswd --crypt-method SHA256",
        "ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519",
        "install -D -o deploy -m 600 /root/.ssh/id_ed25519.pub /home/deploy/.ssh/authorized_keys",
        "ssh -o StrictHostKeyChecking=accept-new deploy@machine.example true",
    )(machine, root)


def nothing_was_told(machine: Booted, root: Shell) -> None:
    """No secret of a playbook stands on the terminal, though it was to say all, or in the log."""
    kept = json.loads(machine.read(f"{CONTROLLER}/handover/machine.example-alice.json"))
    log = machine.run("journalctl", "--no-pager").stdout
    assert "Enroll people" in root.transcript
    assert "pam_totp(sudo:auth): event=skipped" in log
    for secret in (kept["secret"], kept["uri"], *kept["recovery_codes"]):
        assert secret not in root.transcript + log


def enrolled(machine: Booted, root: Shell) -> None:
    installed(machine, root)
    typed("totpctl enroll alice")(machine, root)


def waiting(machine: Booted, root: Shell) -> None:
    """What was enabled waits to be confirmed."""
    enrolled(machine, root)
    typed("totpctl enable sshd sudo")(machine, root)


def enabled(machine: Booted, root: Shell) -> None:
    waiting(machine, root)
    typed("totpctl confirm --yes")(machine, root)


def with_files_of_others(machine: Booted, root: Shell) -> None:
    """Files of the other modules, a home with one, and a list of hardware tokens."""
    installed(machine, root)
    seeds = (byte * 20 for byte in ("1a", "2b", "3c", "4d", "5e"))
    typed(
        "umask 077",
        "printf 'HOTP/T30 alice - %s\\nHOTP/T30 bob - %s\\n' "
        f"{next(seeds)} {next(seeds)} >/etc/users.oath",
        "mkdir /var/lib/google-authenticator",
        "code='\" TOTP_AUTH'",
        f"printf '%s\\n' {'C' * 32} \"$code\" >/var/lib/google-authenticator/bob",
        f"printf '%s\\n' {'D' * 32} \"$code\" >/home/alice/.google_authenticator",
        "chown alice: /home/alice/.google_authenticator",
        f"printf '%s,%s,totp,6,30\\n' 2600000000001 {next(seeds)} 2600000000002 {next(seeds)}"
        f" 2600000000003 {next(seeds)} >/root/tokens.csv",
    )(machine, root)


_SOCKET = "/run/pam_totp/pam_totp.sock"
_until_it_listens = f"for _ in $(seq 100); do [ -S {_SOCKET} ] && break; sleep 0.1; done"

STORIES = {
    "README.md": Story(accounts, folder=SOURCE),
    "docs/howto/ansible.md": Story(
        managed,
        {
            "yml --ask-become-pass\n": typed("export ANSIBLE_VERBOSITY=3 ANSIBLE_DIFF_ALWAYS=1"),
            "json.load": nothing_was_told,
        },
        folder=CONTROLLER,
    ),
    "docs/howto/back-up.md": Story(
        enrolled, {"/var/lib/pam_totp.lost": typed("rm /etc/security/pam_totp.key")}
    ),
    "docs/howto/by-hand.md": Story(enrolled),
    "docs/howto/locked-out.md": Story(
        waiting,
        {
            "totpctl status\n": typed("totpctl enable sshd sudo --no-confirm"),
            "totpctl selftest": typed("totpctl enable sshd sudo --no-confirm"),
            "grep -l": typed("totpctl enable sshd sudo --no-confirm"),
            "--label phone": typed(
                "totpctl enroll alice --no-confirm", "totpctl enroll alice --label tablet"
            ),
        },
    ),
    "docs/howto/monitoring.md": Story(enabled),
    "docs/howto/hardware-tokens.md": Story(installed),
    "docs/howto/move-in.md": Story(with_files_of_others),
    "docs/howto/one-field.md": Story(
        enrolled,
        {
            "enable vsftpd": typed(
                "printf '@include common-auth\\n@include common-account\\n' >/etc/pam.d/vsftpd"
            )
        },
    ),
    "docs/howto/remember.md": Story(enabled),
    "docs/howto/trusted-places.md": Story(enabled),
    "docs/howto/roll-out.md": Story(
        installed,
        {
            "printf": typed("useradd -G staff carol; useradd dave"),
            "--group staff --sheets": typed("usermod -aG staff alice"),
            "bob@host": typed("totpctl enable sshd --no-confirm"),
        },
    ),
    "docs/howto/ssh.md": Story(
        installed,
        {
            "exempt backup": typed(
                "ssh-keygen -q -t ed25519 -N '' -f /root/key",
                "install -D -o backup -m 600 /root/key.pub /var/backups/.ssh/authorized_keys",
            ),
        },
    ),
    "docs/howto/sudo.md": Story(installed),
    "docs/howto/service.md": Story(
        enrolled,
        {
            "BindPaths": typed("mkdir /etc/pam_totp"),
            "--start": typed("systemctl disable --now pam_totp.socket pam_totp.service"),
            "sock\ntotpctl selftest": typed(f"{_until_it_listens}; [ -S {_SOCKET} ]"),
            "kill -KILL": typed(
                "start-stop-daemon --start --background --make-pidfile --pidfile"
                " /run/pam_totp.pid --exec /usr/bin/python3 --startas /usr/lib/pam_totp/worker"
                " -- --listen"
            ),
        },
    ),
    "docs/reference/doctor.md": Story(enabled),
    "docs/reference/totpctl.md": Story(enabled),
}
