"""Nobody confirms: everything is put back, whatever becomes of the terminal and the machine."""

from __future__ import annotations

import pytest

from tests.booted.logins import is_active, journal, wait_until, wait_until_gone
from tests.booted.ways_in import (
    LOGGED_IN,
    Person,
    by_key,
    by_ssh,
    by_sudo,
    checksums,
    give,
    terminal,
    totpctl,
)
from tests.support.booted import Booted
from tests.support.machine import Account

pytestmark = pytest.mark.root

RECORD = "/etc/pam.d/.pam_totp-unconfirmed.json"
KEY = "/etc/security/pam_totp.key"
UNIT, TIMER = "pam_totp-revert.service", "pam_totp-revert.timer"
SERVICES, CHANGED = ("sshd", "sudo"), ("sshd", "sudo", "sudo-i")
# Begun before enable: the files are there long before enable has looked at sshd and reloaded it.
_KILL = """
until grep -q 'BEGIN pam_totp' /etc/pam.d/sshd; do :; done
pkill -KILL -f 'totpctl[ ]enable'
"""


def is_waiting(machine: Booted) -> bool:
    return machine.run("test", "-e", RECORD, check=False).returncode == 0


def wait_until_put_back(machine: Booted) -> None:
    wait_until_gone(machine, RECORD)
    wait_until(lambda: is_active(machine, UNIT) != "activating")


def reasons(machine: Booted) -> list[str]:
    """Return what the journal says of each service that was put back."""
    lines = journal(machine, "--identifier=pam_totp", "--identifier=totpctl")
    return [line.partition("event=reverted by=0 ")[2] for line in lines if "event=reverted" in line]


def microseconds(machine: Booted, unit: str, what: str) -> int:
    """Return a time of a unit, counted from the boot."""
    return int(machine.systemctl("show", "--value", f"--property={what}TimestampMonotonic", unit))


def assert_all_is_as_it_was(machine: Booted, before: str, account: Account) -> None:
    assert not is_waiting(machine)
    assert before == checksums(machine)
    assert LOGGED_IN in by_ssh(machine, account, None)
    assert LOGGED_IN in by_sudo(machine, account, None)
    assert "inactive" == machine.systemctl("is-active", TIMER, check=False)
    assert "disabled" == machine.systemctl("is-enabled", UNIT, check=False)
    assert "" == machine.systemctl("--failed", "--quiet")


def test_terminal_that_is_lost_and_never_comes_back_costs_nobody_a_login(fresh: Booted) -> None:
    """Enabled over ssh, by somebody who then cannot answer any more; the timer puts it back."""
    me = Person(fresh.add_user("me", "sudo"))
    before = checksums(fresh)
    shell = terminal(fresh, me.account, None)
    shell.sendline("sudo totpctl enable sshd sudo --confirm-within 10s")
    give(shell, me.account, None).expect_exact("Log in from a second terminal NOW")
    fresh.run("pkill", "-KILL", "-f", "sshd.*me@pts")
    shell.close(force=True)
    fresh.systemctl("daemon-reload")
    fresh.run("systemd-run", "--wait", "true")
    fresh.systemctl("isolate", "multi-user.target")
    assert is_waiting(fresh)
    assert LOGGED_IN in by_ssh(fresh, me.account, me.answer())
    wait_until_put_back(fresh)
    assert_all_is_as_it_was(fresh, before, me.account)
    assert [f'service={name} reason="not confirmed in time"' for name in CHANGED] == reasons(fresh)
    assert "nothing is waiting" in totpctl(fresh, "confirm", status=1).stderr


def test_key_logins_get_in_while_sshd_cannot_load_what_is_put_back(fresh: Booted) -> None:
    """Somebody broke sshd_config in the trial: undone are the files, and sshd when it can."""
    me = Person(fresh.add_user("me", "sudo"))
    fresh.give_key(me.account)
    before = checksums(fresh)
    totpctl(fresh, "enable", *SERVICES, "--confirm-within", "1h")
    assert LOGGED_IN in by_key(fresh, me.account, me.answer())
    fresh.run("sh", "-c", "echo Bogus yes >>/etc/ssh/sshd_config")
    for _ in range(2):
        said = totpctl(fresh, "revert", status=1).stderr
        assert "Bogus" in said
        assert is_waiting(fresh)
        assert LOGGED_IN in by_key(fresh, me.account, None)
        assert LOGGED_IN in by_ssh(fresh, me.account, None)
        assert LOGGED_IN in by_sudo(fresh, me.account, None)
    fresh.run("sed", "-i", "/Bogus/d", "/etc/ssh/sshd_config")
    totpctl(fresh, "revert")
    assert LOGGED_IN in by_key(fresh, me.account, None)
    assert_all_is_as_it_was(fresh, before, me.account)


def test_boot_puts_it_back_before_sshd_starts_and_without_the_store(fresh: Booted) -> None:
    """However much of the time is left; and after a power cut in the middle of enable."""
    me = Person(fresh.add_user("me", "sudo"))
    before = checksums(fresh)
    for is_power_cut in (False, True):
        kill = fresh.start("sh", "-c", _KILL if is_power_cut else "")
        words = ("enable", *SERVICES, "--confirm-within", "24h")
        fresh.run("totpctl", *words, check=not is_power_cut)
        assert 0 == kill.wait(60)
        assert is_waiting(fresh)
        assert before != checksums(fresh)
        fresh.run("mv", KEY, f"{KEY}.away")
        fresh.reboot(at_once=is_power_cut)
        assert_all_is_as_it_was(fresh, before, me.account)
        was_put_back = microseconds(fresh, UNIT, "ExecMainExit")
        assert 0 < was_put_back < microseconds(fresh, "ssh.service", "ExecMainStart")
        assert was_put_back < microseconds(fresh, "systemd-user-sessions.service", "ExecMainStart")
        fresh.run("mv", f"{KEY}.away", KEY)
