"""Whatever goes wrong in a command that changes logins, it ends by saying what holds now."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from types import ModuleType

import click
import pytest

from admin_cli import main
from admin_cli.commands import logins
from admin_cli.enable import automatic_undo, switch, trial
from tests.e2e.conftest import Prepared
from tests.support import enabling, thorough
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
    """Return the commands whose files could change logins: one has what does at hand."""
    hands = (switch, trial, automatic_undo)
    found = {}
    for name, command in main.totpctl.commands.items():
        values = [value for module in files_of(command) for value in vars(module).values()]
        if any(value is hand for value in values for hand in hands):
            found[name] = command
    return found


def files_of(command: click.Command) -> Iterator[ModuleType]:
    """Yield the file of a command, and those beside it that it loads when it runs."""
    module = sys.modules[command.callback.__module__]  # type: ignore[union-attr]
    yield module
    source = textwrap.dedent(inspect.getsource(command.callback))  # type: ignore[arg-type]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module is None:
            for alias in node.names:
                yield importlib.import_module(f"{module.__package__}.{alias.name}")


def test_every_command_that_changes_logins_says_what_holds() -> None:
    found = changing_commands()
    # See test_migrate.py, which takes another module, and test_key_only.py.
    assert {*COMMANDS, "migrate", "exempt"} == set(found)
    for name, command in found.items():
        assert isinstance(command, logins.ChangesLogins), name


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
    for fault in thorough.some(FAULTS, 4):
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
