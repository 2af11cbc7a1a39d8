"""What --version and Tab load over click alone, and that the table they go by is right."""

from __future__ import annotations

import pytest

from admin_cli.commands import logins
from admin_cli.commands.fleet import group
from admin_cli.enable import trial_record
from admin_cli.main import COMMANDS, DEFAULT_CONFIG
from docs import generate
from pam_totp.system import config
from tests.support.each import each
from tests.support.place import ROOT
from tests.unit.test_imports import expected_modules, folder_of_nacl, interpreter_version, run

LIST = ROOT / "tests" / "vectors" / "command_modules.txt"
# Slow to import, and of no use before a command runs.
HEAVY = {"email", "http", "nacl", "psycopg", "pyotp", "segno", "ssl"}
# What reads, changes and judges the machine, and what of Python that is made of.
OF_THE_MACHINE = {"_hashlib", "ctypes", "difflib", "json", "pathlib", "shutil", "signal", "socket"}
OF_THE_MACHINE |= {"sqlite3", "subprocess", "tempfile", "urllib"}
OF_THE_MACHINE |= {f"admin_cli.{name}" for name in ("access", "doctor", "enable", "selftest")}
# ``sys.argv``: for each run the shell, and the words as lines; each in a fork.
SCRIPT = f"""
import os, sys
sys.path.append({folder_of_nacl()!r})
import click.shell_completion
before = set(sys.modules)
sys.path.insert(0, {str(ROOT)!r})
def run_here(shell, words):
    sys.argv[1:] = words
    if shell:
        os.environ["_TOTPCTL_COMPLETE"] = shell
    from admin_cli.__main__ import run
    try:
        run()
    except SystemExit:
        pass
    print("loaded:", *sorted(set(sys.modules) - before), end="\\0", flush=True)

runs = sys.argv[1:]
for shell, words in zip(runs[::2], runs[1::2]):
    child = os.fork()
    if not child:
        run_here(shell, words.split("\\n"))
        os._exit(0)
    os.waitpid(child, 0)
"""


def loaded_by_each(*runs: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    """Return what runs printed, and what each loaded.

    The first word of each is the shell that asks at Tab, "" for none.
    """
    words = [word for shell, *words in runs for word in (shell, "\n".join(words))]
    found = []
    for output in run(SCRIPT, *words).split("\0")[:-1]:
        printed, _, modules = output.rpartition("loaded:")
        found.append((printed, modules.split()))
    assert len(found) == len(runs)
    return found


def loaded(shell: str, *arguments: str) -> tuple[str, list[str]]:
    """Return what one run printed, and what it loaded."""
    (found,) = loaded_by_each((shell, *arguments))
    return found


IN_GROUPS = {f"fleet {name}": listed for name, listed in group.COMMANDS.items()}


@each("name", [*COMMANDS, *IN_GROUPS])
def test_the_list_of_commands_says_what_the_command_itself_says(name: str) -> None:
    command = generate.COMMANDS[name]
    assert name.split()[-1] == command.name
    assert (COMMANDS | IN_GROUPS)[name].summary == command.get_short_help_str(limit=1000)


def test_the_default_configuration_is_that_of_a_login() -> None:
    assert config.DEFAULT_PATH == DEFAULT_CONFIG


def test_the_longest_time_to_confirm_is_what_the_record_takes() -> None:
    assert trial_record.MAX_SECONDS == logins.MAX_SECONDS


def listed(modules: list[str]) -> set[str]:
    """Return ``modules`` as the list has them: of the lowest layers the folder is enough."""
    low = ("pam_totp.core.", "pam_totp.system.")
    return {name for name in modules if not name.startswith(low)}


def test_version_loads_no_more_than_the_list() -> None:
    printed, modules = loaded("", "--version")
    assert printed.startswith("totpctl, version ")
    assert set() == listed(modules) - set(expected_modules(interpreter_version(), LIST))


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_at_a_command_loads_no_more_than_the_list(shell: str) -> None:
    arguments = ("totpctl sel", " \t") if shell == "bash" else ("sel",)
    printed, modules = loaded(shell, *arguments)
    assert "selftest" in printed
    assert set() == listed(modules) - set(expected_modules(interpreter_version(), LIST))


def test_help_loads_no_command() -> None:
    printed, modules = loaded("", "--help")
    assert all(f"\n  {name} " in printed for name in COMMANDS)
    assert [] == [name for name in modules if name.startswith("admin_cli.commands")]


ALL = [*COMMANDS, *IN_GROUPS]


@pytest.fixture(scope="module")
def at_options() -> dict[str, tuple[str, list[str]]]:
    """What Tab printed and loaded after two dashes, for each command."""
    runs = loaded_by_each(*(("zsh", *name.split(), "--") for name in ALL))
    return dict(zip(ALL, runs, strict=True))


@pytest.mark.parametrize("name", ALL)
def test_tab_at_an_option_loads_nothing_heavy(
    name: str, at_options: dict[str, tuple[str, list[str]]]
) -> None:
    printed, modules = at_options[name]
    assert "--help" in printed
    assert set() == (HEAVY | OF_THE_MACHINE) & set(modules)
