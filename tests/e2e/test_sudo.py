"""A real sudo, run by an ordinary user who owns the environment and the current directory."""

from __future__ import annotations

import json

import pytest

from tests.e2e import traps
from tests.support import hosts
from tests.support.logs import fields
from tests.support.machine import Account, Machine, Terminal
from tests.support.place import ROOT

pytestmark = pytest.mark.root

PASSWORD = "password for alice: "
CODE = "Verification code: "
SUDO = ("/usr/bin/sudo", "-k", "-S", "/usr/bin/id", "-un")  # whatever PATH is


@pytest.fixture
def sudo(machine: Machine) -> Machine:
    """The machine, whose sudo asks for password and code as the example has it."""
    machine.use_pam("sudo", (ROOT / "packaging/pam.d/sudo").read_text("utf-8"))
    return machine


def start(machine: Machine) -> Terminal:
    return machine.spawn("sudo", "-k", "id", "-un", user="alice")


def our_events(machine: Machine) -> list[str]:
    return [fields(line)["event"] for line in machine.log.lines() if "pam_totp(sudo:" in line]


def test_password_and_code_run_the_command(sudo: Machine, alice: Account) -> None:
    terminal = start(sudo)
    terminal.answer(PASSWORD, alice.password)
    terminal.answer(CODE, alice.code())
    assert "root" == terminal.rest().strip()
    assert 0 == terminal.exit_status()
    line = fields(sudo.log.wait_for("event=accepted"))
    assert line.pop("tty").startswith("/dev/pts/")
    assert {
        "module": "sudo:auth",
        "event": "accepted",
        "user": "alice",
        "ruser": "alice",
        "authenticator": "phone",
    } == line


def test_right_code_after_a_wrong_one_needs_no_new_password(sudo: Machine, alice: Account) -> None:
    terminal = start(sudo)
    terminal.answer(PASSWORD, alice.password)
    terminal.answer(CODE, alice.wrong_code())
    terminal.answer(CODE, alice.code())
    assert PASSWORD not in terminal.before
    assert "root" == terminal.rest().strip()
    assert ["rejected", "accepted"] == our_events(sudo)


@pytest.mark.parametrize("by", ["sudo -p", "passprompt_override"])
def test_prompt_of_sudos_own_stands_in_place_of_every_one_of_pam(
    sudo: Machine, alice: Account, by: str
) -> None:
    """What docs/howto/sudo.md says: the first answer is the password, the second the code."""
    if by == "passprompt_override":
        sudoers = sudo.read("/etc/sudoers") + "Defaults passprompt_override, passprompt=mine:\n"
        sudo.write("/etc/sudoers", sudoers, mode=0o440)
    options = ("-p", "mine:") if by == "sudo -p" else ()
    terminal = sudo.spawn("sudo", "-k", *options, "id", "-un", user="alice")
    terminal.answer("mine:", alice.password)
    terminal.answer("mine:", alice.code())
    assert "root" == terminal.rest().strip()


def test_wrong_codes_run_nothing(sudo: Machine, alice: Account) -> None:
    wrong = alice.wrong_code()
    answers = "\n".join([alice.password, wrong, wrong, wrong, ""])
    done = sudo.run("sudo", "-k", "-S", "id", "-un", user="alice", typed=answers, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    assert ["rejected"] * 3 == our_events(sudo)
    assert 3 == sudo.state("alice")["failures"]


def test_wrong_password_never_reaches_the_code_prompt(sudo: Machine, alice: Account) -> None:
    answers = f"wrong\n{alice.code()}\n{alice.code()}\n"
    done = sudo.run("sudo", "-k", "-S", "id", "-un", user="alice", typed=answers, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    assert CODE not in done.stderr
    assert [] == our_events(sudo)


def test_password_without_a_code_runs_nothing(sudo: Machine, alice: Account) -> None:
    answers = f"{alice.password}\n"
    done = sudo.run("sudo", "-k", "-S", "id", "-un", user="alice", typed=answers, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    assert CODE in done.stderr
    line = fields(sudo.log.wait_for("pam_totp(sudo:auth)", "event=aborted"))
    assert line["reason"].startswith("conversation: ")


def test_a_store_that_fails_is_said_in_a_prompt_of_its_own(sudo: Machine, alice: Account) -> None:
    """sudo shows no messages, and says "Sorry, try again." to whatever went wrong."""
    sudo.run("mv", "/var/lib/pam_totp/store.db", "/root/")
    terminal = start(sudo)
    terminal.answer(PASSWORD, alice.password)
    terminal.answer("Press Enter: ", "")
    assert "Verification codes cannot be checked right now." in terminal.before
    assert "An administrator can find the reason in the system log." in terminal.before
    assert ["error"] == our_events(sudo)


@hosts.only(hosts.SPAWNED)  # with a service there is a worker, and pam_python needs none
def test_so_is_a_worker_that_cannot_be_asked(sudo: Machine, alice: Account) -> None:
    sudo.write("/usr/lib/pam_totp/worker", "raise SystemExit(1)\n", mode=0o755)
    terminal = start(sudo)
    terminal.answer(PASSWORD, alice.password)
    terminal.answer("Press Enter: ", "")
    assert "Verification codes cannot be checked right now." in terminal.before
    sudo.log.wait_for("no worker could be asked")


def test_sudo_logs_under_its_own_name_after_the_hook(
    sudo: Machine, alice: Account, host: str
) -> None:
    answers = f"{alice.password}\n{alice.code()}\n"
    sudo.run("sudo", "-k", "-S", "id", "-un", user="alice", typed=answers)
    command = sudo.log.wait_for("COMMAND=")
    ours = sudo.log.wait_for("event=accepted")
    assert sudo.log.lines().index(ours) < sudo.log.lines().index(command)
    after = command.split(">", 1)[1][len("Nov 22 15:28:16 ") :]
    assert after.startswith("sudo:    alice : ")
    assert hosts.program(ours).startswith("sudo[" if host == hosts.PAM_PYTHON else "pam_totp[")


def test_nothing_that_sudo_is_told_can_be_seen_from_outside(sudo: Machine, alice: Account) -> None:
    terminal = start(sudo)
    terminal.answer(PASSWORD, alice.password)
    terminal.expect_exact(CODE)
    seen = sudo.whatever_shows()
    code = alice.code()
    terminal.sendline(code)
    shown = terminal.rest()
    assert "root" == shown.strip()
    sudo.log.wait_for("event=accepted")
    assert "sudo\n-k\nid\n-un" in seen
    secrets = [alice.password, code, alice.secret.hex(), *alice.recovery_codes]
    for place in (seen, shown, sudo.log.text()):
        assert [] == [secret for secret in secrets if secret in place]


@pytest.mark.parametrize("answer", ["right", "wrong"])
def test_hostile_environment_and_folder_change_nothing(
    sudo: Machine, alice: Account, answer: str
) -> None:
    folder = traps.lay(sudo, "alice")
    hostile = traps.environment(folder)
    code = alice.code() if answer == "right" else alice.wrong_code()
    answers = f"{alice.password}\n{code}\n"
    done = sudo.run(*SUDO, user="alice", cwd=folder, env=hostile, typed=answers, check=False)
    assert ("root\n" if answer == "right" else "") == done.stdout
    assert (["accepted"] if answer == "right" else ["rejected", "aborted"]) == our_events(sudo)
    assert not traps.is_sprung(sudo)


def test_traps_of_the_hostile_folder_do_close(sudo: Machine, alice: Account) -> None:
    """The test above can fail: root's own Python, without -I, falls into them."""
    folder = traps.lay(sudo, "alice")
    sudo.run("/usr/bin/python3", "-c", "import hmac", env={"PYTHONPATH": folder}, check=False)
    assert traps.is_sprung(sudo)


def test_modules_of_usr_local_are_not_used(sudo: Machine, alice: Account) -> None:
    """What pip put there for root's own use must not run, or break, in a login."""
    found = "import sys; print(f'/usr/local/lib/python3.{sys.version_info[1]}/dist-packages')"
    folder = sudo.run("/usr/bin/python3", "-c", found).stdout.strip()
    for module in ("nacl", "_cffi_backend", "pam_totp"):
        sudo.write(f"{folder}/{module}.py", "raise SystemExit(1)\n")
    answers = f"{alice.password}\n{alice.code()}\n"
    assert "root\n" == sudo.run("sudo", "-kS", "id", "-un", user="alice", typed=answers).stdout


def test_claim_to_have_come_with_a_key_is_not_believed(machine: Machine, alice: Account) -> None:
    example = (ROOT / "packaging/pam.d/sshd-key-or-password-and-code").read_text("utf-8")
    machine.use_pam("sudo", example)
    hostile = {"SSH_AUTH_INFO_0": "publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI\n"}
    done = machine.run(
        "sudo",
        "-k",
        "-S",
        "id",
        "-un",
        user="alice",
        env=hostile,
        typed=f"{alice.code()}\n",
        check=False,
    )
    assert "" == done.stdout
    assert CODE not in done.stderr
    line = fields(machine.log.wait_for("pam_totp(sudo:auth)", "event=error"))
    assert "first_factor=key works in sshd's PAM file only" == line["reason"]


@pytest.fixture
def callers_path(sudo: Machine) -> dict[str, str]:
    """A PATH that leads to a Python of alice's, under a sudo that keeps what its caller gives."""
    sudo.write("/etc/sudoers", "%sudo ALL=(ALL:ALL) ALL\n", mode=0o440)
    copy = "mkdir -p bin lib; cp /usr/bin/python3 bin/; cp -r /usr/lib/python3.* lib/"
    sudo.run("sh", "-c", copy, user="alice", cwd="/home/alice")
    return {"PATH": "/home/alice/bin"}


@hosts.only(hosts.PAM_PYTHON)  # the others start no interpreter by its name, see below
def test_library_that_the_callers_path_leads_to_is_refused_without_secure_path(
    sudo: Machine, alice: Account, callers_path: dict[str, str]
) -> None:
    answers = f"{alice.password}\n{alice.code()}\n"
    done = sudo.run(*SUDO, user="alice", env=callers_path, typed=answers, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    assert CODE not in done.stderr
    line = fields(sudo.log.wait_for("pam_totp(sudo:auth)", "event=error"))
    assert "PATH led the interpreter to /home/alice/lib/" in line["reason"]
    assert line["hint"].startswith("set secure_path in sudoers")


@hosts.only(*hosts.NATIVE)
def test_callers_path_is_nothing_to_the_worker(
    sudo: Machine, alice: Account, callers_path: dict[str, str]
) -> None:
    answers = f"{alice.password}\n{alice.code()}\n"
    assert "root\n" == sudo.run(*SUDO, user="alice", env=callers_path, typed=answers).stdout
    assert ["accepted"] == our_events(sudo)


def test_unenrolled_user_under_skip_needs_the_password_alone(sudo: Machine) -> None:
    machine = sudo
    machine.add_user("bob", "password of bob", "--groups", "sudo")
    machine.use_pam("sudo", "@include common-auth\nauth required pam_totp.so nullok\n")
    done = machine.run("sudo", "-kS", "id", "-un", user="bob", typed="password of bob\n")
    assert "root\n" == done.stdout
    assert ["skipped"] == our_events(machine)


def test_enroll_without_a_name_is_for_the_person_who_ran_sudo(machine: Machine) -> None:
    machine.add_user("bob", "correct horse")
    machine.run("sh", "-c", "echo 'ALL ALL = (ALL) NOPASSWD: ALL' >>/etc/sudoers")
    command = ("sudo", "totpctl", "enroll", "--no-confirm", "--json")
    done = machine.run(*command, user="bob", env={"SUDO_UID": "0", "SUDO_USER": "alice"})
    assert "bob" == json.loads(done.stdout)["user"]
    assert done.stderr.startswith("this enrolls bob, who ran sudo\n")
    for refused in (command, command[1:]):  # here root ran it
        done = machine.run(*refused, check=False)
        assert (2, "") == (done.returncode, done.stdout)
        assert "name a USER, or many people with --from or --group" in done.stderr
    done = machine.run(*command, "", user="bob", check=False)  # a script's empty variable
    assert (3, "") == (done.returncode, done.stdout)
