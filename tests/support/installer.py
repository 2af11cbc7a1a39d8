"""install.sh in a machine where building is quick: a package that was built before is copied."""

from __future__ import annotations

import base64
import subprocess
import time

from tests.support import package
from tests.support.machine import Machine
from tests.support.place import ROOT
from tests.support.shared import made_once

FOLDER = "/opt/pam_totp"
INSTALLER = f"{FOLDER}/install.sh"
KEY, STORE = "/etc/security/pam_totp.key", "/var/lib/pam_totp/store.db"
CONFIG = "/etc/security/pam_totp.conf"
HOOK = "/usr/lib/pam_totp/hook.py"
VERIFIER = "/usr/lib/pam_totp/pam_totp/core/verifier.py"
CACHE = "/var/cache/pam_totp"
PAM_LINE = f"auth required pam_python.so {HOOK}\n"
# All that is needed is installed. With what it knows of Debian, each run of apt takes a second; the
# package has no question to be asked beforehand; and nobody looks for a man page.
_QUICK = (
    "rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/lib/man-db/auto-update"
    " /etc/apt/apt.conf.d/70debconf"
)
_COPIES = f'#!/bin/sh\nmkdir "$1"\ncp {FOLDER}/built "$1/libpam-totp_0_all.deb"\n'

# Files of a package are as old as in it, but new here.
_PACK_WHAT_IS_NEW = (
    "find /etc /usr /var -cnewer /tmp/before -print0 |"
    " tar --create --absolute-names --no-recursion --null --files-from=- | base64 --wrap=0"
)


def bring(machine: Machine, built: bytes | None = None) -> None:
    """Have FOLDER, from which ``built`` is installed; as a rule the package of this tree."""
    machine.run("mkdir", "-p", FOLDER)
    machine.run("sh", "-c", _QUICK)
    machine.run("cp", "-r", ROOT / "install.sh", ROOT / "packaging", FOLDER)
    machine.run("sh", "-c", f"cat >{FOLDER}/built", typed=built or package.built())
    machine.write(f"{FOLDER}/packaging/build_deb.sh", _COPIES, mode=0o755)


def install(
    machine: Machine, *arguments: str, **options: object
) -> subprocess.CompletedProcess[str]:
    return machine.run(INSTALLER, *arguments, check=False, timeout=180, **options)


def bring_installed(machine: Machine) -> None:
    """Have what ``install`` leaves on a machine: that takes 3 s, and this a hundredth of it."""
    bring(machine)
    machine.unpack(made_once("installed.tar", _installed))


def _installed() -> bytes:
    """Return a tar archive of all that ``install`` creates and changes. It removes nothing."""
    with Machine() as machine:
        bring(machine)
        machine.run("touch", "/tmp/before")
        done = install(machine)
        assert 0 == done.returncode, done
        return base64.b64decode(machine.run("sh", "-ec", _PACK_WHAT_IS_NEW).stdout)


def exists(machine: Machine, path: str) -> bool:
    return machine.run("test", "-e", path, check=False).returncode == 0


def state(machine: Machine) -> str:
    """Return what dpkg says of the package: "ii " where all is well, "" where it knows none."""
    asked = machine.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", "libpam-totp", check=False)
    return asked.stdout


def wait_for(machine: Machine, path: str) -> None:
    deadline = time.monotonic() + 60
    while not exists(machine, path):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def pam_and_ssh(machine: Machine) -> str:
    """Return a digest of every file that decides who may log in."""
    return machine.run(
        "sh", "-c", "find /etc/pam.d /etc/ssh /etc/sudoers* -type f | sort | xargs sha256sum"
    ).stdout


def package_file() -> str:
    return (ROOT / "pam_totp" / "core" / "verifier.py").read_text(encoding="utf-8")
