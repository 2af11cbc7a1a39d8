"""A store, a record or originals that are away while a change waits, or is taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import RECORD, totpctl
from tests.support.machine import Machine

pytestmark = pytest.mark.root

STATE = "/var/lib/pam_totp"
KEY = "/etc/security/pam_totp.key"
SUDO = "/etc/pam.d/sudo"


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    with enabling.before_enable(prepared.files) as started:
        yield started


def hide_state(machine: Machine) -> None:
    machine.run("mount", "-t", "tmpfs", "-o", "mode=0700", "tmpfs", STATE)


def test_nothing_is_confirmed_while_no_code_can_be_checked(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    hide_state(machine)
    done = totpctl(machine, "confirm", "--yes")
    assert (5, True) == (done.returncode, "there is no store" in done.stderr)
    assert "nothing is confirmed, and everything is undone at " in done.stderr
    assert "unless confirmed" in totpctl(machine, "status").stdout
    machine.run("umount", STATE)
    machine.run("mv", KEY, f"{KEY}.away")
    done = totpctl(machine, "confirm", "--yes")
    assert (5, True) == (done.returncode, "nothing is confirmed" in done.stderr)
    machine.run("mv", f"{KEY}.away", KEY)
    assert 0 == totpctl(machine, "confirm", "--yes").returncode


def test_disable_that_could_not_be_noted_says_to_run_it_again(machine: Machine) -> None:
    again = "totpctl disable sudo"
    for is_away in (False, True):
        assert 0 == totpctl(machine, "enable", "sudo", "--no-confirm").returncode
        if is_away:
            hide_state(machine)
        else:
            machine.run("mount", "--bind", STATE, STATE)
            machine.run("mount", "-o", "remount,bind,ro", STATE)
        done = totpctl(machine, "disable", "sudo")
        assert (0 if is_away else 1, True) == (done.returncode, again in done.stderr), done
        assert "pam_totp" not in machine.read(SUDO)
        machine.run("umount", STATE)
        found = totpctl(machine, "doctor").stdout
        assert "If it is intended: totpctl disable" in found
        assert 0 == totpctl(machine, "disable", "sudo").returncode
        assert "pam-missing" not in totpctl(machine, "doctor").stdout


NACL = "/usr/lib/python3/dist-packages/nacl"


@pytest.mark.parametrize("command", ["disable sudo", "revert"])
def test_code_is_taken_out_without_the_library_that_opens_secrets(
    machine: Machine, command: str
) -> None:
    before = machine.read(SUDO)
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    machine.run("mv", NACL, f"{NACL}.away")
    done = totpctl(machine, *command.split())
    machine.run("mv", f"{NACL}.away", NACL)
    assert 0 == done.returncode, done
    assert before == machine.read(SUDO)


def test_disable_of_what_was_never_noted_twice_warns_of_nothing(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    assert "not noted" not in totpctl(machine, "disable", "sudo").stderr
    assert "not noted" not in totpctl(machine, "disable", "sudo").stderr


def test_trial_whose_record_is_lost_has_no_time_left_to_confirm_it(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    machine.run("rm", RECORD)
    shown = totpctl(machine, "status").stdout
    assert ("not undone yet" in shown, "unless confirmed" in shown) == (True, False)
    done = totpctl(machine, "confirm", "--yes")
    assert (1, False) == (done.returncode, "nobody has logged in" in done.stderr)
    assert "can no longer be confirmed" in done.stderr


def test_lines_that_nothing_tells_of_any_more_are_named_by_revert(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    machine.run("find", "/etc", "-name", ".pam_totp-*", "-delete")
    done = totpctl(machine, "revert")
    assert (0, True) == (done.returncode, "nothing is waiting" in done.stderr)
    assert f"{SUDO} has lines of totpctl enable" in done.stderr
    assert "run: totpctl disable sudo\n" in done.stderr
    assert 0 == totpctl(machine, "disable", "sudo").returncode
    assert SUDO not in totpctl(machine, "revert").stderr


def test_disable_names_what_else_asks_no_longer(machine: Machine) -> None:
    machine.use_pam("su", enabling.PASSWORD_STEP)
    machine.write("/etc/pam.d/su-l", "auth include su\naccount include su\nsession include su\n")
    assert "su-l" in totpctl(machine, "enable", "su", "--no-confirm", "--force").stderr
    done = totpctl(machine, "disable", "su")
    assert 0 == done.returncode
    assert "also changes: su-l, which includes su; it no longer asks for a code" in done.stderr


def checks_found(machine: Machine) -> dict[str, str]:
    """Return the fix by check."""
    found = json.loads(totpctl(machine, "doctor", "--json").stdout)["findings"]
    return {finding["check"]: finding["fix"] for finding in found}


def kill_confirm(machine: Machine) -> None:
    """End confirm at the moment when the list is to be put in place."""
    at = (f"-P{STATE}/.pam_totp-new.enabled.json", "-etrace=rename")
    strace = ("strace", "-o/dev/null", *at, "-einject=rename:signal=KILL")
    done = machine.run(*strace, "totpctl", "confirm", "--yes", check=False, timeout=60)
    assert 0 != done.returncode


def assert_confirmation_is_finished(machine: Machine) -> None:
    """A line that goes missing is noticed, and nothing is left behind."""
    assert {"sudo": None} == json.loads(machine.read(f"{STATE}/enabled.json"))
    assert not {"not-noted", "leftovers", "pam-missing"} & set(checks_found(machine))
    assert [] == enabling.left_over(machine)
    machine.use_pam("sudo", enabling.PASSWORD_STEP)
    assert "pam-missing" in checks_found(machine)


def test_confirmation_that_could_not_be_noted_is_finished_by_the_next_one(
    machine: Machine,
) -> None:
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    machine.run("mount", "--bind", STATE, STATE)
    machine.run("mount", "-o", "remount,bind,ro", STATE)
    for _ in range(2):
        done = totpctl(machine, "confirm", "--yes")
        assert (1, True) == (done.returncode, "confirmed, but not recorded in" in done.stderr)
        assert "to finish that, run: totpctl confirm" in done.stderr
    assert 1 == totpctl(machine, "revert").returncode
    assert 0 == totpctl(machine, "revert", "--if-due").returncode
    assert 1 == totpctl(machine, "enable", "su", "--force").returncode
    assert "pam_totp.so" in machine.read(SUDO)
    assert "run: totpctl confirm" == checks_found(machine)["not-noted"]
    machine.run("umount", STATE)
    done = totpctl(machine, "confirm")
    assert (0, True) == (done.returncode, "confirmed: sudo will keep asking" in done.stderr)
    assert "nothing is waiting" in totpctl(machine, "confirm").stderr
    assert_confirmation_is_finished(machine)


@pytest.mark.parametrize("end", ["confirm", "revert"])
def test_confirmation_that_was_killed_before_it_was_noted_is_finished(
    machine: Machine, end: str
) -> None:
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    kill_confirm(machine)
    hide_state(machine)
    assert 1 == totpctl(machine, "confirm").returncode
    assert "not-noted" not in checks_found(machine)
    machine.run("umount", STATE)
    assert "run: totpctl confirm" == checks_found(machine)["not-noted"]
    assert 0 == totpctl(machine, end).returncode
    assert_confirmation_is_finished(machine)


def test_disable_after_a_confirmation_that_was_cut_off_is_not_noted_as_on(
    machine: Machine,
) -> None:
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    kill_confirm(machine)
    assert "not noted" not in totpctl(machine, "disable", "sudo").stderr
    assert 0 == totpctl(machine, "revert").returncode
    assert not {"not-noted", "pam-missing"} & set(checks_found(machine))
    assert [] == enabling.left_over(machine)


def test_service_that_the_lost_list_does_not_name_is_noted_by_enable(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sudo", "--no-confirm").returncode
    machine.run("rm", f"{STATE}/enabled.json")
    assert "run: totpctl enable sudo" == checks_found(machine)["not-noted"]
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    assert_confirmation_is_finished(machine)
