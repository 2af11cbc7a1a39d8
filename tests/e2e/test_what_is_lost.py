"""A store, a record or originals that are away while a change waits, or is taken back."""

from __future__ import annotations

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
        assert "If it is meant: totpctl disable" in found
        assert 0 == totpctl(machine, "disable", "sudo").returncode
        assert "pam-missing" not in totpctl(machine, "doctor").stdout


def test_disable_of_what_was_never_noted_twice_warns_of_nothing(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    assert "not noted" not in totpctl(machine, "disable", "sudo").stderr
    assert "not noted" not in totpctl(machine, "disable", "sudo").stderr


def test_trial_whose_record_is_lost_has_no_time_left_to_confirm_it(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    machine.run("rm", RECORD)
    shown = totpctl(machine, "status").stdout
    assert ("to be undone" in shown, "unless confirmed" in shown) == (True, False)
    done = totpctl(machine, "confirm", "--yes")
    assert (1, False) == (done.returncode, "nobody has logged in" in done.stderr)
    assert "can no longer be confirmed" in done.stderr


def test_lines_that_nothing_tells_of_any_more_are_named_by_revert(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    machine.run("find", "/etc", "-name", ".pam_totp-*", "-delete")
    done = totpctl(machine, "revert")
    assert (0, True) == (done.returncode, "nothing waits" in done.stderr)
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
    assert "also changes: su-l, which includes su; it asks for no code any more" in done.stderr
