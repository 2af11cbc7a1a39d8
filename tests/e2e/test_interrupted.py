"""Logins that are stopped, broken off or left waiting: nobody else notices, and nothing stays."""

from __future__ import annotations

from itertools import count

import pytest

from tests.support import hosts, thorough
from tests.support.logs import fields
from tests.support.machine import Account, Machine, Terminal
from tests.support.place import ROOT

pytestmark = pytest.mark.root

PASSWORD = "password for alice: "
SSH_PASSWORD = "Password: "
CODE = "Verification code: "
NATIVE = hosts.only(*hosts.NATIVE)


@pytest.fixture
def sudo(machine: Machine) -> Machine:
    """The machine, whose sudo asks for password and code as the example has it."""
    machine.use_pam("sudo", (ROOT / "packaging/pam.d/sudo").read_text("utf-8"))
    return machine


def at_the_prompt(machine: Machine, alice: Account) -> Terminal:
    terminal = machine.spawn("sudo", "-k", "id", "-un", user="alice")
    wait_at_the_prompt(machine, terminal, alice)
    return terminal


def wait_at_the_prompt(machine: Machine, terminal: Terminal, alice: Account) -> None:
    """Until sudo sleeps: it does not see a signal that comes between its prompt and read(2)."""
    terminal.answer(PASSWORD, alice.password)
    terminal.expect_exact(CODE)
    sleeps = "grep -q '^State:.S' /proc/$(pgrep -o -x sudo)/status"
    machine.run("sh", "-c", f"until {sleeps}; do :; done")


def start_sshd(machine: Machine, config: str = "") -> None:
    packaging = ROOT / "packaging"
    machine.use_pam("sshd", (packaging / "pam.d/sshd-password-and-code").read_text("utf-8"))
    example = (packaging / "sshd_config.d/password-and-code.conf").read_text("utf-8")
    machine.start_sshd(config + example)


def ssh_at_the_prompt(machine: Machine, alice: Account) -> Terminal:
    client = machine.ssh("alice")
    client.answer(SSH_PASSWORD, alice.password)
    client.expect_exact(CODE)
    return client


def run_sudo(machine: Machine, account: Account, answer: str) -> str:
    """Return what ``sudo id -un`` says at the answer."""
    answers = f"{account.password}\n{answer}\n"
    command = ("sudo", "-k", "-S", "id", "-un")
    return machine.run(*command, user=account.name, typed=answers, check=False).stdout


def is_served(machine: Machine, host: str) -> bool:
    """Tell whether a worker is at some login, by its connection or, being alone, its process."""
    accepted = f" 03 +[0-9]+ {hosts.SOCKET}$"
    command = ("grep", "-Eq", accepted, "/proc/net/unix")
    if host == hosts.SPAWNED:
        command = ("pgrep", "-x", "pam_totp")
    return machine.run(*command, check=False).returncode == 0


def wait_until_nobody_is_served(machine: Machine, host: str) -> None:
    """The application is gone: its worker hears of it at once."""
    machine.log.wait_for("event=aborted", "conversation: the application is gone")
    while is_served(machine, host):
        pass


def our_events(machine: Machine) -> list[str]:
    return [fields(line)["event"] for line in machine.log.lines() if ":auth): event=" in line]


@NATIVE
def test_worker_lets_go_of_a_sudo_that_is_killed_at_the_prompt(
    sudo: Machine, alice: Account, host: str
) -> None:
    at_the_prompt(sudo, alice)
    assert is_served(sudo, host)
    sudo.run("pkill", "-KILL", "-x", "sudo")
    wait_until_nobody_is_served(sudo, host)
    assert 0 == sudo.state("alice")["failures"]
    assert "root\n" == run_sudo(sudo, alice, alice.code())


@NATIVE
def test_worker_lets_go_of_a_person_who_hangs_up(
    machine: Machine, alice: Account, host: str
) -> None:
    start_sshd(machine)
    client = ssh_at_the_prompt(machine, alice)
    assert is_served(machine, host)
    client.close()
    wait_until_nobody_is_served(machine, host)
    assert 0 == machine.state("alice")["failures"]


@NATIVE
def test_worker_lets_go_when_the_grace_time_of_sshd_is_over(
    machine: Machine, alice: Account, host: str
) -> None:
    start_sshd(machine, "LoginGraceTime 3\n")
    client = ssh_at_the_prompt(machine, alice)
    assert is_served(machine, host)
    wait_until_nobody_is_served(machine, host)
    client.sendline(alice.code())  # ssh looks at the connection when it has something to send
    assert "welcome" not in client.rest()
    assert 255 == client.exit_status()
    assert 0 == machine.state("alice")["failures"]


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_a_prompt_that_is_left_ends_sudo_and_is_no_guess_and_no_error(
    sudo: Machine, alice: Account, key: str
) -> None:
    terminal = at_the_prompt(sudo, alice)
    terminal.send(key)
    assert "root" not in terminal.rest()
    assert 1 == terminal.exit_status()
    assert ["aborted"] == our_events(sudo)
    assert 0 == sudo.state("alice")["failures"]
    assert "root\n" == run_sudo(sudo, alice, alice.code())


def test_ctrl_z_at_the_prompt_holds_up_nobody_and_the_login_goes_on(
    sudo: Machine, alice: Account
) -> None:
    bob = sudo.enrol("bob")
    shell = sudo.spawn("/bin/bash", "--norc", "-i", user="alice")
    shell.sendline("sudo -k id -un")
    wait_at_the_prompt(sudo, shell, alice)
    shell.send("\x1a")
    shell.expect_exact("Stopped")
    assert "root\n" == run_sudo(sudo, bob, bob.code())
    shell.sendline("fg")
    shell.answer(CODE, alice.code())
    shell.expect_exact("root")
    assert ["accepted", "accepted"] == our_events(sudo)


@NATIVE
def test_caller_cannot_signal_the_worker(sudo: Machine, alice: Account) -> None:
    at_the_prompt(sudo, alice)
    pid = sudo.run("pgrep", "-x", "pam_totp").stdout.strip()
    for signal in ("-STOP", "-KILL", "-TERM", "-CONT"):
        refused = sudo.run("kill", signal, pid, user="alice", check=False)
        assert (1, True) == (refused.returncode, "not permitted" in refused.stderr)


@NATIVE
@pytest.mark.parametrize("call", thorough.some(["connect", "sendto", "recvfrom"], 2))
def test_sudo_that_is_stopped_at_any_moment_holds_up_nobody(
    sudo: Machine, alice: Account, call: str
) -> None:
    """Its caller may stop it: here after each system call on the way to the worker and back."""
    bob = sudo.enrol("bob")
    sudo.write("/answers", f"{alice.password}\njunk\n")
    stop, stopped = "stopped by SIGSTOP", 0
    for number in count(1):
        trace = f"/trace.{number}"
        inject = f"inject={call}:signal=STOP:when={number}"
        command = f"exec strace -u alice -o {trace} -e {inject} sudo -k -S true </answers"
        terminal = sudo.spawn("sh", "-c", command)
        ended = f"grep -sqE '^[+]{{3}} exited|{stop}' {trace}"
        sudo.run("sh", "-c", f"until {ended}; do sleep 0.01; done")
        if stop not in sudo.read(trace):
            break
        assert "root\n" == run_sudo(sudo, bob, bob.recovery_codes[stopped])
        stopped += 1
        sudo.run("pkill", "-KILL", "-x", "sudo")
        terminal.rest()
    assert stopped >= (1 if call == "connect" else 2)


HOLDER = """
import sqlite3
connection = sqlite3.connect("/var/lib/pam_totp/store.db", isolation_level=None)
input()
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
input()
connection.execute("ROLLBACK")
"""


@hosts.only(hosts.PAM_PYTHON)  # the others leave the store to a worker: see above
def test_caller_cannot_stop_sudo_while_it_is_at_the_store(sudo: Machine, alice: Account) -> None:
    """Stopped in a transaction, it would keep everybody from logging in."""
    holder = sudo.spawn("/usr/bin/python3", "-c", HOLDER)
    terminal = at_the_prompt(sudo, alice)
    pid = sudo.run("pgrep", "-o", "-x", "sudo").stdout.strip()

    def signalled(signal: str) -> bool:
        return sudo.run("kill", signal, pid, user="alice", check=False).returncode == 0

    assert signalled("-CONT")  # at the prompt it is the caller's to stop
    holder.sendline("")
    holder.expect_exact("held")
    terminal.sendline(alice.code())
    sudo.run("sh", "-c", f"until grep -q '^Uid:.0.0.0.0$' /proc/{pid}/status; do :; done")
    assert not signalled("-STOP")
    assert not signalled("-KILL")
    holder.sendline("")
    sudo.log.wait_for("event=accepted")
