"""Reference and man page have every command, option, default and exit code, and no other."""

from __future__ import annotations

import re

import click
import pytest

from admin_cli import errors
from admin_cli.main import totpctl
from pam_totp.system import config
from tests.unit.pages import (
    PAGES,
    codes,
    first_column,
    man_section,
    read,
    rows,
    section,
)

COMMANDS = dict(sorted(totpctl.commands.items()))


def options(command: click.Command) -> dict[str, str]:
    """Return each option, but for help, with its default; "" where there is none."""
    found = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            default = parameter.default
            shown = isinstance(default, str) and not parameter.is_flag
            found[parameter.opts[0]] = str(default) if shown else ""
    return found


def test_reference_describes_every_command_and_no_other() -> None:
    text = section(read("docs/reference/totpctl.md"), "## Commands")
    assert sorted(re.findall(r"^### (\S+)", text, flags=re.M)) == list(COMMANDS)


def test_man_page_describes_every_command_and_no_other() -> None:
    text = read("docs/man/totpctl.8")
    assert sorted(re.findall(r"^\.Ss (\S+)", text, flags=re.M)) == list(COMMANDS)


def usage(name: str) -> str:
    """Return a command with its arguments, as the help shows them: ``enable SERVICE...``."""
    words = [name]
    for argument in COMMANDS[name].params:
        if isinstance(argument, click.Argument):
            word = str(argument.name).upper() + ("..." if argument.nargs == -1 else "")
            words.append(word if argument.required else f"[{word}]")
    return " ".join(words)


def described_in_man(name: str) -> str:
    heading = usage(name).lower().replace("...", " ...")
    heading += "\\&" if "..." in heading else ""  # a full stop would end a sentence
    return man_section("totpctl.8", re.escape(heading))


@pytest.mark.parametrize("name", COMMANDS)
def test_reference_describes_every_option_with_its_default(name: str) -> None:
    table = rows(section(read("docs/reference/totpctl.md"), f"### {usage(name)}"))
    described = {codes(row[0])[0]: "".join(codes(row[1])) for row in table}
    assert described == options(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_man_page_describes_every_option_with_its_default(name: str) -> None:
    text = described_in_man(name)
    described = {}
    for item in text.split("\n.It Fl -")[1:]:
        default = re.search(r"^Default: (\S+)\.$", item, flags=re.M)
        option = "--" + re.split(r"\s", item)[0]
        inherited = re.search(r"^As for\n\.Cm (\w+) \.$", item, flags=re.M)
        same_as = options(COMMANDS[inherited[1]])[option] if inherited else ""
        described[option] = default[1] if default else same_as
    assert described == options(COMMANDS[name])


def test_both_pages_describe_the_global_options() -> None:
    expected = {*options(totpctl), "-h", "--help"}
    reference = section(read("docs/reference/totpctl.md"), "## Global options")
    assert set(first_column(reference)) - {config.DEFAULT_PATH} == expected
    items = re.findall(r"^\.It (Fl .*)$", man_section("totpctl.8", "DESCRIPTION"), flags=re.M)
    described = {f"-{flag}" for item in items for flag in re.findall(r"Fl (-?\w+)", item)}
    assert described == expected


def test_both_pages_list_every_exit_code() -> None:
    in_code = [
        value for name, value in vars(errors).items() if name.isupper() and type(value) is int
    ]
    expected = [str(code) for code in sorted(in_code)]
    text = section(read("docs/reference/totpctl.md"), "## Exit codes")
    assert [row[0] for row in rows(text)] == expected
    assert (
        re.findall(r"^\.It (\d+)$", man_section("totpctl.8", "EXIT STATUS"), flags=re.M) == expected
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_both_pages_name_every_choice_of_an_option(name: str) -> None:
    page = section(read("docs/reference/totpctl.md"), f"### {usage(name)}")
    meanings = {codes(row[0])[0]: row[2] for row in rows(page)}
    for parameter in COMMANDS[name].params:
        if isinstance(parameter.type, click.Choice):
            option, choices = parameter.opts[0], list(parameter.type.choices)
            flag = f".It Fl -{option.removeprefix('--')} Cm {' | '.join(choices)}"
            assert flag in described_in_man(name)
            if not meanings[option].startswith("as for"):
                assert set(choices) <= set(codes(meanings[option])), option


def test_commands_on_the_pages_exist() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = "".join(re.findall(r"```sh\n(.*?)```", text, flags=re.S))
        used = re.findall(r"(?:^|sudo |`)totpctl ([a-z][a-z-]*)", blocks + text, flags=re.M)
        assert set(used) <= set(COMMANDS), page.name
