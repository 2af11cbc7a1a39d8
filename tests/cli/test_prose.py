"""Sentences on a terminal: colours, and lines that are broken between words."""

from __future__ import annotations

import re

import pytest

from tests.cli.command import Totpctl
from tests.cli.terminal import Terminals

RED, BOLD_OFF = "\x1b[31m\x1b[1m", "\x1b[0m"
IN_COLOUR = {"NO_COLOR": ""}
LONG = "x" * 12


def shown(terminals: Terminals, *arguments: str, columns: int = 80, **environment: str) -> str:
    terminal = terminals.open(*arguments, columns=columns, **environment)
    terminal.end()
    return terminal.shown


def test_the_first_words_of_an_error_and_of_its_hint_have_a_colour(terminals: Terminals) -> None:
    text = shown(terminals, "show", "nobody-here", **IN_COLOUR)
    assert text.startswith(f"{RED}totpctl: error:{BOLD_OFF} there is no user nobody-here")
    assert f"\x1b[36m\x1b[1mhint:{BOLD_OFF} check the spelling" in text


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1"}, {**IN_COLOUR, "TERM": "dumb"}, {**IN_COLOUR, "TERM": ""}]
)
def test_some_terminals_get_no_colour(terminals: Terminals, environment: dict[str, str]) -> None:
    assert "\x1b" not in shown(terminals, "show", "nobody-here", **environment)


def test_what_is_no_terminal_gets_a_line_a_sentence_and_no_colour(totpctl: Totpctl) -> None:
    result = totpctl("show", "nobody-here", COLUMNS="40", **IN_COLOUR)
    first, second = result.err.splitlines()
    assert "totpctl: error: there is no user nobody-here on this machine" == first
    assert second.startswith("hint: ")


def test_a_long_sentence_is_broken_between_words(terminals: Terminals) -> None:
    name = "-".join([LONG] * 3)
    lines = shown(terminals, "show", name, columns=60).splitlines()
    assert 60 >= max(map(len, lines))
    assert lines[1].startswith(" " * 7)
    whole = " ".join(line.strip() for line in lines)
    assert f"totpctl: error: there is no user {name} on this machine hint: " in whole


def test_a_command_to_copy_is_not_broken(terminals: Terminals) -> None:
    """Whatever the width: the terminal may go on in its next line, but no end of line is copied."""
    for columns in range(40, 80, 5):
        lines = shown(terminals, "show", "nobody-here", columns=columns).splitlines()
        commands = [line for line in lines if re.search(r"totpctl list|getent", line)]
        assert "totpctl list" in "\n".join(commands)
        assert any("getent passwd" in line for line in commands)


def test_a_terminal_that_does_not_say_how_wide_it_is_gets_whole_lines(terminals: Terminals) -> None:
    assert 2 == len(shown(terminals, "show", "nobody-here", columns=0).splitlines())
