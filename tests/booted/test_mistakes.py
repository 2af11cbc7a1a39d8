"""Whatever goes wrong on the way, nothing is left half done, and everybody logs in as before."""

from __future__ import annotations

import pytest

from tests.booted.logins import is_active
from tests.booted.ways_in import LOGGED_IN, Person, by_key, by_ssh, by_sudo, checksums, totpctl
from tests.support.booted import Booted

# Nothing here asks systemd for more than its timers, which tests/booted/test_revert.py has on both.
pytestmark = pytest.mark.root

SSHD_FILES = "/etc/ssh/sshd_config.d"
DROP_IN = f"{SSHD_FILES}/00-pam_totp.conf"
STATE = "/var/lib/pam_totp"
# What somebody may have in the way, and words of what enable says to it.
IN_THE_WAY = {
    f"{SSHD_FILES}/50-typo.conf": ("PermitRootLogin maybe\n", "50-typo.conf line 1"),
    f"{SSHD_FILES}/00-before.conf": ("KbdInteractiveAuthentication no\n", "00-before.conf:1"),
    f"{SSHD_FILES}/00-keys-off.conf": ("PubkeyAuthentication no\n", "00-keys-off.conf:1"),
    f"{SSHD_FILES}/10-match.conf": (
        "Match User me\n  AuthenticationMethods password\n  PasswordAuthentication yes\n",
        "10-match.conf:2",
    ),
}
# What is written to, how much room is left there, and the exit status and words of enable then.
# Two blocks are enough for the self-test, and for two of three PAM files.
FOLDERS = {
    "/etc/pam.d": ("8K", 1, "now: no file of PAM or sshd was changed"),
    SSHD_FILES: ("0", 1, "now: no file of PAM or sshd was changed"),
    STATE: ("0", 1, "now: no file of PAM or sshd was changed"),
}
# A small disk of its own for a folder, and nothing free on it.
_SMALL = """
cp -a "$1" /tmp/copy
mount -t tmpfs -o "size=4m,mode=$(stat -c %a "$1")" none "$1"
cp -a /tmp/copy/. "$1"
rm -r /tmp/copy
"""
_FILL = 'dd if=/dev/zero of="$1/fill" bs=4K 2>/dev/null; truncate --size="-$2" "$1/fill"'


def make_small(machine: Booted, folder: str) -> None:
    machine.run("sh", "-euc", _SMALL, "sh", folder)


def fill(machine: Booted, folder: str, room: str = "0") -> None:
    machine.run("sh", "-c", _FILL, "sh", folder, room)


def test_what_cannot_work_is_refused_and_changes_nothing(fresh: Booted) -> None:
    account = fresh.add_account("me", "sudo")
    before = checksums(fresh)
    refused = totpctl(fresh, "enable", "sshd", "sudo", status=6).stderr
    assert "no administrator could become root any more: sshd, sudo" in refused
    assert "sshd will deny me, who is not enrolled (totpctl enroll me)" in refused
    assert before == checksums(fresh)

    totpctl(fresh, "enroll", "me", "--no-confirm", "--json")
    assert "shd" in totpctl(fresh, "enable", "shd", status=1).stderr
    for path, (text, words) in IN_THE_WAY.items():
        fresh.write(path, text)
        refused = totpctl(fresh, "enable", "sshd", "--keys", "code", status=1).stderr
        assert words in refused
        fresh.run("rm", path)
        assert before == checksums(fresh), path
    assert LOGGED_IN in by_ssh(fresh, account, None)
    assert LOGGED_IN in by_sudo(fresh, account, None)


def test_disk_without_room_stops_enable_and_not_the_way_back(fresh: Booted) -> None:
    me = Person(fresh.add_user("me", "sudo"))
    for folder in FOLDERS:
        make_small(fresh, folder)
    before = checksums(fresh)
    for folder, (room, status, words) in FOLDERS.items():
        fill(fresh, folder, room)
        assert words in totpctl(fresh, "enable", "sshd", "sudo", status=status).stderr
        fresh.run("rm", f"{folder}/fill")
        assert before == checksums(fresh), folder
        assert "inactive" == is_active(fresh, "pam_totp-revert.timer")

    totpctl(fresh, "enable", "sshd", "sudo")
    for folder in FOLDERS:
        fill(fresh, folder)
    totpctl(fresh, "revert")
    for folder in FOLDERS:
        fresh.run("rm", f"{folder}/fill")
    assert before == checksums(fresh)
    assert LOGGED_IN in by_ssh(fresh, me.account, None)


def test_of_two_at_once_one_is_refused_and_edits_meanwhile_are_kept(fresh: Booted) -> None:
    me = Person(fresh.add_user("me", "sudo"))
    fresh.give_key(me.account)
    before = checksums(fresh)
    both = [fresh.start("totpctl", "enable", name) for name in ("sshd", "sudo")]
    assert [0, 1] == sorted(enabling.wait(60) for enabling in both)
    totpctl(fresh, "revert")
    assert before == checksums(fresh)

    totpctl(fresh, "enable", "sshd", "sudo")
    fresh.run("sed", "-i", "$a# an edit", "/etc/pam.d/sshd")
    fresh.run("sed", "-i", "$a# another edit", DROP_IN)
    assert LOGGED_IN in by_key(fresh, me.account, me.answer())
    totpctl(fresh, "revert")
    assert fresh.read("/etc/pam.d/sshd").endswith("# an edit\n")
    assert "# another edit\n" == fresh.read(DROP_IN)
    assert LOGGED_IN in by_key(fresh, me.account, None)
    assert LOGGED_IN in by_ssh(fresh, me.account, None)
    fresh.run("sed", "-i", "$d", "/etc/pam.d/sshd")
    fresh.run("rm", DROP_IN)
    assert before == checksums(fresh)
