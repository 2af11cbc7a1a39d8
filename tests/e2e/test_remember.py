"""remember, with a real sshd that is reached from several addresses, sudo and su."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pexpect import EOF

from tests.e2e.conftest import Prepared
from tests.e2e.sources import HERE, LISTENING, MARK, by_ssh, connect, last_event
from tests.support import enabling
from tests.support.enabling import CODE, PASSWORD, totpctl
from tests.support.machine import SSH_PORT, Account, Machine, Terminal

pytestmark = pytest.mark.root

CONFIG = "/etc/security/pam_totp.conf"
HOME, ELSEWHERE = "10.9.0.2", "192.0.2.7"
SHELL = r"[$] $"
SUDO_PASSWORD = "password for alice: "
GETTY = """
touch /dev/tty1
mount --bind "$(tty)" /dev/tty1
exec setsid --wait agetty -8 -L tty1 dumb
"""


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    """sshd, sudo and su ask for a code once in eight hours, wherever somebody is."""
    with enabling.before_enable(prepared.files) as started:
        for address in (HERE, HOME, ELSEWHERE):
            started.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        started.write(LISTENING, f"ListenAddress {HERE}\n")
        done = totpctl(started, "enable", "sshd", "sudo", "--no-confirm", "--force")
        assert 0 == done.returncode, done.stderr
        started.log.wait_for(f"Server listening on {HERE} port {SSH_PORT}")
        started.write(CONFIG, "remember = 8h\nattempts = 1\n")
        sudoers = started.read("/etc/sudoers") + "Defaults passwd_tries=1\n"
        started.write("/etc/sudoers", sudoers, mode=0o440)
        yield started


def is_asked_by_sudo(terminal: Terminal, user: Account, code: str | None = None) -> bool:
    """Run sudo in a shell that is there, and return whether it asked for a code as well."""
    terminal.sendline(f"sudo -k {MARK}")
    terminal.answer(SUDO_PASSWORD, user.password)
    asked = terminal.expect([CODE, "\r\n42\r\n"]) == 0
    if asked and code is not None:
        terminal.sendline(code)
        terminal.expect("\r\n42\r\n")
    elif asked:
        terminal.sendline("no code")  # which is not counted, and ends nothing
    terminal.expect(SHELL)
    return asked


def test_from_where_a_code_was_right_the_password_or_the_key_is_enough(
    machine: Machine, alice: Account
) -> None:
    key = f"-i{machine.give_key('alice')}"
    assert not by_ssh(machine, alice, HOME)
    assert by_ssh(machine, alice, HOME, code=alice.code())
    for way in ((), (key,)):
        assert by_ssh(machine, alice, HOME, *way)
        found = last_event(machine, "sshd")
        expected = {"event": "remembered", "by": "address", "place": HOME, "rhost": HOME}
        assert expected.items() <= found.items()
        assert not by_ssh(machine, alice, ELSEWHERE, *way)
    assert not by_ssh(machine, alice._replace(password="wrong"), HOME)
    assert by_ssh(machine, alice, HOME)


def test_where_our_line_stands_before_the_password_everybody_is_asked(
    machine: Machine, alice: Account
) -> None:
    """Else it would tell who has been here, to whoever knows the name alone."""
    assert by_ssh(machine, alice, HOME, code=alice.code())
    ours = "auth required pam_totp.so\nauth required pam_unix.so\n"
    machine.use_pam("sshd", ours + "account required pam_unix.so\nsession required pam_unix.so\n")
    client = connect(machine, "alice", HOME)
    assert 0 == client.expect([CODE, PASSWORD])
    client.close()


def test_a_wrong_code_from_elsewhere_ends_it(machine: Machine, alice: Account) -> None:
    assert by_ssh(machine, alice, HOME, code=alice.code())
    assert by_ssh(machine, alice, HOME)
    client = connect(machine, "alice", ELSEWHERE)
    client.answer(PASSWORD, alice.password)
    client.answer(CODE, alice.wrong_code())
    client.expect(EOF)
    assert not by_ssh(machine, alice, HOME)


def test_another_password_ends_it(machine: Machine, alice: Account) -> None:
    assert by_ssh(machine, alice, HOME, code=alice.code())
    machine.add_user("bob", "password of bob")  # the file is another one, the password the same
    assert by_ssh(machine, alice, HOME)
    changed = alice._replace(password="another password")
    machine.run("chpasswd", typed=f"alice:{changed.password}\n")
    assert not by_ssh(machine, changed, HOME)


def test_sudo_asks_for_no_code_in_the_login_that_gave_one_and_in_no_other(
    machine: Machine, alice: Account
) -> None:
    first = connect(machine, "alice", HOME, "-tt", command="sh -i")
    first.answer(PASSWORD, alice.password)
    first.answer(CODE, alice.code())
    first.expect(SHELL)
    assert not is_asked_by_sudo(first, alice)
    assert ("remembered", "login") == tuple(last_event(machine, "sudo")[k] for k in ("event", "by"))
    second = connect(machine, "alice", HOME, "-tt", command="sh -i")
    second.answer(PASSWORD, alice.password)  # the address is known, but no code was given here
    second.expect(SHELL)
    assert is_asked_by_sudo(second, alice)
    assert not is_asked_by_sudo(first, alice)
    first.sendline("exit")
    first.expect(EOF)


def test_sudo_asks_for_no_code_at_the_console_that_gave_one(
    machine: Machine, alice: Account
) -> None:
    machine.use_pam("login", enabling.PASSWORD_STEP)
    assert 0 == totpctl(machine, "enable", "login", "--no-confirm", "--force").returncode
    console = machine.spawn("script", "--quiet", "--return", "--command", GETTY, "/dev/null")
    console.answer("login: ", "alice")
    console.answer("Password: ", alice.password)
    console.answer(CODE, alice.code())
    console.expect(SHELL)
    assert not is_asked_by_sudo(console, alice)
    found = last_event(machine, "sudo")
    assert ("remembered", "login") == (found["event"], found["by"])
    console.sendline("exit")
    console.expect(EOF)


def test_sudo_remembers_a_terminal_until_its_session_ends(machine: Machine, alice: Account) -> None:
    shell = machine.spawn("sh", "-i", user="alice")
    shell.expect(SHELL)
    assert is_asked_by_sudo(shell, alice, code=alice.code())
    assert not is_asked_by_sudo(shell, alice)
    found = last_event(machine, "sudo")
    assert ("remembered", "terminal") == (found["event"], found["by"])
    terminal = found["tty"]
    shell.sendline("exit")
    shell.expect(EOF)
    shell.close()
    again = machine.spawn("sh", "-i", user="alice")
    again.expect(SHELL)
    assert is_asked_by_sudo(again, alice)
    assert terminal == last_event(machine, "sudo")["tty"]  # the same name, of another session


def test_totpctl_names_the_places_and_what_turns_sshd_off_ends_them(
    machine: Machine, alice: Account
) -> None:
    assert by_ssh(machine, alice, HOME, code=alice.code())
    assert f"address {HOME}, by sshd, until " in totpctl(machine, "show", "alice").stdout
    words = "not asked again where a code was right, for 8h (remember)\n"
    assert words in totpctl(machine, "status").stdout
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    done = totpctl(machine, "enable", "sshd", "--no-confirm", "--force")
    assert 0 == done.returncode, done.stderr
    enabling.wait_until(
        lambda: machine.log.text().count(f"Server listening on {HERE} port {SSH_PORT}") == 3,
        "sshd has read its settings again",
    )
    assert not by_ssh(machine, alice, HOME)
