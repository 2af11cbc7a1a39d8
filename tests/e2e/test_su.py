"""su and chsh: setuid programs that hand their caller's environment and folder to PAM modules."""

from __future__ import annotations

import pytest

from tests.e2e import traps
from tests.support import hosts
from tests.support.logs import fields
from tests.support.machine import Account, Machine, Terminal

pytestmark = pytest.mark.root

PASSWORD = "Password: "
CODE = "Verification code: "
LINES = "@include common-auth\nauth required pam_totp.so\n"
REFUSAL = "take pam_totp out of /etc/pam.d/su: pam_python is for sshd and sudo"
NATIVE = hosts.only(*hosts.NATIVE)  # pam_python is refused, see the end


@pytest.fixture
def su(machine: Machine) -> Machine:
    """The machine, whose su asks for password and code; mallory is who runs it."""
    machine.add_user("mallory", "password of mallory")
    machine.use_pam("su", LINES)
    return machine


def start(machine: Machine, **options: object) -> Terminal:
    command = ("/usr/bin/su", "alice", "-c", "/usr/bin/id -un")
    return machine.spawn(*command, user="mallory", **options)


def our_events(machine: Machine, service: str = "su") -> list[str]:
    return [fields(line)["event"] for line in machine.log.lines() if f"pam_totp({service}:" in line]


@NATIVE
def test_password_and_code_of_the_other_user_are_asked(su: Machine, alice: Account) -> None:
    terminal = start(su)
    terminal.answer(PASSWORD, alice.password)
    terminal.answer(CODE, alice.code())
    assert "alice" == terminal.rest().strip()
    line = fields(su.log.wait_for("event=accepted"))
    assert line.pop("tty").startswith(("pts/", "/dev/pts/"))
    assert {
        "module": "su:auth",
        "event": "accepted",
        "user": "alice",
        "ruser": "mallory",
        "authenticator": "phone",
    } == line


@NATIVE
@pytest.mark.parametrize("answer", ["right", "wrong"])
def test_nothing_in_the_callers_environment_and_folder_is_loaded(
    su: Machine, alice: Account, answer: str
) -> None:
    folder = traps.lay(su, "mallory")
    terminal = start(su, cwd=folder, env=traps.environment(folder))
    terminal.answer(PASSWORD, alice.password)
    terminal.answer(CODE, alice.code() if answer == "right" else "junk")
    if answer == "right":
        assert "alice" in terminal.rest()
    else:
        terminal.expect_exact(CODE)
    assert ["accepted" if answer == "right" else "malformed"] == our_events(su)
    assert not traps.is_sprung(su)


@NATIVE
def test_limits_of_the_caller_are_not_the_workers(su: Machine, alice: Account) -> None:
    limits = ("--fsize=0:", "--data=8000000:", "--nofile=16:", "--stack=200000:", "--cpu=5:")
    command = ("prlimit", *limits, "/usr/bin/su", "alice", "-c", "/usr/bin/id -un")
    terminal = su.spawn(*command, user="mallory")
    terminal.answer(PASSWORD, alice.password)
    terminal.answer(CODE, alice.code())
    assert "alice" == terminal.rest().strip()


@NATIVE
def test_chsh_asks_for_the_code_too(machine: Machine, alice: Account) -> None:
    machine.use_pam("chsh", LINES)
    terminal = machine.spawn("chsh", "-s", "/bin/bash", user="alice")
    terminal.answer(PASSWORD, alice.password)
    terminal.answer(CODE, alice.code())
    terminal.rest()
    assert 0 == terminal.exit_status()
    assert machine.run("getent", "passwd", "alice").stdout.endswith(":/bin/bash\n")
    assert ["accepted"] == our_events(machine, "chsh")


@hosts.only(hosts.PAM_PYTHON)
def test_pam_python_is_refused_and_the_log_says_why(su: Machine, alice: Account) -> None:
    terminal = start(su)
    terminal.answer(PASSWORD, alice.password)
    assert CODE not in terminal.rest()
    assert 1 == terminal.exit_status()
    line = fields(su.log.wait_for("pam_totp(su:auth)", "event=error"))
    assert REFUSAL == line["hint"]
    assert su.state("alice")["authenticators"][0]["last_used_at"] is None


@hosts.only(hosts.PAM_PYTHON)
def test_pam_python_loads_what_the_callers_path_leads_to(su: Machine, alice: Account) -> None:
    """Why it is refused; and the traps above do close."""
    folder = traps.lay(su, "mallory")
    terminal = start(su, cwd=folder, env=traps.environment(folder))
    terminal.answer(PASSWORD, alice.password)
    terminal.rest()
    assert 1 == terminal.exit_status()
    assert traps.is_sprung(su)
