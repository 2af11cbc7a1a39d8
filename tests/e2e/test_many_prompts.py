"""Somebody who knows nothing but the password opens prompts, and leaves them open."""

from __future__ import annotations

import pytest

from tests.support import hosts
from tests.support.logs import fields
from tests.support.machine import Account, Machine, Terminal
from tests.support.place import ROOT

pytestmark = [pytest.mark.root, pytest.mark.parametrize("host", [hosts.SERVICE], indirect=True)]

CODE = "Verification code: "
TURNED_AWAY = "Too many logins of yours are waiting for a code."
MORE_THAN_ANYBODY_NEEDS = 55
EXAMPLES = ROOT / "packaging"


@pytest.fixture
def served(machine: Machine) -> Machine:
    """The machine, with codes in sshd, after a key or the password, and in sudo."""
    machine.use_pam("sshd", (EXAMPLES / "pam.d/sshd-key-or-password-and-code").read_text("utf-8"))
    machine.use_pam("sudo", (EXAMPLES / "pam.d/sudo").read_text("utf-8"))
    settings = (EXAMPLES / "sshd_config.d/key-or-password-and-code.conf").read_text("utf-8")
    machine.start_sshd(settings + "MaxStartups 100\n")
    return machine


def ssh(machine: Machine, name: str, *options: str) -> Terminal:
    only = "-oPreferredAuthentications=publickey,keyboard-interactive"
    return machine.ssh(name, only, "-oNumberOfPasswordPrompts=1", *options)


def open_prompts(machine: Machine, user: Account) -> int:
    """Give the password, and no code, until no more code is asked for; return how often it was."""
    for number in range(MORE_THAN_ANYBODY_NEEDS):
        terminal = ssh(machine, user.name)
        terminal.answer("Password: ", user.password)
        if terminal.expect_exact([CODE, TURNED_AWAY]):
            return number
    return MORE_THAN_ANYBODY_NEEDS


def log_in(terminal: Terminal, user: Account, password_prompt: str, code: str) -> str:
    if password_prompt:
        terminal.answer(password_prompt, user.password)
    terminal.answer(CODE, code)
    return terminal.rest().strip()


def test_owner_gets_in_by_sudo_from_elsewhere_and_with_a_key(
    served: Machine, alice: Account
) -> None:
    key = served.give_key("alice")
    opened = open_prompts(served, alice)
    assert 0 < opened < MORE_THAN_ANYBODY_NEEDS
    sudo = served.spawn("sudo", "-k", "id", "-un", user="alice")
    assert "root" == log_in(sudo, alice, "password for alice: ", alice.recovery_codes[0])
    by_password = ssh(served, "alice", "-b127.0.0.2")
    assert "welcome alice" == log_in(by_password, alice, "Password: ", alice.code())
    by_key = ssh(served, "alice", "-b127.0.0.2", f"-i{key}")
    assert "welcome alice" == log_in(by_key, alice, "", alice.code(+1))
    line = fields(served.log.wait_for('reason="too many prompts"'))
    assert ("throttled", "alice", "127.0.0.1") == (line["event"], line["user"], line["rhost"])
    assert f"{opened} logins wait from 127.0.0.1" in line["detail"]


def test_sudo_says_why_it_turns_its_own_caller_away(served: Machine, alice: Account) -> None:
    """sudo shows prompts alone, and would say no more than "Sorry, try again."."""
    for _ in range(MORE_THAN_ANYBODY_NEEDS):
        sudo = served.spawn("sudo", "-k", "id", "-un", user="alice")
        sudo.answer("password for alice: ", alice.password)
        if sudo.expect_exact([CODE, TURNED_AWAY, "Sorry, try again."]):
            break
    assert TURNED_AWAY == sudo.after
    sudo.answer("Press Enter: ", "")
    sudo.expect_exact("Sorry, try again.")
