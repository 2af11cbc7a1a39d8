"""A user without rights fills the disk that the store lies on: everybody logs in all the same."""

from __future__ import annotations

import pytest

from tests.booted.logins import SERVICE, is_active
from tests.booted.ways_in import LOGGED_IN, Person, by_key, by_ssh, by_sudo, totpctl
from tests.support.booted import Booted

pytestmark = pytest.mark.root

STATE = "/var/lib/pam_totp"
WWW = "www-data"
# The store and a folder for everybody, as /var/tmp is, on one small disk.
_ONE_DISK = f"""
systemctl stop pam_totp.socket pam_totp.service
mount -t tmpfs -o size=16m,nr_inodes=64 none /mnt
cp -a {STATE} /mnt/pam_totp
install -d -m 1777 /mnt/tmp
mount --bind /mnt/pam_totp {STATE}
systemctl start pam_totp.socket
totpctl init
"""
_TAKE_INODES = "cd /mnt/tmp; n=0; while : >$n; do n=$((n + 1)); done"
_TAKE_BLOCKS = "cat /dev/zero >/mnt/tmp/0; for n in /mnt/tmp/*; do echo >>$n; done"


@pytest.mark.parametrize("base", ["trixie"], indirect=True)
def test_who_takes_every_inode_and_block_denies_nobody(fresh: Booted) -> None:
    me = Person(fresh.add_user("me", "sudo"))
    fresh.give_key(me.account)
    totpctl(fresh, "enable", "sshd", "sudo", "--no-confirm")
    fresh.run("sh", "-euc", _ONE_DISK)
    for take in (_TAKE_INODES, _TAKE_BLOCKS):
        fresh.run("sh", "-c", take, user=WWW, check=False)
    for refused in (": >/mnt/tmp/new", "head -c 4096 /dev/zero >>/mnt/tmp/0"):
        assert fresh.run("sh", "-c", refused, user=WWW, check=False).returncode, "there is room"

    assert LOGGED_IN in by_ssh(fresh, me.account, me.recovery_codes.pop())
    assert "active" == is_active(fresh, SERVICE)
    fresh.systemctl("stop", SERVICE)  # the next login opens the store anew
    assert LOGGED_IN in by_sudo(fresh, me.account, me.recovery_codes.pop())
    assert LOGGED_IN in by_key(fresh, me.account, me.recovery_codes.pop())
    totpctl(fresh, "unlock", "me")
    totpctl(fresh, "disable", "sshd", "sudo")
    assert LOGGED_IN in by_sudo(fresh, me.account, None)
