"""A store, a record or originals that are away while a change waits, or is taken back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import totpctl
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
