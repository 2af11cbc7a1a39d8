"""A real sudo, run by an ordinary user who owns the environment and the current directory."""

from __future__ import annotations

import pytest

from tests.support.logs import fields
from tests.support.machine import ENVIRONMENT, Account, Machine, Terminal
from tests.support.place import ROOT

pytestmark = pytest.mark.root

PASSWORD = "password for alice: "
CODE = "Verification code: "
HOOK = "pam_python.so /usr/lib/pam_totp/hook.py"


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
    line = fields(sudo.log.wait_for("pam_totp(sudo:auth)", "event=error"))
    assert line["reason"].startswith("conversation: ")


def test_recovery_code_runs_the_command_once(sudo: Machine, alice: Account) -> None:
    answers = f"{alice.password}\n{alice.recovery_codes[0]}\n"
    command = ("sudo", "-k", "-S", "id", "-un")
    first = sudo.run(*command, user="alice", typed=answers)
    again = sudo.run(*command, user="alice", typed=answers, check=False)
    assert ("root\n", "") == (first.stdout, again.stdout)
    assert ["recovery_used", "rejected"] == our_events(sudo)[:2]
    assert 9 == sudo.state("alice")["recovery_codes_left"]


def test_code_used_for_ssh_is_used_for_sudo_too(sudo: Machine, alice: Account) -> None:
    """One store, whatever the service: here two sudo lines of different users' shells."""
    answers = f"{alice.password}\n{alice.code(+1)}\n"
    command = ("sudo", "-k", "-S", "id", "-un")
    assert "root\n" == sudo.run(*command, user="alice", typed=answers).stdout
    again = sudo.run(*command, user="alice", typed=answers, check=False)
    assert "" == again.stdout
    assert ["accepted", "replayed"] == our_events(sudo)[:2]


def test_sudo_logs_under_its_own_name_after_the_hook(sudo: Machine, alice: Account) -> None:
    answers = f"{alice.password}\n{alice.code()}\n"
    sudo.run("sudo", "-k", "-S", "id", "-un", user="alice", typed=answers)
    command = sudo.log.wait_for("COMMAND=")
    ours = sudo.log.wait_for("event=accepted")
    assert sudo.log.lines().index(ours) < sudo.log.lines().index(command)
    after = command.split(">", 1)[1][len("Nov 22 15:28:16 ") :]
    assert after.startswith("sudo:    alice : ")
    assert " sudo[" in ours


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


TRAPPED_MODULES = (
    "_blake2",
    "_cffi_backend",
    "_hashlib",
    "_socket",
    "_sqlite3",
    "admin_cli",
    "audit",
    "codecs",
    "collections",
    "datetime",
    "encodings",
    "fcntl",
    "grp",
    "hashlib",
    "hmac",
    "hook",
    "login",
    "nacl",
    "os",
    "pam_totp",
    "pwd",
    "re",
    "resource",
    "sitecustomize",
    "socket",
    "sqlite3",
    "stat",
    "store",
    "syslog",
    "time",
    "traceback",
    "typing",
    "usercustomize",
)
MARKER = "/trap-was-loaded"  # where root alone can write


def lay_traps(machine: Machine) -> str:
    """Make a folder of alice's full of modules that leave MARKER when root loads them."""
    folder = "/home/alice/traps"
    trap = (
        "import posix\n"
        f"try: posix.close(posix.open({MARKER!r}, posix.O_CREAT | posix.O_WRONLY))\n"
        "except OSError: pass\n"
    )
    script = (
        'mkdir -p "$1" && cd "$1" && cat >trap && shift && for name; do '
        'cp trap "$name.py"; mkdir "$name"; cp trap "$name/__init__.py"; done; '
        "version=$(/usr/bin/python3 -Ic 'import sys; print(*sys.version_info[:2], sep=\".\")'); "
        "mkdir -p bin lib/python$version ../.local/lib/python$version/site-packages; "
        "cp /usr/bin/python3 bin/; cp -r *.py encodings collections lib/python$version/; "
        "cp *.py ../.local/lib/python$version/site-packages/; "
        "echo 'import usercustomize' >../.local/lib/python$version/site-packages/trap.pth"
    )
    machine.run("sh", "-c", script, "sh", folder, *TRAPPED_MODULES, user="alice", typed=trap)
    return folder


@pytest.mark.parametrize("answer", ["right", "wrong"])
def test_hostile_environment_and_folder_change_nothing(
    sudo: Machine, alice: Account, answer: str
) -> None:
    folder = lay_traps(sudo)
    hostile = {
        "PYTHONPATH": folder,
        "PYTHONHOME": folder,
        "PYTHONSTARTUP": f"{folder}/os.py",
        "PYTHONUSERBASE": "/home/alice/.local",
        "PYTHONPLATLIBDIR": f"{folder}/lib",
        "PYTHONINSPECT": "1",
        "PYTHONBREAKPOINT": "os.system",
        "PYTHONWARNINGS": "error",
        "PYTHONEXECUTABLE": f"{folder}/bin/python3",
        "PYTHONPYCACHEPREFIX": folder,
        "PATH": f"{folder}/bin:{folder}:{ENVIRONMENT['PATH']}",
        "HOME": folder,
        "TZ": f":{folder}/trap",
        "LC_ALL": "tr_TR.UTF-8",
        "LOCPATH": folder,
        "LD_LIBRARY_PATH": folder,
        "LD_PRELOAD": f"{folder}/trap",
        "TMPDIR": folder,
        "SQLITE_TMPDIR": folder,
        "PAM_TOTP_CONFIG": f"{folder}/trap",
        "unenrolled": "skip",
        "nullok": "1",
    }
    code = alice.code() if answer == "right" else alice.wrong_code()
    done = sudo.run(
        "/usr/bin/sudo",
        "-k",
        "-S",
        "/usr/bin/id",
        "-un",
        user="alice",
        cwd=folder,
        env=hostile,
        typed=f"{alice.password}\n{code}\n",
        check=False,
    )
    assert ("root\n" if answer == "right" else "") == done.stdout
    assert (["accepted"] if answer == "right" else ["rejected", "error"]) == our_events(sudo)
    assert 1 == sudo.run("test", "-e", MARKER, check=False).returncode


def test_traps_of_the_hostile_folder_do_close(sudo: Machine, alice: Account) -> None:
    """The test above can fail: root's own Python, without -I, falls into them."""
    folder = lay_traps(sudo)
    sudo.run("/usr/bin/python3", "-c", "import hmac", env={"PYTHONPATH": folder}, check=False)
    sudo.run("test", "-e", MARKER)


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


def test_library_that_the_callers_path_leads_to_is_refused_without_secure_path(
    machine: Machine, alice: Account
) -> None:
    machine.use_pam("sudo", (ROOT / "packaging/pam.d/sudo").read_text("utf-8"))
    machine.write("/etc/sudoers", "%sudo ALL=(ALL:ALL) ALL\n", mode=0o440)
    machine.run(
        "sh",
        "-c",
        "mkdir -p bin lib; cp /usr/bin/python3 bin/; cp -r /usr/lib/python3.* lib/",
        user="alice",
        cwd="/home/alice",
    )
    done = machine.run(
        "/usr/bin/sudo",
        "-k",
        "-S",
        "/usr/bin/id",
        "-un",
        user="alice",
        env={"PATH": "/home/alice/bin"},
        typed=f"{alice.password}\n{alice.code()}\n",
        check=False,
    )
    assert (1, "") == (done.returncode, done.stdout)
    assert CODE not in done.stderr
    line = fields(machine.log.wait_for("pam_totp(sudo:auth)", "event=error"))
    assert "PATH led the interpreter to /home/alice/lib/" in line["reason"]
    assert line["hint"].startswith("set secure_path in sudoers")


def test_su_is_refused_and_the_log_says_why(machine: Machine, alice: Account) -> None:
    bob = machine.enrol("bob")
    machine.use_pam("su", f"@include common-auth\nauth required {HOOK}\n")
    answers = f"{alice.password}\n{alice.code()}\n"
    done = machine.run("su", "alice", "-c", "id", user=bob.name, typed=answers, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    line = fields(machine.log.wait_for("pam_totp(su:auth)", "event=error"))
    assert "take pam_totp out of /etc/pam.d/su: pam_python is for sshd and sudo" == line["hint"]
    assert machine.state("alice")["authenticators"][0]["last_used_at"] is None


def test_user_in_an_exempt_group_needs_the_password_alone(sudo: Machine, alice: Account) -> None:
    sudo.write("/etc/security/pam_totp.conf", "exempt_groups = sudo\n")
    answers = f"{alice.password}\n"
    assert "root\n" == sudo.run("sudo", "-kS", "id", "-un", user="alice", typed=answers).stdout
    assert ["skipped"] == our_events(sudo)


def test_unenrolled_user_under_skip_needs_the_password_alone(sudo: Machine) -> None:
    machine = sudo
    machine.add_user("bob", "password of bob", "--groups", "sudo")
    machine.use_pam("sudo", f"@include common-auth\nauth required {HOOK} nullok\n")
    done = machine.run("sudo", "-kS", "id", "-un", user="bob", typed="password of bob\n")
    assert "root\n" == done.stdout
    assert ["skipped"] == our_events(machine)


HOLDER = """
import sqlite3
connection = sqlite3.connect("/var/lib/pam_totp/store.db", isolation_level=None)
input()
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
input()
connection.execute("ROLLBACK")
"""


def test_caller_cannot_stop_sudo_while_it_is_at_the_store(sudo: Machine, alice: Account) -> None:
    """Stopped in a transaction, it would keep everybody from logging in."""
    holder = sudo.spawn("/usr/bin/python3", "-c", HOLDER)
    terminal = start(sudo)
    terminal.answer(PASSWORD, alice.password)
    terminal.expect_exact(CODE)
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
