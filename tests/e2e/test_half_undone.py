"""sshd refuses its settings while a change is undone: what is left to do is said everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import totpctl
from tests.support.machine import Machine

pytestmark = pytest.mark.root

SERVER_CONFIG = "/etc/ssh/machine_config"  # of the sshd that runs
MAIN_CONFIG = "/etc/ssh/sshd_config"  # of one that is started anew
BREAK = f"for file in {SERVER_CONFIG} {MAIN_CONFIG}; do echo Bogus yes >>$file; done"
CORRECT = f"sed -i /Bogus/d {SERVER_CONFIG} {MAIN_CONFIG}"


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    with enabling.before_enable(prepared.files) as started:
        yield started


def findings(machine: Machine) -> dict[str, tuple[str, str]]:
    """Return problem and fix of what is wrong, by check."""
    found = json.loads(totpctl(machine, "doctor", "--json").stdout)["findings"]
    return {f["check"]: (f["problem"], f["fix"]) for f in found if f["level"] == "wrong"}


def assert_what_is_left_is_named(machine: Machine, command: str) -> None:
    found = findings(machine)
    assert "Bogus" in found["sshd-refuses"][0]
    fix = f"correct the line that sshd -t names; then run: {command}"
    assert fix == found["undo-unfinished"][1]
    shown = totpctl(machine, "doctor").stdout
    assert "pam-missing" not in found
    assert "package update" not in shown
    assert "totpctl confirm" not in shown
    assert "unless confirmed" not in totpctl(machine, "status").stdout


def test_half_undone_trial_is_not_confirmed_but_finished(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", "sudo").returncode
    machine.run("sh", "-c", BREAK)
    reverted = totpctl(machine, "revert")
    assert 1 == reverted.returncode
    assert "run: totpctl confirm" not in reverted.stderr
    assert_what_is_left_is_named(machine, "totpctl revert")
    confirmed = totpctl(machine, "confirm", "--yes")
    assert (1, True) == (confirmed.returncode, "the undo has begun" in confirmed.stderr)
    again = totpctl(machine, "enable", "su")
    assert (1, True) == (again.returncode, "Bogus" in again.stderr)
    machine.run("pkill", "-o", "sshd")
    assert "Bogus" in findings(machine)["sshd-refuses"][0], "sshd is down"
    machine.run("sh", "-c", CORRECT)
    assert "run: totpctl revert" == findings(machine)["undo-unfinished"][1]
    assert 0 == totpctl(machine, "revert").returncode
    assert [] == enabling.left_over(machine)
    assert "undo-unfinished" not in findings(machine)


def test_trial_that_is_half_undone_by_disable_is_not_confirmed_either(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", "sudo").returncode
    machine.run("sh", "-c", BREAK)
    assert 1 == totpctl(machine, "disable", "sshd").returncode
    assert_what_is_left_is_named(machine, "totpctl revert")
    confirmed = totpctl(machine, "confirm", "--yes")
    assert (1, True) == (confirmed.returncode, "the undo has begun" in confirmed.stderr)
    machine.run("sh", "-c", CORRECT)
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert "unless confirmed" in totpctl(machine, "status").stdout, "sudo goes on waiting"
    assert 0 == totpctl(machine, "confirm", "--yes").returncode


def test_disable_that_sshd_could_not_hear_of_says_what_to_run_again(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", "sudo", "--no-confirm").returncode
    machine.run("sh", "-c", BREAK)
    disabled = totpctl(machine, "disable", "sshd", "sudo")
    assert 1 == disabled.returncode
    assert "then run again: totpctl disable sshd sudo\n" in disabled.stderr
    assert_what_is_left_is_named(machine, "totpctl disable sshd")
    machine.run("pkill", "-o", "sshd")
    assert_what_is_left_is_named(machine, "totpctl disable sshd")
    machine.run("sh", "-c", CORRECT)
    assert "run: totpctl disable sshd" == findings(machine)["undo-unfinished"][1]
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert not {"undo-unfinished", "sshd-refuses", "pam-missing"} & set(findings(machine))
    assert [] == enabling.left_over(machine)
