"""A server with the Debian package: apt on it, its people, and what must hold of it."""

from __future__ import annotations

import json
from pathlib import Path

import pexpect

from tests.booted.logins import is_active
from tests.booted.ways_in import CODE, LOGGED_IN, Person, by_ssh, by_sudo, give, totpctl
from tests.machines.packages import only_deb
from tests.support.booted import Booted
from tests.support.machine import Account

PACKAGE = "libpam-totp"
SERVICES = ("sshd", "sudo")
KEY, STORE = "/etc/security/pam_totp.key", "/var/lib/pam_totp/store.db"
CONFIG = "/etc/security/pam_totp.conf"
RECORD = "/etc/pam.d/.pam_totp-unconfirmed.json"
SOCKET, SERVICE = "pam_totp.socket", "pam_totp.service"
_SCHEMA = f"""
import sqlite3
print(sqlite3.connect("{STORE}").execute("PRAGMA user_version").fetchone()[0])
"""
TIMEOUT = 180  # seconds: for apt

# With names, modes and owners, and in /etc and /var what is in the files.
_EVERYTHING = r"""
find /etc /usr /var /run -xdev -printf '%p %M %U:%G %l\n'
find /etc /var -xdev -type f -exec sha256sum {} +
"""


class Server(Booted):
    def __init__(self, release: str, tree: Path, packages: dict[str, Path]) -> None:
        binds = [f"--bind-ro={folder}:/packages/{name}" for name, folder in packages.items()]
        super().__init__(release, str(tree), *binds)
        self._packages = packages
        self.said = ""

    def deb(self, name: str) -> str:
        return f"/packages/{name}/{only_deb(self._packages[name]).name}"

    def apt(self, *words: str, fails: bool = False) -> str:
        """Run apt-get as unattended-upgrades does; return all that it says."""
        settings = ("LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
        options = ("-qq", "-y", "-o", "DPkg::Options::=--force-confold")
        command = ("env", *settings, "apt-get", *options, *words)
        return self._installer(command, fails=fails)

    def dpkg(self, *words: str, fails: bool = False) -> str:
        command = ("env", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "dpkg", *words)
        return self._installer(command, fails=fails)

    def _installer(self, command: tuple[str, ...], *, fails: bool) -> str:
        done = self.run(*command, check=False, timeout=TIMEOUT)
        self.said = done.stdout + done.stderr
        assert fails == (done.returncode != 0), self.said
        assert "Traceback" not in self.said, self.said
        return self.said

    def state(self) -> str:
        """Return what dpkg says of the package: "ii" and its version if all is well."""
        words = ("--showformat=${db:Status-Abbrev}${Version}", "--show", PACKAGE)
        return self.run("dpkg-query", *words, check=False).stdout

    def schema(self) -> int:
        return int(self.run("python3", "-I", "-c", _SCHEMA).stdout)

    def digest(self, *paths: str) -> str:
        return self.run("sha256sum", *paths).stdout

    def exists(self, path: str) -> bool:
        return self.run("test", "-e", path, check=False).returncode == 0

    def everything(self) -> set[str]:
        return set(self.run("sh", "-c", _EVERYTHING).stdout.splitlines())

    def authenticators(self) -> dict[str, object]:
        """Return who is enrolled, with what does not change when somebody logs in."""
        listed = json.loads(totpctl(self, "list", "--json").stdout)
        told = ("label", "algorithm", "digits", "period")
        return {
            user["user"]: [[each[name] for name in told] for each in user["authenticators"]]
            for user in listed
        }

    def files_that_name_the_module(self) -> list[str]:
        words = ("grep", "-rlE", "^[^#]*pam_totp", "/etc/pam.d", "/etc/ssh")
        return self.run(*words, check=False).stdout.split()


def enrol_three(server: Server) -> list[Person]:
    """Enrol ann, who has a password; ben, who has a key too; and cas, who never logs in by ssh."""
    ann, ben, cas = (Person(server.add_user(name, "sudo")) for name in ("ann", "ben", "cas"))
    server.give_key(ben.account)
    return [ann, ben, cas]


def assert_sound(server: Server) -> None:
    """Nothing is wrong, as far as package, units and doctor can tell."""
    assert "ii " == server.state()[:3]
    assert "" == server.dpkg("--audit")
    assert "enabled" == server.systemctl("is-enabled", SOCKET)
    assert "active" == is_active(server, SOCKET)
    assert "" == server.systemctl("--failed", "--quiet")
    found = totpctl(server, "doctor")
    assert "nothing is wrong" in found.stdout + found.stderr, found


def assert_asks(server: Server, person: Person) -> None:
    """Who has password and code gets in, who has not does not; by the worker that is installed."""
    answer = person.answer()
    assert LOGGED_IN in by_ssh(server, person.account, answer)
    assert is_refused(server, person.account, answer)
    assert LOGGED_IN in by_sudo(server, person.account, person.answer())
    assert "active" == is_active(server, SERVICE)


def is_refused(server: Server, account: Account, answer: str) -> bool:
    """Tell whether the right password, with this answer to the code, does not let in."""
    client = give(server.ssh(account, command="id"), account, answer)
    client.expect_exact([CODE, pexpect.EOF])  # asked again, or not
    shown: str = client.before
    client.close()
    return LOGGED_IN not in shown


def assert_asks_nobody(server: Server, account: Account) -> None:
    assert [] == server.files_that_name_the_module()
    assert LOGGED_IN in by_ssh(server, account, None)
    assert LOGGED_IN in by_sudo(server, account, None)
