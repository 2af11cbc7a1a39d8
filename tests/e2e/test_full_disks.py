"""disable, revert and confirm need no new inode and no new block, however full."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling, loop
from tests.support.enabling import snapshot, totpctl
from tests.support.machine import Account, Machine
from tests.support.place import ROOT

pytestmark = pytest.mark.root

FOLDERS = ("/etc/pam.d", "/etc/ssh/sshd_config.d", "/var/lib/pam_totp", "/run")
BOTH = ("sshd", "sudo")
# Blocks first: an empty file needs none. Then every inode, and what a folder has room for.
_FILL = """
for folder in {folders}; do
    cat /dev/zero >$folder/zz-blocks
    number=0
    while true >$folder/zz-$number; do number=$((number + 1)); done
    cat /dev/zero >>$folder/zz-blocks
done 2>/dev/null
"""
_EMPTY = "for folder in {folders}; do rm -f $folder/zz-*; done"


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    """A machine that has each folder concerned on a small disk of its own."""
    with enabling.before_enable(prepared.files) as started:
        for folder in FOLDERS:
            started.run("sh", "-c", f"cp -a {folder} /tmp/kept")
            options = "size=4m,nr_inodes=200,mode=0755"
            started.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)
            started.run("sh", "-c", f"cp -a /tmp/kept/. {folder}; rm -r /tmp/kept")
        yield started


def fill(machine: Machine) -> None:
    machine.run("sh", "-c", _FILL.format(folders=" ".join(FOLDERS)), check=False)
    for folder in FOLDERS:
        assert 0 != machine.run("mkdir", f"{folder}/zz-more", check=False).returncode


def empty(machine: Machine) -> None:
    machine.run("sh", "-c", _EMPTY.format(folders=" ".join(FOLDERS)))


def test_no_room_is_needed_to_undo_or_keep_a_change(machine: Machine, alice: Account) -> None:
    before = enabling.contents(snapshot(machine))
    for end in (("revert",), ("confirm", "--yes"), ("disable", *BOTH)):
        if end[0] != "disable":
            assert 0 == totpctl(machine, "enable", *BOTH).returncode
        machine.run("rm", "-f", "/run/pam_totp.change.lock")
        fill(machine)
        done = totpctl(machine, *end)
        assert 0 == done.returncode, (end, done.stderr)
        is_on = "pam_totp.so" in machine.read("/etc/pam.d/sudo")
        assert is_on == (end[0] == "confirm")
        if not is_on:
            assert "welcome alice" in enabling.ssh_with_password(machine, alice)
        empty(machine)
        if not is_on:
            assert before == enabling.contents(snapshot(machine)), end
            assert [] == enabling.left_over(machine)


def test_no_room_is_needed_to_disable_within_a_trial_and_after_edits(machine: Machine) -> None:
    for path in ("/etc/pam.d/sudo", "/etc/ssh/sshd_config.d/00-pam_totp.conf"):
        assert 0 == totpctl(machine, "enable", *BOTH).returncode
        machine.run("sh", "-c", f"echo '# edited' >>{path}")
        fill(machine)
        done = totpctl(machine, "disable", *BOTH)
        assert 0 == done.returncode, done.stderr
        empty(machine)
        assert "# edited" in machine.read(path)
        assert "pam_totp.so" not in machine.read("/etc/pam.d/sudo")
        machine.run("sed", "-i", "/# edited/d", path)


def test_init_makes_the_spares_that_an_earlier_release_did_not(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", *BOTH, "--no-confirm").returncode
    find = ("find", *FOLDERS, "-name", ".pam_totp-spare.*")
    kept = sorted(machine.run(*find).stdout.split())
    machine.run(*find, "-delete")
    missing = "there is no spare file /etc/pam.d/.pam_totp-spare.sshd"
    assert missing in totpctl(machine, "doctor").stdout
    assert 0 == totpctl(machine, "init").returncode
    assert kept == sorted(machine.run(*find).stdout.split())
    assert missing not in totpctl(machine, "doctor").stdout
    fill(machine)
    done = totpctl(machine, "disable", *BOTH)
    assert 0 == done.returncode, done.stderr
    empty(machine)
    assert 0 == totpctl(machine, "init").returncode
    assert [] == enabling.left_over(machine)


_ON_EXT4 = """
set -eu
cd /mnt
PYTHONPATH={root} /usr/bin/python3 - file <<'END'
import errno, os, sys
from admin_cli.host import files
path = os.path.abspath(sys.argv[1])
files.replace(path, b"before" * 100)
files.keep_spare(path, 6000)
folder = os.path.dirname(path)
try:
    with open(folder + "/all", "wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
except OSError as error:
    assert errno.ENOSPC == error.errno
try:
    for number in range(1000):
        os.close(os.open(folder + "/" + str(number), os.O_CREAT | os.O_EXCL))
except OSError as error:
    assert errno.ENOSPC == error.errno
else:
    raise AssertionError("an inode was left")
files.replace(path, b"after" * 1000)
assert files.read(path) == b"after" * 1000
assert 0o644 == os.stat(path).st_mode & 0o777
END
"""


def test_file_on_an_ext4_of_which_others_took_every_inode_and_block_is_replaced() -> None:
    with Machine() as machine:
        loop.mount(machine, "4M", "mkfs.ext4", "-q", "-N", "200")
        done = machine.run("sh", "-c", _ON_EXT4.replace("{root}", str(ROOT)), check=False)
        assert 0 == done.returncode, done.stderr
