"""What a person reads at the prompt of ssh, su and sudo, as it appears there."""

from __future__ import annotations

import copy

import pytest

from tests.support import hosts
from tests.support.machine import Account, Machine, Terminal
from tests.support.place import ROOT

pytestmark = pytest.mark.root

CODE = "Verification code: "
WRONG = "Wrong code. Enter the current code from your app, or a recovery code."
USED = "This code has already been used. Wait for the next one (at most "
TOO_MANY = "Wrong code. Too many in a row: wait 30 seconds before the next try."
THROTTLED = "Too many wrong codes. Wait "
EXAMPLES = ROOT / "packaging"
LINES = "@include common-auth\nauth required pam_totp.so\n"
OF_SU = [host for host in hosts.ALL if host != hosts.PAM_PYTHON]  # which refuses to run in it


class Door:
    """One way in; ``refused`` is what it says to who is not let in."""

    def __init__(self, name: str, machine: Machine) -> None:
        self.name = name
        self.machine = machine
        machine.use_pam(name.replace("ssh", "sshd"), LINES)
        if name == "ssh":
            example = EXAMPLES / "sshd_config.d" / "password-and-code.conf"
            machine.start_sshd(example.read_text("utf-8"))
        else:
            machine.add_user("mallory", "password of mallory")

    def knock(self, user: Account | str, password: str = "") -> Terminal:
        """Come as far as the prompt for a code, which is not read yet."""
        name = user if isinstance(user, str) else user.name
        password = password if isinstance(user, str) else user.password
        if self.name == "ssh":
            only = "-oPreferredAuthentications=keyboard-interactive"
            terminal = self.machine.ssh(name, "-tt", only, "-oNumberOfPasswordPrompts=1")
        elif self.name == "su":
            command = ("/usr/bin/su", name, "-c", "echo welcome $USER")
            terminal = self.machine.spawn(*command, user="mallory")
        else:
            command = ("sudo", "-k", "sh", "-c", "echo welcome $SUDO_USER")
            terminal = self.machine.spawn(*command, user=name)
        prompt = f"password for {name}: " if self.name == "sudo" else "Password: "
        terminal.answer(prompt, password)
        return terminal


@pytest.fixture(params=["ssh", "su"])
def door(request: pytest.FixtureRequest, machine: Machine) -> Door:
    """Where messages are shown."""
    return Door(request.param, machine)


@pytest.fixture
def sudo(machine: Machine) -> Door:
    """Where they are not (PAM_SILENT): what has to be said is said in the prompt."""
    return Door("sudo", machine)


def fail(machine: Machine, times: int, name: str = "alice") -> None:
    """Have a user fail so often, where nobody waits for it."""
    script = (
        "from pam_totp import store\n"
        "from pam_totp.store import sealing\n"
        "from pam_totp.system import config\n"
        "settings = config.load().config\n"
        "sealer = sealing.read_sealer(settings.sealing_key)\n"
        "with store.open_store(settings.store, sealer) as opened, "
        f"opened.transaction({name!r}) as transaction:\n"
        f"    transaction.save(transaction.record._replace(failures={times}, untold={times}))\n"
    )
    path = "import sys; sys.path.insert(0, '/usr/lib/pam_totp')\n"
    machine.run("/usr/bin/python3", "-c", path + script)


def throttle(door: Door, alice: Account) -> None:
    """Give five wrong codes."""
    fail(door.machine, 4)
    terminal = door.knock(alice)
    terminal.answer(CODE, alice.wrong_code())
    terminal.rest() if door.name != "sudo" else terminal.expect_exact("password for alice: ")


def test_wrong_and_used_codes_are_told_apart(door: Door, alice: Account) -> None:
    code = alice.code()
    first = door.knock(alice)
    first.answer(CODE, code)
    assert "welcome alice" in first.rest()
    terminal = door.knock(alice)
    terminal.answer(CODE, alice.wrong_code())
    terminal.answer(CODE, code)
    assert WRONG in terminal.before
    assert USED not in terminal.before
    terminal.answer(CODE, alice.code(+1))
    assert USED in terminal.before
    assert "welcome alice" in terminal.rest()


def test_who_has_to_wait_is_told_how_long(door: Door, alice: Account) -> None:
    fail(door.machine, 4)
    terminal = door.knock(alice)
    terminal.answer(CODE, alice.wrong_code())
    assert TOO_MANY in terminal.rest()
    terminal = door.knock(alice)
    terminal.answer(CODE, alice.code())
    shown = terminal.rest()
    assert THROTTLED in shown
    assert " seconds before the next try." in shown
    assert "welcome" not in shown


def test_recovery_codes_are_counted_with_a_warning_at_three(door: Door, alice: Account) -> None:
    shown = []
    for code in alice.recovery_codes[:7]:
        terminal = door.knock(alice)
        terminal.answer(CODE, code)
        shown.append(terminal.rest())
    assert all("welcome alice" in text for text in shown)
    for left, text in zip(range(9, 2, -1), shown, strict=True):
        assert f"Recovery code accepted. It is used up; {left} left." in text
        warned = "Ask an administrator for new ones: totpctl recovery-codes" in text
        assert warned == (left <= 3)


def test_failures_of_others_are_told_after_the_login_once(door: Door, alice: Account) -> None:
    intruder = door.knock(alice)
    for _ in range(3):
        intruder.answer(CODE, alice.wrong_code())
    intruder.rest()
    terminal = door.knock(alice)
    terminal.answer(CODE, alice.code())
    shown = terminal.rest()
    told = "3 wrong codes since the last login. If they were not yours, change your password."
    assert told in shown
    assert "welcome alice" in shown
    again = door.knock(alice)
    again.answer(CODE, alice.code(+1))
    assert "wrong code" not in again.rest()


def test_a_typo_of_the_same_login_is_not_told_again(door: Door, alice: Account) -> None:
    terminal = door.knock(alice)
    terminal.answer(CODE, alice.wrong_code())
    terminal.answer(CODE, alice.code())
    shown = terminal.rest()
    assert "welcome alice" in shown
    assert "since the last login" not in shown


# ssh


@hosts.only(hosts.SERVICE)  # what sshd makes of a message is the same for all
@pytest.mark.parametrize(
    ("terminal", "command", "times"),
    [("-tt", "echo welcome", (1,)), ("-T", "", (1, 2)), ("-tt", "", (1, 2))],
    ids=["a command", "a shell without a terminal", "a shell"],
)
def test_what_is_told_after_a_login_is_read_in_every_kind_of_session(
    machine: Machine, alice: Account, terminal: str, command: str, times: tuple[int, ...]
) -> None:
    """Twice in a shell, unless sshd empties its buffer after the banner: docs/howto/ssh.md."""
    Door("ssh", machine)
    fail(machine, 2)
    only = "-oPreferredAuthentications=keyboard-interactive"
    client = machine.ssh("alice", only, terminal, command=command)
    client.answer("Password: ", alice.password)
    client.answer(CODE, alice.code())
    told = "2 wrong codes since the last login."
    client.expect_exact(told)
    if not command:  # not before: what is typed early is thrown away with the prompt
        client.expect_exact("$ " if terminal == "-tt" else "\n")
        seen = client.before
        client.sendline("exit")
    else:
        seen = ""
    assert 1 + (seen + client.rest()).count(told) in times


# sudo


def test_at_sudo_the_prompt_says_what_was_wrong_with_the_answer_before(
    sudo: Door, alice: Account
) -> None:
    code = alice.code()
    first = sudo.knock(alice)
    first.answer(CODE, code)
    assert "" == first.before.strip()
    assert "welcome alice" == first.rest().strip()
    terminal = sudo.knock(alice)
    terminal.answer(CODE, alice.wrong_code())
    terminal.answer(CODE, code)
    assert WRONG in terminal.before.strip().split("\r\n")
    terminal.answer(CODE, alice.code(+1))
    assert USED in terminal.before
    assert WRONG not in terminal.before
    assert "welcome alice" == terminal.rest().strip()


def test_at_sudo_the_prompt_says_that_one_has_to_wait(sudo: Door, alice: Account) -> None:
    throttle(sudo, alice)
    terminal = sudo.knock(alice)
    terminal.expect_exact(CODE)
    assert THROTTLED in terminal.before


def test_at_sudo_who_is_not_enrolled_reads_the_same(sudo: Door) -> None:
    sudo.machine.add_user("bob", "password of bob", "--groups", "sudo")
    terminal = sudo.knock("bob", "password of bob")
    for _ in range(3):
        terminal.answer(CODE, "123456")
    assert WRONG in terminal.before
    terminal.answer("password for bob: ", "password of bob")
    for _ in range(2):
        terminal.answer(CODE, "123456")
    terminal.answer("password for bob: ", "password of bob")
    terminal.expect_exact(CODE)
    assert THROTTLED in terminal.before


@pytest.mark.parametrize("host", OF_SU, indirect=True)
def test_wrong_codes_that_sudo_could_not_show_are_told_where_messages_are(
    machine: Machine, alice: Account
) -> None:
    """Three wrong codes, then the owner's sudo: nothing had been said of them anywhere."""
    sudo = Door("sudo", machine)
    machine.use_pam("su", LINES)
    su = copy.copy(sudo)
    su.name = "su"
    intruder = su.knock(alice)
    for _ in range(3):
        intruder.answer(CODE, alice.wrong_code())
    intruder.rest()
    owner = sudo.knock(alice)
    owner.answer(CODE, alice.code())
    assert "welcome alice" in owner.rest()
    for told in (True, False):
        terminal = su.knock(alice)
        terminal.answer(CODE, alice.code(+1) if told else alice.recovery_codes[0])
        shown = terminal.rest()
        assert "welcome alice" in shown
        assert told == ("3 wrong codes since the last login." in shown)
