"""Whatever goes wrong in a command that changes logins, it ends by saying what holds now."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from admin_cli import main
from admin_cli.commands import outcome
from admin_cli.enable import automatic_undo, switch, trial
from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import totpctl
from tests.support.machine import Machine

COMMANDS = {
    "enable": ("enable", "sudo"),
    "disable": ("disable", "sudo"),
    "confirm": ("confirm", "--yes"),
    "revert": ("revert",),
}
FAULTS = [
    *(f"rename,fchmod,unlink:error={error}" for error in ("ENOSPC", "EDQUOT", "EROFS", "EIO")),
    "flock:signal=INT",
]


def changing_commands() -> dict[str, click.Command]:
    """Return the commands whose file could change logins: it has what does at hand."""
    hands = (switch, trial, automatic_undo)
    found = {}
    for name, command in main.totpctl.commands.items():
        module = sys.modules[command.callback.__module__]  # type: ignore[union-attr]
        if any(value is hand for value in vars(module).values() for hand in hands):
            found[name] = command
    return found


def test_every_command_that_changes_logins_says_what_holds() -> None:
    found = changing_commands()
    assert set(COMMANDS) == set(found)
    for name, command in found.items():
        assert isinstance(command, outcome.ChangesLogins), name


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    with enabling.before_enable(prepared.files) as started:
        yield started


def with_fault(machine: Machine, fault: str, *words: str) -> subprocess.CompletedProcess[str]:
    calls = fault.partition(":")[0]
    strace = ("strace", "-o/dev/null", f"-etrace={calls}", f"-einject={fault}")
    return machine.run(*strace, "totpctl", *words, check=False, timeout=60)


@pytest.mark.root
@pytest.mark.parametrize("name", COMMANDS)
def test_what_holds_is_said_last_whatever_went_wrong(machine: Machine, name: str) -> None:
    for fault in FAULTS:
        totpctl(machine, "revert")
        totpctl(machine, "disable", "sudo")
        if name != "enable":
            assert 0 == totpctl(machine, "enable", "sudo").returncode
        done = with_fault(machine, fault, *COMMANDS[name])
        assert 1 == done.returncode, (fault, done)
        _, error, said = done.stderr.rpartition("totpctl: error: ")
        lines = said.splitlines()[1:]
        assert error
        asks = "pam_totp.so" in machine.read("/etc/pam.d/sudo")
        word = "asked for" if asks else "not asked for"
        told = [line for line in lines if f"a code is {word} in" in line and "sudo" in line]
        assert 1 == len(told), (fault, done)
        assert lines[-1].startswith("now: "), (fault, done)
        waits = machine.run("find", "/etc/pam.d", "-name", "*unconfirmed*", "-perm", "600").stdout
        assert bool(waits) == ("nothing is waiting" not in lines[-1]), (fault, done)
