"""A user without rights takes every inode, then every block, where the store lies."""

from __future__ import annotations

import pytest

from tests.support import hosts, loop, thorough
from tests.support.machine import Account, Machine
from tests.support.place import ROOT

pytestmark = pytest.mark.root

WWW = "nobody"
TAKE_INODES = "cd /mnt/tmp; n=0; while : >$n; do n=$((n + 1)); done"
# ext4 reserves more than it needs for blocks not yet placed: once they are, there is room again.
TAKE_BLOCKS = """
cat /dev/zero >/mnt/tmp/0
for n in /mnt/tmp/*; do echo >>$n; done
while sync -f /mnt/tmp; head -c 1024 /dev/zero >>/mnt/tmp/0; do cat /dev/zero >>/mnt/tmp/0; done
"""
FILE_SYSTEMS = {
    "tmpfs": (),
    "ext4": ("16M", "mkfs.ext4", "-q", "-F", "-m", "0", "-N", "64"),
    "xfs": ("300M", "mkfs.xfs", "-q"),
}


@pytest.fixture(params=[hosts.SPAWNED])
def host(request: pytest.FixtureRequest) -> str:
    """A worker for one login: it is the last to close the store each time."""
    return request.param


@pytest.fixture(params=["tmpfs", "ext4", pytest.param("xfs", marks=pytest.mark.night)])
def full(request: pytest.FixtureRequest, machine: Machine) -> Machine:
    """The machine, with the store on a file system on which others can write, and have."""
    if request.param == "tmpfs":
        machine.run("mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=64", "tmpfs", "/mnt")
    else:
        size, *make = FILE_SYSTEMS[request.param]
        loop.mount(machine, size, *make)
    machine.run("install", "-d", "-m", "1777", "/mnt/tmp")
    machine.write("/etc/security/pam_totp.conf", "store = /mnt/pam_totp/store.db\n")
    machine.run("totpctl", "init")
    machine.run("cp", "-a", "/var/lib/pam_totp/.", "/mnt/pam_totp/")  # over what is there
    machine.run("totpctl", "init")
    machine.use_pam("sudo", (ROOT / "packaging/pam.d/sudo").read_text("utf-8"))
    for take in (TAKE_INODES, TAKE_BLOCKS):
        machine.run("sh", "-c", take, user=WWW, check=False)
    for refused in ("head -c 4096 /dev/zero >>/mnt/tmp/0", ": >/mnt/tmp/new"):
        assert machine.run("sh", "-c", refused, check=False).returncode != 0, "there is room"
    return machine


def become_root(machine: Machine, person: Account, code: str) -> int:
    terminal = machine.spawn("sudo", "-k", "id", "-un", user=person.name)
    terminal.answer(f"password for {person.name}: ", person.password)
    terminal.answer("Verification code: ", code)
    terminal.rest()
    return terminal.exit_status()


def test_nobody_is_denied_for_want_of_an_inode_or_a_block(full: Machine, alice: Account) -> None:
    assert 0 == become_root(full, alice, alice.code())
    for _ in range(10 if thorough.NIGHTLY else 3):
        full.run("totpctl", "unlock", alice.name)
        full.run("totpctl", "suspend", alice.name)
        full.run("totpctl", "resume", alice.name)
    assert 0 == become_root(full, alice, alice.recovery_codes[0])
    assert 0 == become_root(full, alice, alice.recovery_codes[1])
    assert 9 > int(str(full.state(alice.name)["recovery_codes_left"]))


def test_store_on_btrfs_is_written_over_and_takes_no_new_block(machine: Machine) -> None:
    loop.mount(machine, "256M", "mkfs.btrfs", "-q")
    machine.run("install", "-d", "-m", "1777", "/mnt/tmp")
    machine.write("/etc/security/pam_totp.conf", "store = /mnt/pam_totp/store.db\n")
    machine.run("totpctl", "init")
    carol = machine.enrol("carol")
    for name in ("store.db", "store.db-wal"):
        assert "C" in machine.run("lsattr", f"/mnt/pam_totp/{name}").stdout.split()[0]
    machine.use_pam("sudo", (ROOT / "packaging/pam.d/sudo").read_text("utf-8"))
    machine.run("sh", "-c", "cat /dev/zero >/mnt/tmp/0", user=WWW, check=False)
    assert machine.run("sh", "-c", "head -c 65536 /dev/zero >/mnt/tmp/1", check=False).returncode
    assert 0 == become_root(machine, carol, carol.recovery_codes[0])
    assert 0 == become_root(machine, carol, carol.recovery_codes[1])
