"""CONTRIBUTING.md leads to files and functions that are there."""

from __future__ import annotations

import re

import pytest

from tests.support.each import each
from tests.support.place import ROOT
from tests.unit.pages import read, section

PAGE = read("CONTRIBUTING.md")
FILE, FUNCTION = r"`([\w.-]+/[\w./-]*)`", r"`(\w+)\(\)`"
PATHS = sorted(set(re.findall(FILE, PAGE)))
# A step or a row is one line: its functions are in its files.
LINES = [line for line in PAGE.splitlines() if re.search(FUNCTION, line)]
STEPS = 15
TRACES = ("## One login, file by file", "## One `totpctl enable sshd`, file by file")


def test_files_and_functions_are_found_on_the_page() -> None:
    assert 60 < len(PATHS)
    assert 20 < len(LINES)


@each("path", PATHS)
def test_every_file_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists()


def defined_in(path: str) -> set[str]:
    """Return the functions of a file in Python or C."""
    in_python = r"^ *def (\w+)\("
    in_c = r"^[a-z][\w *]*?(\w+)\([^;]*$"
    return set(re.findall(in_python if path.endswith(".py") else in_c, read(path), flags=re.M))


@each("line", LINES)
def test_every_function_is_in_a_file_beside_it(line: str) -> None:
    defined = {name for path in re.findall(FILE, line) for name in defined_in(path)}
    assert set(re.findall(FUNCTION, line)) - defined == set()


@pytest.mark.parametrize("heading", TRACES)
def test_a_trace_has_one_line_a_step_and_names_a_file_in_each(heading: str) -> None:
    steps = re.findall(r"^(\d+)\. (.*)$", section(PAGE, heading), flags=re.M)
    assert [int(number) for number, _ in steps] == list(range(1, STEPS + 1))
    for _, text in steps:
        assert re.match(r"`(pam_totp|admin_cli)/[\w./]+`", text), text
