"""totpctl selftest, in a throw-away copy of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from admin_cli import running
from admin_cli.main import totpctl as group
from tests.support import thorough
from tests.support.each import each
from tests.support.machine import Machine
from tests.support.place import ROOT

SELFTEST = ("/usr/bin/python3", "-B", "-m", "admin_cli", "selftest")
# Tests that run in the background of a script are started with Ctrl-C ignored.
INTERRUPTIBLE = ("env", "--default-signal=INT")
CHECKS = [
    "a correct code is accepted",
    "the same code again is refused",
    "a wrong code is refused",
    "a recovery code is accepted",
    "the same recovery code again is refused",
]
HOOK = """def pam_sm_authenticate(pamh, flags, argv):
    {}

def pam_sm_setcred(pamh, flags, argv):
    return 0
"""


def selftest(machine: Machine, *options: str) -> subprocess.CompletedProcess[str]:
    return machine.run(*SELFTEST, *options, cwd=str(ROOT), check=False)


def with_hook(machine: Machine, hook: str) -> subprocess.CompletedProcess[str]:
    """Run the self-test of a copy of the tree that has another hook."""
    machine.run("mkdir", "-p", "/root/copy")
    machine.run("cp", "-r", ROOT / "admin_cli", ROOT / "pam_totp", "/root/copy")
    machine.write("/root/copy/pam_totp/hook.py", hook)
    return machine.run(*SELFTEST, cwd="/root/copy", check=False)


def traces(machine: Machine) -> list[str]:
    """Return what a self-test has left where it worked."""
    places = ("/etc/pam.d", "/tmp", "/run")
    found = machine.run("find", *places, "-name", "pam_totp-selftest.*").stdout
    return found.splitlines()


@pytest.mark.root
def test_it_passes_here_from_the_source_tree(machine: Machine) -> None:
    done = selftest(machine)
    assert 0 == done.returncode, done.stderr
    assert [f"ok      {name}" for name in CHECKS] == done.stdout.splitlines()
    assert "selftest passed: codes are checked correctly through libpam\n" == done.stderr
    assert [] == traces(machine)


@pytest.mark.root
def test_it_passes_once_installed_and_with_json(machine: Machine) -> None:
    machine.install_product()
    done = machine.run("totpctl", "selftest", "--json")
    expected = [{"name": name, "passed": True, "detail": ""} for name in CHECKS]
    assert expected == json.loads(done.stdout)
    assert "" == done.stderr


@pytest.mark.root
def test_folder_that_it_makes_for_the_worker_is_open_to_all(machine: Machine) -> None:
    machine.install_product()
    machine.run("totpctl", "selftest")
    assert "755 root root\n" == machine.run("stat", "-c", "%a %U %G", "/run/pam_totp").stdout


@pytest.mark.root
def test_it_touches_no_store_of_this_machine(machine: Machine) -> None:
    machine.install_product()
    machine.run("totpctl", "enroll", "root", "--no-confirm")
    files = ("sha256sum", "/var/lib/pam_totp/store.db", "/etc/security/pam_totp.key")
    before = machine.run(*files).stdout
    machine.run("totpctl", "selftest")
    assert before == machine.run(*files).stdout


BROKEN_HOOKS = [
    ("return 0", "the same code again is refused"),
    ("return False", "the same code again is refused"),
    ("return 25", "a correct code is accepted"),
    ("return 7", "a correct code is accepted"),
    ("raise ValueError", "a correct code is accepted"),
    ("import not_there", "a correct code is accepted"),
    ("syntax error", "a correct code is accepted"),
]


@pytest.mark.root
@each(("body", "failing"), BROKEN_HOOKS)
def test_a_broken_hook_fails_it_with_6_and_the_check_is_named(
    machine: Machine, body: str, failing: str
) -> None:
    done = with_hook(machine, HOOK.format(body))
    assert 6 == done.returncode, done
    assert f"FAILED  {failing}\n" in done.stdout
    assert done.stderr.startswith(f"totpctl: error: selftest: {failing}: ")
    assert done.stderr.endswith("hint: the reason is in: journalctl -n 50 -g pam_totp\n")
    assert [] == traces(machine)


@pytest.mark.root
@pytest.mark.parametrize(("body", "failing"), thorough.some(BROKEN_HOOKS, 3))
def test_a_login_broken_in_the_worker_fails_it_too(
    machine: Machine, body: str, failing: str
) -> None:
    machine.install_product()
    flow = Path("/usr/lib/pam_totp/pam_totp/login/flow.py")
    source = machine.run("cat", flow).stdout
    machine.write(flow, f"{source}\n\ndef authenticate(request, driver):\n    {body}\n")
    done = machine.run("totpctl", "selftest", check=False)
    assert 6 == done.returncode, done
    assert f"FAILED  {failing}\n" in done.stdout
    assert [] == traces(machine)


@pytest.mark.root
def test_each_module_can_be_tried(machine: Machine) -> None:
    machine.install_product()
    for module in ("pam_totp.so", "pam_python.so"):
        path = machine.run("find", "/usr/lib", "/lib", "-name", module).stdout.splitlines()[0]
        assert 0 == machine.run("totpctl", "selftest", "--module", module).returncode
        machine.run("mv", path, f"{path}.gone")
        broken = machine.run("totpctl", "selftest", "--module", module, check=False)
        assert 6 == broken.returncode, broken
        machine.run("mv", f"{path}.gone", path)


@pytest.mark.root
def test_without_python_pam_it_says_how_to_get_it(machine: Machine) -> None:
    machine.install_product()
    machine.run("rm", "-r", "/usr/lib/python3/dist-packages/pam")
    done = machine.run("totpctl", "selftest", check=False)
    assert 1 == done.returncode
    assert (
        "totpctl: error: python-pam cannot be loaded: no pam\n"
        "hint: run: apt install python3-pampy python3-six\n"
    ) == done.stderr


@pytest.mark.root
def test_without_pamtester_it_says_how_to_get_it(machine: Machine) -> None:
    machine.run("rm", "/usr/bin/pamtester")
    done = selftest(machine)
    assert 1 == done.returncode
    assert (
        "totpctl: error: pamtester is missing\nhint: run: apt install pamtester\n"
    ) == done.stderr


@pytest.mark.root
@pytest.mark.parametrize("signal", ["INT", "TERM", "HUP"])
def test_interrupted_it_leaves_nothing_behind(machine: Machine, signal: str) -> None:
    stuck = "#!/bin/sh\n: > /root/reached\nexec sleep 60\n"
    machine.write("/usr/bin/pamtester", stuck, mode=0o755)
    script = 'echo $$ > /root/pid; exec "$@"'
    terminal = machine.spawn("sh", "-c", script, "sh", *INTERRUPTIBLE, *SELFTEST, cwd=str(ROOT))
    wait_until_there(machine, "/root/reached")
    assert 2 == len(traces(machine))
    machine.run("kill", "-s", signal, machine.read("/root/pid").strip())
    terminal.expect_exact("totpctl: error: interrupted; nothing was left behind")
    assert 1 == terminal.exit_status()
    assert [] == traces(machine)


@pytest.mark.root
def test_ctrl_c_leaves_nothing_behind(machine: Machine) -> None:
    stuck = "#!/bin/sh\n: > /root/reached\nexec sleep 60\n"
    machine.write("/usr/bin/pamtester", stuck, mode=0o755)
    terminal = machine.spawn(*INTERRUPTIBLE, *SELFTEST, cwd=str(ROOT))
    wait_until_there(machine, "/root/reached")
    terminal.send("\x03")
    terminal.expect_exact("totpctl: error: interrupted; nothing was left behind")
    assert [] == traces(machine)


@pytest.mark.root
def test_it_removes_what_a_killed_one_left_and_nothing_of_one_that_runs(machine: Machine) -> None:
    machine.write("/etc/pam.d/pam_totp-selftest.4194305", "auth required pam_deny.so\n")
    machine.write("/etc/pam.d/pam_totp-selftest.1", "auth required pam_deny.so\n")
    assert 0 == selftest(machine).returncode
    assert ["/etc/pam.d/pam_totp-selftest.1"] == traces(machine)


def test_without_root_it_is_refused_with_4(
    in_process: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4000)
    assert 4 == running.run(group, ["selftest"])
    assert (
        "",
        "totpctl: error: only root can create a PAM service\nhint: run it with sudo\n",
    ) == capsys.readouterr()


def wait_until_there(machine: Machine, path: str) -> None:
    deadline = time.monotonic() + 60
    while machine.run("test", "-e", path, check=False).returncode:
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)
