"""Who can become root: what doctor proposes and enable hints at, done, and tried by real logins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e import doctor_machine
from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import CODE, totpctl
from tests.support.machine import Account, Machine
from tests.support.place import code_now

pytestmark = pytest.mark.root

PASSWORD = "a password of debian"
SUDOERS = "/etc/sudoers.d/90-cloud-init-users"


@pytest.fixture
def cloud(prepared: Prepared) -> Iterator[Machine]:
    """As a cloud image comes: debian has a key, no password, and NOPASSWD; root's key is no use."""
    with enabling.before_enable(prepared.files) as machine:
        machine.run("userdel", "--remove", "alice")
        machine.run("totpctl", "remove", "alice", "--yes")
        machine.run("usermod", "--password", "*", "root")
        machine.add_user("debian", PASSWORD)
        machine.run("usermod", "--password", "!", "debian")
        key = machine.read(f"{machine.give_key('debian')}.pub")
        told = f'no-pty,command="echo Please log in as debian" {key}'
        machine.write("/root/.ssh/authorized_keys", told, mode=0o600)
        machine.run("sh", "-c", "echo '@includedir /etc/sudoers.d' >> /etc/sudoers")
        machine.write(SUDOERS, "debian ALL=(ALL) NOPASSWD:ALL\n", mode=0o440)
        save = f"base64 --decode >{doctor_machine.SHIM}"
        machine.run("sh", "-c", save, typed=doctor_machine.shim())
        yield machine


def enroll(machine: Machine) -> Account:
    shown = json.loads(machine.run("totpctl", "enroll", "debian", "--json", "--no-confirm").stdout)
    secret = doctor_machine.secret_of(shown)
    return Account("debian", PASSWORD, secret, shown["recovery_codes"])


def finding(machine: Machine, check: str) -> dict[str, str]:
    (found,) = [f for f in doctor_machine.findings(machine) if f["check"] == check]
    return found


def hint_in(shown: str) -> str:
    (hint,) = [line for line in shown.splitlines() if line.startswith("hint: ")]
    return hint


def do(machine: Machine, words: str) -> None:
    """Do what ``words`` say after "run: "; debian chooses PASSWORD."""
    (commands,) = re.findall(r"run: (.*)", words)
    for command in commands.split("; "):
        if command == "passwd debian":
            machine.run(*command.split(), typed=f"{PASSWORD}\n{PASSWORD}\n")
        else:
            assert command.strip() == "totpctl enroll debian"
            enroll(machine)


def becomes_root(machine: Machine, account: Account, *, password: bool, offset: int = 0) -> str:
    """Log in by ssh with the key and a code, and run sudo there; return what is shown.

    ``password``: sudo asks for it, and then for a code: three codes in one window there are not.
    """
    client = machine.ssh(account.name, "-t", "-i/tmp/key-of-debian", command="sudo -k id -un")
    client.answer(CODE, code_now(offset, account.secret))
    if password:
        client.expect("(?i)password.*: ")
        client.sendline(account.password)
        client.answer(CODE, account.recovery_codes[0])
    return client.rest()


def test_fix_of_nopasswd_on_a_cloud_image_leaves_a_way_to_root(cloud: Machine) -> None:
    account = enroll(cloud)
    done = totpctl(cloud, "enable", "sshd", "sudo", "--no-confirm")
    assert 0 == done.returncode, done.stderr
    assert "root" in becomes_root(cloud, account, password=False)
    fix = finding(cloud, "sudo-nopasswd")["fix"]
    assert fix.startswith("first run: passwd debian; then find it: "), fix

    cloud.write(SUDOERS, "debian ALL=(ALL) ALL\n", mode=0o440)  # the second half of it alone
    nobody = finding(cloud, "administrators")
    assert "debian has no password (passwd debian)" in nobody["problem"]
    assert "run: passwd debian" == nobody["fix"]
    do(cloud, nobody["fix"])
    assert "administrators" not in [f["check"] for f in doctor_machine.findings(cloud)]
    assert "root" in becomes_root(cloud, account, password=True, offset=1)


@pytest.mark.parametrize("services", [("sudo",), ("sshd",), ("sshd", "sudo"), ("login",)])
def test_enable_refuses_where_nobody_becomes_root_and_names_all_that_has_to_be_done(
    cloud: Machine, services: tuple[str, ...]
) -> None:
    cloud.write(SUDOERS, "debian ALL=(ALL) ALL\n", mode=0o440)
    cloud.use_pam("login", enabling.PASSWORD_STEP)
    untouched = enabling.snapshot(cloud)
    refused = totpctl(cloud, "enable", *services)
    assert 6 == refused.returncode, refused.stderr
    assert untouched == enabling.snapshot(cloud)
    assert "debian could not become root: debian " in refused.stderr
    assert "has no password (passwd debian)" in refused.stderr
    hint = hint_in(refused.stderr)
    commands = set(hint.removeprefix("hint: run: ").split("; "))
    assert {"passwd debian", "totpctl enroll debian"} >= commands
    do(cloud, hint)
    if services == ("login",):  # which asks nobody who has no password: it is seen now
        again = totpctl(cloud, "enable", *services)
        assert "hint: run: totpctl enroll debian" in again.stderr
        do(cloud, hint_in(again.stderr))
    assert 0 == totpctl(cloud, "enable", *services).returncode


def test_group_that_sudo_asks_for_nothing_is_told_to_take_a_password_first(cloud: Machine) -> None:
    enroll(cloud)
    cloud.run("groupadd", "spared")
    cloud.run("usermod", "--append", "--groups", "spared", "debian")
    cloud.write(SUDOERS, "Defaults exempt_group = spared\ndebian ALL=(ALL) ALL\n", mode=0o440)
    assert 0 == totpctl(cloud, "enable", "sudo", "--no-confirm").returncode
    fix = finding(cloud, "sudo-exempt-group")["fix"]
    assert fix.startswith("first run: passwd debian; then remove it: "), fix
    checks = [f["check"] for f in doctor_machine.findings(cloud)]
    assert "administrators" not in checks


def test_sudo_that_asks_for_roots_password_needs_roots_password_and_roots_code(
    cloud: Machine,
) -> None:
    enroll(cloud)
    cloud.write(SUDOERS, "Defaults rootpw\ndebian ALL=(ALL) ALL\n", mode=0o440)
    refused = totpctl(cloud, "enable", "sudo")
    assert "has no password, which sudo asks for: root's (passwd root)" in refused.stderr
    assert "is not enrolled (totpctl enroll root)" in refused.stderr
    assert 6 == refused.returncode


def test_last_skipped_administrator_is_enrolled_before_nobody_is_skipped(cloud: Machine) -> None:
    cloud.write("/etc/security/pam_totp.conf", "unenrolled = skip\n")
    assert 0 == totpctl(cloud, "enable", "sshd", "--no-confirm").returncode
    fix = finding(cloud, "unenrolled-skip")["fix"]
    assert fix.startswith("first run: totpctl enroll debian; then edit "), fix
    enroll(cloud)
    assert finding(cloud, "unenrolled-skip")["fix"].startswith("edit ")


def test_only_administrator_is_not_to_be_taken_sudo_from(cloud: Machine) -> None:
    enroll(cloud)
    assert 0 == totpctl(cloud, "enable", "sshd", "--no-confirm").returncode
    cloud.run("totpctl", "suspend", "debian")
    assert "run: totpctl resume debian" == finding(cloud, "suspended-administrators")["fix"]
