"""The QR code on a terminal, read back as a camera would."""

from __future__ import annotations

import itertools
import os
import pty
import re
import termios
from pathlib import Path

import pytest

from admin_cli.commands.enrollment import otpauth, qr, terminal
from pam_totp.core.users import Authenticator
from tests.cli.terminal import (
    DARK,
    LIGHT,
    PROMPT,
    Terminal,
    Terminals,
    Theme,
    cells,
    draw,
    photograph,
    scan,
    uri_in,
)
from tests.support import thorough
from tests.support.place import SECRET, Place

LONG_HOST = "production-database-03.internal.example.com"
BLOCKS = re.compile("[\u2580\u2584\u2588]")


def shown_until_prompt(terminal: Terminal) -> str:
    terminal.wait_for(PROMPT)
    return terminal.shown


def drawing(shown: str) -> str:
    """Return the lines of the QR code alone."""
    return "\n".join(line for line in shown.split("\n") if "\x1b[" in line)


def enrolling(terminals: Terminals, *options: str, **environment: str) -> str:
    """Return what a large terminal shows until the prompt."""
    return shown_until_prompt(
        terminals.open("enroll", "alice", *options, columns=120, lines=60, **environment)
    )


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize("columns", [80, 132])
def test_a_camera_reads_the_address_off_the_terminal(
    terminals: Terminals, tmp_path: Path, theme: Theme, columns: int
) -> None:
    shown = shown_until_prompt(terminals.open("enroll", "alice", columns=columns, lines=40))
    assert uri_in(shown) == scan(photograph(shown, theme), tmp_path)


def test_a_camera_reads_a_long_host_name_off_80_columns(
    terminals: Terminals, place: Place, tmp_path: Path
) -> None:
    place.configure(issuer=LONG_HOST)
    shown = shown_until_prompt(terminals.open("enroll", "alice", lines=40))
    assert uri_in(shown) == scan(photograph(shown, DARK), tmp_path)
    assert f"{LONG_HOST}:alice@" in uri_in(shown)


@pytest.mark.parametrize("cell", [(7, 14), (9, 20), (6, 14)])
def test_a_camera_reads_it_in_cells_that_are_not_twice_as_high_as_wide(
    terminals: Terminals, tmp_path: Path, cell: tuple[int, int]
) -> None:
    shown = shown_until_prompt(terminals.open("enroll", "alice", lines=40))
    assert uri_in(shown) == scan(photograph(shown, DARK, cell), tmp_path)


THEMES = {
    "dark": DARK,
    "light": LIGHT,
    "solarized light": Theme((101, 123, 131), (253, 246, 227), (7, 54, 66), (238, 232, 213)),
}


@pytest.mark.parametrize("term", ["xterm-256color", "linux"])
def test_a_camera_reads_it_with_pixels_between_the_lines(
    terminals: Terminals, place: Place, tmp_path: Path, term: str
) -> None:
    """``above``: which part of them is above the characters."""
    place.configure(issuer="web")
    shown = enrolling(terminals, TERM=term)
    code = drawing(shown)
    missed = []
    for name, theme in THEMES.items():
        drawn = cells(code, theme)
        for above, gap in itertools.product((0, 0.5, 1), thorough.some(range(7), 3)):
            image = draw(drawn, theme, (9, 18), gap, above)
            if uri_in(shown) != scan(image, tmp_path):
                missed.append((name, above, gap))
    assert [] == missed


@pytest.mark.parametrize("gap", [0, 3])
def test_a_terminal_without_colours_shows_it_in_reverse(
    terminals: Terminals, tmp_path: Path, gap: int
) -> None:
    shown = enrolling(terminals, TERM="vt100")
    assert {"\x1b[0;7m", "\x1b[0m"} == set(re.findall(r"\x1b\[[^m]*m", shown))
    assert uri_in(shown) == scan(photograph(shown, DARK, gap=gap), tmp_path)


def test_a_terminal_that_is_not_known_here_gets_the_colours_that_all_have(
    terminals: Terminals,
) -> None:
    shown = enrolling(terminals, TERM="emulator-of-tomorrow")
    assert {"\x1b[0;30;47m", "\x1b[0;37;40m", "\x1b[0m"} == set(re.findall(r"\x1b\[[^m]*m", shown))


def test_truecolor_is_more_than_the_8_colours_that_the_terminal_type_has(
    terminals: Terminals,
) -> None:
    shown = enrolling(terminals, TERM="xterm", COLORTERM="truecolor")
    assert "48;5;231m" in shown


def test_what_is_dark_above_and_below_has_a_dark_background(terminals: Terminals) -> None:
    shown = enrolling(terminals)
    black, white = (0, 0, 0), (255, 255, 255)
    drawn = [cell for line in cells(drawing(shown), LIGHT) for cell in line]
    assert {" ", "\u2580"} == {cell.character for cell in drawn}
    assert {black, white} == {cell.background for cell in drawn}
    assert all({c.foreground, c.background} == {black, white} for c in drawn)


def test_the_colours_end_with_each_line(terminals: Terminals) -> None:
    shown = enrolling(terminals)
    assert all(line.endswith("\x1b[0m") for line in drawing(shown).split("\n"))


def test_code_and_prompt_of_a_usual_name_fit_24_lines_of_80_columns(terminals: Terminals) -> None:
    shown = shown_until_prompt(terminals.open("enroll", "alice"))
    last_screen = shown.split("\n")[-24:]
    code = drawing(shown).split("\n")
    assert code == last_screen[-1 - len(code) : -1]
    assert PROMPT == last_screen[-1]
    assert 80 >= max(len(line) for line in cells(drawing(shown), DARK))
    assert "too low" not in shown


def test_a_code_that_is_higher_than_the_window_says_so(terminals: Terminals, place: Place) -> None:
    place.configure(issuer=LONG_HOST)
    shown = shown_until_prompt(terminals.open("enroll", "alice", lines=24))
    lacking = len(drawing(shown).split("\n")) + 1 - 24
    assert lacking > 0
    assert f"make it {lacking} lines higher" in shown


def test_with_json_the_code_goes_to_the_terminal_of_stderr(
    terminals: Terminals, tmp_path: Path
) -> None:
    command = terminals.shell("{} enroll alice --json > " + str(tmp_path / "out"))
    shown = shown_until_prompt(terminals.open_command(command, lines=40))
    assert uri_in(shown) == scan(photograph(shown, DARK), tmp_path)
    assert "" == (tmp_path / "out").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("environment", "columns", "reason"),
    [
        ({"TERM": "dumb"}, 80, "the terminal has no colours"),
        ({"TERM": ""}, 80, "the terminal has no colours"),
        ({"PYTHONIOENCODING": "ascii"}, 80, "the terminal is not set to UTF-8"),
        ({"PYTHONIOENCODING": "latin-1"}, 80, "the terminal is not set to UTF-8"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0"}, 80, "the terminal is not set to UTF-8"),
        ({}, 30, "the terminal is 30 columns wide, and the QR code needs 37"),
        ({"COLUMNS": "200"}, 30, "the terminal is 30 columns wide, and the QR code needs 37"),
    ],
)
def test_where_no_code_can_be_drawn_the_address_stands_alone(
    terminals: Terminals,
    place: Place,
    environment: dict[str, str],
    columns: int,
    reason: str,
) -> None:
    place.configure(issuer="web")
    terminal = terminals.open("enroll", "alice", columns=columns, lines=40, **environment)
    shown = shown_until_prompt(terminal)
    assert f"No QR code here, because {reason}." in shown
    assert not BLOCKS.search(shown)
    assert "\x1b" not in shown
    assert uri_in(shown).startswith("otpauth://totp/web:alice@")


def test_the_code_is_drawn_as_wide_as_the_terminal_if_need_be(
    terminals: Terminals, place: Place, tmp_path: Path
) -> None:
    place.configure(issuer="web")
    shown = shown_until_prompt(terminals.open("enroll", "alice", columns=37, lines=40))
    assert uri_in(shown) == scan(photograph(drawing(shown), LIGHT), tmp_path)


def test_a_serial_line_that_knows_no_size_counts_as_80_columns() -> None:
    own, theirs = pty.openpty()
    with os.fdopen(own), os.fdopen(theirs, "w", encoding="utf-8") as stream:
        termios.tcsetwinsize(theirs, (0, 0))
        authenticator = Authenticator("id", "phone", SECRET)
        uri = otpauth.provisioning_uri(authenticator, "alice", "web")
        rows = qr.modules(uri)
        assert "" == terminal.reason_not_to_draw(rows, stream)
        assert 0 == terminal.lines_too_many(qr.plain_half_blocks(rows), stream)


def test_the_quiet_zone_is_two_light_modules_wide() -> None:
    rows = qr.modules("otpauth://totp/web:alice?secret=AAAA")
    edge = [*rows[:2], *rows[-2:], *[row[:2] + row[-2:] for row in rows]]
    assert {0} == {module for part in edge for module in part}
    assert 1 == rows[2][2] == rows[2][-3] == rows[-3][2]
