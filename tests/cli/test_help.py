"""What the command line explains, and what it makes of mistakes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from admin_cli.main import totpctl as group
from pam_totp import __version__
from tests.cli.command import Totpctl

VERBS = sorted(group.commands)


def commands() -> Iterator[tuple[str, click.Command]]:
    yield "totpctl", group
    yield from sorted(group.commands.items())


def options() -> Iterator[tuple[str, click.Option]]:
    for name, command in commands():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield f"{name} {parameter.opts[0]}", parameter


@pytest.mark.parametrize("name", dict(commands()))
def test_every_command_has_help(name: str) -> None:
    first_line = (dict(commands())[name].help or "").split("\n")[0]
    assert first_line.endswith(".")


@pytest.mark.parametrize("name", dict(options()))
def test_every_option_has_help(name: str) -> None:
    help_text = dict(options())[name].help or ""
    assert help_text.endswith(".")


def test_the_commands_are_those_of_the_design() -> None:
    expected = (
        "enroll reset remove list show verify recovery-codes unlock forget suspend resume rebind "
        "init selftest enable disable confirm revert status doctor require exempt rotate-key fleet "
        "import export migrate resync rename help me"
    )
    assert sorted(expected.split()) == VERBS


@pytest.mark.parametrize(
    "verb",
    ["enroll", "reset", "recovery-codes", "list", "show", "verify", "selftest", "status", "doctor"],
)
def test_whatever_reports_has_json(verb: str) -> None:
    assert "--json" in [name for p in group.commands[verb].params for name in p.opts]


@pytest.mark.parametrize("verb", ["reset", "remove", "recovery-codes"])
def test_whatever_destroys_has_yes(verb: str) -> None:
    assert "--yes" in [name for p in group.commands[verb].params for name in p.opts]


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_works_with_a_broken_configuration_and_without_key_and_store(
    totpctl: Totpctl, verb: str, option: str
) -> None:
    totpctl.place.config_path.write_bytes(b"\xff\0 = =\n" * 10)
    totpctl.place.config_path.chmod(0o666)
    totpctl.place.key_path.unlink()
    totpctl.place.store_path.unlink()
    result = totpctl(*verb.split(), option)
    assert (0, "") == (result.code, result.err)
    assert result.out.startswith(f"Usage: totpctl {verb}".rstrip())


@pytest.mark.parametrize("verb", VERBS)
def test_help_works_where_the_configuration_is_missing(totpctl: Totpctl, verb: str) -> None:
    totpctl.place.config_path.unlink()
    assert 0 == totpctl(verb, "--help").code


def test_no_summary_is_cut_off_at_80_columns(totpctl: Totpctl) -> None:
    lines = totpctl("--help", COLUMNS="80").out.splitlines()
    assert not [line for line in lines[1:] if line.endswith("...")]
    assert 80 >= max(map(len, lines))


def test_help_tells_how_to_begin(totpctl: Totpctl) -> None:
    assert "Begin with: totpctl init, then: totpctl enroll USER" in totpctl("--help").out


def test_totpctl_alone_explains_itself_and_is_a_usage_error(totpctl: Totpctl) -> None:
    result = totpctl.run(totpctl.bare_command())
    assert (2, "") == (result.code, result.out)
    assert result.err.startswith("Usage: totpctl [OPTIONS] COMMAND [ARGS]...\n\n  Enroll people")
    assert all(f"\n  {verb} " in result.err for verb in VERBS)


def test_help_lists_each_command_once_and_under_a_heading(totpctl: Totpctl) -> None:
    sections = totpctl("--help").out.split("\n\n")[3:-1]
    headings = [section.split("\n")[0] for section in sections]
    assert ["People:", "Moving in and out:", "Logins of this machine:", "Store:"] == headings
    listed = re.findall(r"^  ([a-z-]+)  ", "\n".join(sections), re.MULTILINE)
    assert VERBS == sorted(listed)


@pytest.mark.parametrize("words", [(), ("enroll",), ("fleet", "add"), ("help",)], ids=" ".join)
def test_help_is_a_word_as_well(totpctl: Totpctl, words: tuple[str, ...]) -> None:
    asked, expected = totpctl("help", *words), totpctl(*words, "--help")
    assert expected == asked
    assert 0 == asked.code


def test_help_about_no_command_is_a_usage_error(totpctl: Totpctl) -> None:
    result = totpctl("help", "enrol")
    assert 2 == result.code
    assert "there is no command enrol; did you mean enroll?" in result.err


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version_is_printed(totpctl: Totpctl, option: str) -> None:
    result = totpctl(option)
    assert (0, f"totpctl, version {__version__}\n") == (result.code, result.out)


@pytest.mark.parametrize(
    ("arguments", "error", "see"),
    [
        (("lst",), "there is no command lst; did you mean list?", "totpctl"),
        (("enrol", "alice"), "there is no command enrol; did you mean enroll?", "totpctl"),
        (("frobnicate",), "there is no command frobnicate", "totpctl"),
        (("enroll",), "name a USER, or many people with --from or --group", "totpctl enroll"),
        (("show",), "missing argument 'USER'", "totpctl show"),
        (("list", "alice"), "got unexpected extra argument (alice)", "totpctl list"),
        (
            ("enroll", "alice", "--digits", "5"),
            "invalid value for '--digits': '5' is not one of '6', '7', '8'",
            "totpctl enroll",
        ),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, tuple) else "",
)
def test_a_mistyped_command_line_is_a_usage_error_with_a_hint(
    totpctl: Totpctl, arguments: tuple[str, ...], error: str, see: str
) -> None:
    result = totpctl(*arguments)
    assert (2, "") == (result.code, result.out)
    assert f"totpctl: error: {error}\nhint: see: {see} --help\n" == result.err


@pytest.mark.parametrize("arguments", [("list", "--jsn"), ("--confg", "x", "list")])
def test_an_unknown_option_is_a_usage_error(totpctl: Totpctl, arguments: tuple[str, ...]) -> None:
    result = totpctl(*arguments)
    assert 2 == result.code
    assert result.err.startswith("totpctl: error: no such option")


@pytest.mark.parametrize(
    "parameters",
    [("--algorithm", "MD5"), ("--digits", "10"), ("--period", "5"), ("--period", "-1")],
)
def test_only_what_apps_know_can_be_chosen(totpctl: Totpctl, parameters: tuple[str, str]) -> None:
    assert 2 == totpctl("enroll", "alice", "--no-confirm", *parameters).code
    assert 2 == totpctl("reset", "alice", "--yes", "--no-confirm", *parameters).code
