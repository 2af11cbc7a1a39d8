"""Who is not enrolled yet is led through it at the login: by ssh and at the console."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.booted.logins import SERVICE, SOCKET, events, events_of_the_service
from tests.booted.ways_in import (
    CODE,
    CODE_OF_THE_APP,
    LOGGED_IN,
    PASSWORD,
    Person,
    at_the_console,
    by_ssh,
    console,
    recovery_codes_in,
    totpctl,
)
from tests.cli.terminal import DARK, photograph, scan, secret_of, uri_in
from tests.support.booted import WITH_KEY, Booted, Terminal
from tests.support.machine import Account

pytestmark = pytest.mark.root

ENTER = "Until then nothing is saved: "
NOT_ENROLLED = 3
ENROLMENT = ["unenrolled", "enrolled", "codes_issued"]


@pytest.fixture
def rolled_out(fresh: Booted) -> Booted:
    """sshd and the console ask for codes; me has one, whoever comes new enrols."""
    fresh.add_user("me", "sudo")
    fresh.write("/etc/security/pam_totp.conf", "unenrolled = enroll\n")
    totpctl(fresh, "enable", "sshd", "login", "--no-confirm")
    return fresh


def ssh(machine: Booted, account: Account) -> Terminal:
    return machine.ssh(account, command="id")


def until_the_code(client: Terminal, account: Account) -> str:
    """Give the password; return what is shown until a code of the app is asked for."""
    client.expect(PASSWORD)
    client.sendline(account.password)
    client.expect_exact(CODE_OF_THE_APP)
    shown: str = client.before
    return shown.replace("\r", "")


def scanned(shown: str, folder: Path) -> str:
    """Return what a phone reads off the screen."""
    rows = [line for line in shown.splitlines() if "\u2588" in line]
    return scan(photograph("\n".join(rows), DARK), folder)


def until_enter(client: Terminal, account: Account, folder: Path) -> Person:
    """Scan the picture, give a code, write down the recovery codes."""
    shown = until_the_code(client, account)
    uri = scanned(shown, folder)
    assert uri_in(shown) == uri
    person = Person(account._replace(secret=secret_of(uri)))
    client.sendline(person.answer())
    client.expect_exact(ENTER)
    person.recovery_codes = recovery_codes_in(client.before)
    assert 10 == len(person.recovery_codes)
    return person


def cut_off(machine: Booted, client: Terminal) -> None:
    """End the connection. A client that loses its terminal may answer first, as Enter does."""
    machine.run("pkill", "-KILL", "-x", "ssh")
    assert LOGGED_IN not in client.rest()


def is_enrolled(machine: Booted, account: Account) -> bool:
    return machine.run("totpctl", "show", account.name, check=False).returncode != NOT_ENROLLED


def test_who_comes_by_ssh_or_at_the_console_enrols_with_a_picture(
    rolled_out: Booted, tmp_path: Path
) -> None:
    ways: dict[str, tuple[Callable[..., Terminal], Callable[..., str]]] = {
        "bob": (ssh, by_ssh),
        "carol": (console, at_the_console),
    }
    for name, (come, come_again) in ways.items():
        account = rolled_out.add_account(name)
        client = come(rolled_out, account)
        person = until_enter(client, account, tmp_path)
        assert not is_enrolled(rolled_out, account)
        client.sendline("")
        if come is console:
            client.sendline("id; exit")
        assert LOGGED_IN in client.rest(), name
        assert ENROLMENT == events_of_the_service(rolled_out, account)
        assert LOGGED_IN in come_again(rolled_out, account, person.answer())
        assert LOGGED_IN in by_ssh(rolled_out, account, person.recovery_codes.pop())

    rolled_out.systemctl("stop", SOCKET, SERVICE)
    rolled_out.write("/etc/security/pam_totp.conf", "unenrolled = deny\n")
    totpctl(rolled_out, "require", "--group", "users")
    dave = rolled_out.add_account("dave", "users")
    client = ssh(rolled_out, dave)
    person = until_enter(client, dave, tmp_path)
    client.sendline("")
    assert LOGGED_IN in client.rest()
    assert [] == events_of_the_service(rolled_out, dave)
    assert ENROLMENT == events(rolled_out, dave)
    assert LOGGED_IN in by_ssh(rolled_out, dave, person.answer())


def test_login_that_is_broken_off_at_any_step_enrols_nobody(
    rolled_out: Booted, tmp_path: Path
) -> None:
    bob = rolled_out.add_account("bob")
    rolled_out.give_key(bob)

    client = ssh(rolled_out, bob)
    until_the_code(client, bob)
    cut_off(rolled_out, client)
    client = ssh(rolled_out, bob)
    until_enter(client, bob, tmp_path)
    cut_off(rolled_out, client)
    client = ssh(rolled_out, bob)
    until_enter(client, bob, tmp_path)
    rolled_out.systemctl("kill", "--signal=KILL", SERVICE)
    client.sendline("")
    assert LOGGED_IN not in client.rest()
    client = ssh(rolled_out, bob)
    until_the_code(client, bob)
    client.sendline("000000")
    for _ in range(2):
        client.answer(CODE_OF_THE_APP, "000000")
    assert LOGGED_IN not in client.rest()
    assert not is_enrolled(rolled_out, bob)

    wrong_password = ssh(rolled_out, bob)
    wrong_password.expect(PASSWORD)
    wrong_password.sendline("not the password")
    assert "Secret" not in wrong_password.rest()
    only_a_key = rolled_out.ssh(bob, WITH_KEY)
    only_a_key.expect_exact(CODE)  # as everybody: it tells nobody that bob is not enrolled
    assert "Secret" not in only_a_key.before
    only_a_key.close(force=True)
    assert not is_enrolled(rolled_out, bob)
    assert "enrolled" not in events(rolled_out, bob)
