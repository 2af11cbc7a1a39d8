"""A fresh Debian, and somebody who switches the code on: what to type, and who gets in."""

from __future__ import annotations

import re

import pytest

from tests.booted.ways_in import (
    CODE,
    CODE_OF_THE_APP,
    KEY_WAYS,
    LOCAL_WAYS,
    LOGGED_IN,
    PASSWORD,
    PASSWORD_WAYS,
    SHELL,
    Person,
    by_key,
    by_key_and_password,
    by_ssh,
    checksums,
    give,
    recovery_codes_in,
    terminal,
    totpctl,
    type_into,
)
from tests.cli.terminal import secret_of, uri_in
from tests.support.booted import SOURCE, Booted, Terminal
from tests.support.machine import Account

pytestmark = pytest.mark.root

EVERYTHING = ("sshd", "sudo", "login", "su")
DENIED = "Permission denied"


def enrol_at_the_terminal(shell: Terminal, account: Account) -> Person:
    """Type it as an administrator does, and answer with what the app would show."""
    shell.sendline(f"sudo totpctl enroll {account.name}")
    shell.expect(PASSWORD)
    shell.sendline(account.password)
    shell.expect_exact(CODE_OF_THE_APP)
    person = Person(account._replace(secret=secret_of(uri_in(shell.before))))
    shell.sendline(person.answer())
    shell.expect(SHELL)
    person.recovery_codes = recovery_codes_in(shell.before)
    assert 10 == len(person.recovery_codes), shell.before
    return person


def test_administrator_turns_it_on_from_a_login_by_ssh(fresh: Booted) -> None:
    account = fresh.add_account("me", "sudo")
    first = terminal(fresh, account, None)
    me = enrol_at_the_terminal(first, account)

    shown = type_into(first, "sudo totpctl enable sshd sudo")
    assert "Log in from a second terminal NOW, with a new connection" in shown
    assert "sshd with a key" in shown or "sshd asks key logins" in shown
    shown = type_into(first, "sudo totpctl status")
    assert re.search(r"sshd .*undone in 9 min", shown), shown

    second = terminal(fresh, account, me.answer())
    second.sendline("sudo -i")
    give(second, account, me.answer()).expect("# $")
    assert "confirmed: sshd, sudo" in type_into(second, "totpctl confirm")
    assert "nothing is wrong" in type_into(second, "totpctl doctor")
    assert 0 == fresh.run("totpctl", "doctor", "--quiet").returncode
    shown = type_into(second, "totpctl status sshd sudo")
    assert re.search(r"sshd +on +by enable +pam_totp.so +code", shown), shown
    assert "put back" not in shown

    fresh.reboot(at_once=True)
    assert LOGGED_IN in by_ssh(fresh, account, me.answer())
    assert "" == fresh.systemctl("--failed", "--quiet")
    assert "disabled" == fresh.systemctl("is-enabled", "pam_totp-revert.service", check=False)


def test_every_way_in_asks_for_a_code_until_it_is_switched_off(fresh: Booted) -> None:
    before = checksums(fresh)
    alice = Person(fresh.add_user("alice", "sudo"))
    bob = Person(fresh.add_user("bob", "sudo"))
    for person in (alice, bob):
        fresh.give_key(person.account)
    totpctl(fresh, "enable", *EVERYTHING)
    for way in PASSWORD_WAYS + LOCAL_WAYS:
        assert LOGGED_IN in way.go(fresh, alice.account, alice.answer()), way.name
    for way in KEY_WAYS:
        assert LOGGED_IN in way.go(fresh, bob.account, bob.answer()), way.name
    totpctl(fresh, "confirm")
    wrong_password = fresh.ssh(alice.account)
    wrong_password.expect(PASSWORD)
    wrong_password.sendline("not the password")
    assert CODE not in wrong_password.rest()
    wrong_code = give(fresh.ssh(alice.account), alice.account, alice.account.wrong_code())
    wrong_code.expect_exact(CODE)
    wrong_code.close()

    refused = fresh.run(f"{SOURCE}/install.sh", "--uninstall", check=False)
    assert 1 == refused.returncode
    assert "run: totpctl disable" in refused.stderr
    fresh.run(*re.findall(r"totpctl disable [\w. -]+", refused.stderr)[0].split())
    assert before == checksums(fresh)
    fresh.run(f"{SOURCE}/install.sh", "--uninstall")
    for way in (*PASSWORD_WAYS[:1], *LOCAL_WAYS, *KEY_WAYS[:1]):
        assert LOGGED_IN in way.go(fresh, alice.account, None), way.name


def test_keys_need_a_password_too_or_no_code_as_one_says(fresh: Booted) -> None:
    alice = Person(fresh.add_user("alice", "sudo"))
    fresh.give_key(alice.account)
    totpctl(fresh, "enable", "sshd", "--keys", "password+code", "--no-confirm")
    assert LOGGED_IN in by_key_and_password(fresh, alice.account, alice.answer())
    assert DENIED in fresh.ssh(alice.account).rest()
    shown = totpctl(fresh, "enable", "sshd", "--keys", "skip", "--no-confirm").stderr
    assert "key logins are NOT two-factor" in shown
    assert LOGGED_IN in by_key(fresh, alice.account, None)
    assert LOGGED_IN in by_ssh(fresh, alice.account, alice.answer())
    assert "enabled with --keys skip" in totpctl(fresh, "doctor").stdout
    totpctl(fresh, "enable", "sshd", "--keys", "code", "--no-confirm")
    assert LOGGED_IN in by_key(fresh, alice.account, alice.answer())


def test_sshd_that_its_socket_starts_asks_for_codes_and_keeps_who_is_logged_in(
    fresh: Booted,
) -> None:
    """Ubuntu's default. Told to reload, such an sshd ends: its port is not its own."""
    alice = Person(fresh.add_user("alice", "sudo"))
    fresh.systemctl("disable", "--now", "ssh.service")
    fresh.systemctl("enable", "--now", "ssh.socket")
    stays = terminal(fresh, alice.account, None)
    for _ in range(2):
        totpctl(fresh, "enable", "sshd")
        assert LOGGED_IN in by_ssh(fresh, alice.account, alice.answer())
        totpctl(fresh, "revert")
        assert LOGGED_IN in by_ssh(fresh, alice.account, None)
    assert LOGGED_IN in type_into(stays, "id")
    totpctl(fresh, "enable", "sshd", "--no-confirm")
    fresh.reboot()
    assert LOGGED_IN in by_ssh(fresh, alice.account, alice.answer())
    totpctl(fresh, "disable", "sshd")
    assert LOGGED_IN in by_ssh(fresh, alice.account, None)
    assert "" == fresh.systemctl("--failed", "--quiet")
