"""What the pages take from the code is what the code says today: after a change, run make docs."""

from __future__ import annotations

import os
import subprocess

import click
import pytest

from admin_cli.main import totpctl
from docs import generate
from pam_totp.system import config, config_descriptions, config_values
from tests.support.each import each
from tests.support.place import ROOT
from tests.unit.pages import codes, read, rows, section


@pytest.mark.parametrize("page", generate.GENERATED)
def test_page_is_as_make_docs_leaves_it(page: str) -> None:
    assert generate.fresh(page, read(page)) == read(page), "run: make docs"


@pytest.mark.parametrize("page", generate.GENERATED)
def test_page_has_all_that_is_generated_for_it_and_each_once(page: str) -> None:
    assert sorted(generate.marked(read(page))) == sorted(generate.GENERATED[page])


def test_every_command_of_totpctl_is_on_both_of_its_pages() -> None:
    for page in ("docs/reference/totpctl.md", "docs/man/totpctl.8"):
        assert set(generate.COMMANDS) == set(generate.GENERATED[page]) - {"global options"}


def test_the_commands_of_a_group_are_on_the_pages_too() -> None:
    assert {"fleet", "fleet init", "fleet rotate-key"} <= set(generate.COMMANDS)


def test_a_part_that_nobody_knows_is_refused() -> None:
    text = "<!-- generated: keyz -->\n<!-- /generated -->\n"
    with pytest.raises(KeyError):
        generate.fresh("docs/reference/configuration.md", text)


def test_check_names_a_stale_page(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for page in generate.GENERATED:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text(read(page), encoding="utf-8")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    generate.main([])
    stale = tmp_path / "docs/man/pam_totp.conf.5"
    fresh = stale.read_text("utf-8")
    stale.write_text(fresh.replace("0 to 10", "0 to 11"), "utf-8")
    capsys.readouterr()
    assert 1 == generate.main(["--check"])
    assert "docs/man/pam_totp.conf.5: stale; run: make docs\n" == capsys.readouterr().out
    assert 0 == generate.main([])
    assert 0 == generate.main(["--check"])
    assert fresh == stale.read_text("utf-8")


def test_pages_do_not_depend_on_terminal_locale_or_folder() -> None:
    environment = {**os.environ, "COLUMNS": "40", "LC_ALL": "C", "PYTHONUTF8": "0"}
    command = ["/usr/bin/python3", "-B", str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, check=False)
    assert (b"", b"", 0) == (done.stdout, done.stderr, done.returncode)


# The texts


def described() -> list[tuple[str, click.Command]]:
    return [("", totpctl), *generate.COMMANDS.items()]


@each(("name", "command"), described())
def test_every_command_and_option_says_what_it_is(name: str, command: click.Command) -> None:
    assert command.help, name
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]}"


def test_every_key_is_described_and_no_other() -> None:
    assert list(config.Config._fields) == list(config_descriptions.KEYS)
    assert set(config_values.PARSERS) == set(config_descriptions.KEYS)
    for key, (values, meaning) in config_descriptions.KEYS.items():
        assert bool(values) is (key not in config_values.RANGES), key
        assert meaning.endswith("."), key


@each(("key", "limits"), config_values.RANGES.items())
def test_numbers_are_described_with_the_limits_that_hold(key: str, limits: tuple[int, int]) -> None:
    low, high = limits
    assert f"{low} to {high}" == config_descriptions.values(key)
    for value, accepted in ((low, True), (low - 1, False), (high, True), (high + 1, False)):
        problems = config.parse(f"{key} = {value}".encode()).problems
        assert accepted is not any(f"{key} must" in problem for problem in problems), value


def test_defaults_on_the_page_are_those_that_hold() -> None:
    table = rows(section(read("docs/reference/configuration.md"), "## Keys"))
    lines = [f"{codes(row[0])[0]} = {''.join(codes(row[1]))}\n" for row in table]
    assert len(config.Config._fields) == len(lines)
    assert config.parse("".join(lines).encode()) == config.Loaded(config.Config(), ())


@pytest.mark.parametrize("argument", config_descriptions.ARGUMENTS)
def test_described_argument_is_understood(argument: str) -> None:
    given = argument.replace("=path", "=/somewhere")
    assert config.parse_arguments([given]).problems == ()
    assert config.parse_arguments([given]) != config.Arguments()
