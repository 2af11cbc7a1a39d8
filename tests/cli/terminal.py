"""totpctl on a terminal, what a person sees there, and what a phone's camera would."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import termios
import time
from pathlib import Path
from typing import Any, NamedTuple

import pexpect
import pyte
from pexpect import fdpexpect
from PIL import Image

from tests.cli.command import Totpctl, fork_at_terminal, may_be_fork
from tests.support.place import code_now
from tests.support.starter import Running

PROMPT = "Code shown by the app: "


class Terminal:
    """One command on a pseudo-terminal of ``columns`` by ``lines``.

    It is a fork that does as the command where that is the same; never if it is ``alone``.
    """

    def __init__(
        self,
        command: list[str],
        columns: int,
        lines: int,
        environment: dict[str, str],
        *,
        alone: bool = False,
    ) -> None:
        self._shown = io.StringIO()
        shown: Any = {"encoding": "utf-8", "codec_errors": "backslashreplace", "timeout": 60}
        self._running: Running | None = None
        self._child: Any
        if not alone and may_be_fork(command, environment):
            mine, terminal = os.openpty()
            termios.tcsetwinsize(terminal, (lines, columns))
            self._running = fork_at_terminal(command, environment, terminal)
            os.close(terminal)
            self._child = fdpexpect.fdspawn(mine, **shown)
        else:
            self._child = pexpect.spawn(
                command[0],
                command[1:],
                env=environment,
                dimensions=(lines, columns),
                # Tests in the background of a script are started with Ctrl-C ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                **shown,
            )
        self._child.delaybeforesend = None
        self._child.logfile_read = self._shown
        self._pid: int = self._running.pid if self._running else self._child.pid

    def wait_for(self, text: str) -> None:
        self._child.expect_exact(text)

    def type(self, line: str) -> None:
        self._child.sendline(line)

    def answer(self, prompt: str, line: str) -> None:
        self.wait_for(prompt)
        self.type(line)

    def press_ctrl_c(self) -> None:
        """Press it once the command waits for input, as a person does who has read the prompt.

        A signal between Python's last look and its read(2) would wait for the next key.
        """
        while not (self._sleeps() and self._sleeps()):
            pass
        self._child.send("\x03")

    def _sleeps(self) -> bool:
        time.sleep(0.05)
        stat = Path("/proc", str(self._pid), "stat").read_text(encoding="utf-8")
        return stat.rpartition(")")[2].split()[0] == "S"

    def press_ctrl_d(self) -> None:
        self._child.send("\x04")

    def end(self) -> int:
        """Wait until the command is over and return its exit code."""
        self._child.expect(pexpect.EOF)
        if self._running:
            running, self._running = self._running, None
            status = running.wait(60)
        else:
            self._child.close()
            assert self._child.signalstatus is None, self.shown
            status = int(self._child.exitstatus)
        assert status >= 0, self.shown
        return status

    def close(self) -> None:
        if self._running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._running.wait(60)
        elif not isinstance(self._child, fdpexpect.fdspawn) and self._child.isalive():
            self._child.kill(signal.SIGKILL)
        self._child.close()

    def process_files(self, *names: str) -> bytes:
        """Return what /proc tells everybody who may ask about the running command."""
        return b"".join(Path("/proc", str(self._pid), name).read_bytes() for name in names)

    @property
    def shown(self) -> str:
        """Return all that came so far, control sequences included."""
        return self._shown.getvalue().replace("\r\n", "\n")

    @property
    def secret(self) -> bytes:
        """Return the secret that enroll or reset showed as text."""
        return secret_of(uri_in(self.shown))


class Terminals:
    def __init__(self, totpctl: Totpctl) -> None:
        self._totpctl = totpctl
        self._opened: list[Terminal] = []

    def open(
        self,
        *arguments: str,
        columns: int = 80,
        lines: int = 24,
        alone: bool = False,
        **environment: str,
    ) -> Terminal:
        command = self._totpctl.command(*arguments)
        return self.open_command(command, columns, lines, alone=alone, **environment)

    def open_command(
        self,
        command: list[str],
        columns: int = 80,
        lines: int = 24,
        *,
        alone: bool = False,
        **environment: str,
    ) -> Terminal:
        everything = self._totpctl.environment | environment
        terminal = Terminal(command, columns, lines, everything, alone=alone)
        self._opened.append(terminal)
        return terminal

    def shell(self, script: str) -> list[str]:
        """Return a command line that runs ``script`` in a shell; {} in it is totpctl."""
        return ["/bin/sh", "-c", script.format(shlex.join(self._totpctl.command()))]

    def enrol(self, *arguments: str) -> Terminal:
        """Run enroll or reset to its end, typing the right code."""
        terminal = self.open(*arguments)
        terminal.wait_for(PROMPT)
        terminal.type(code_now(secret=terminal.secret))
        assert 0 == terminal.end(), terminal.shown
        return terminal

    def close(self) -> None:
        for terminal in self._opened:
            terminal.close()


def uri_in(shown: str) -> str:
    """Return the address that was shown, also where the terminal would wrap it."""
    found = re.search(r"otpauth://\S+", shown)
    assert found, f"no address in: {shown}"
    return found[0]


def secret_of(uri: str) -> bytes:
    """Return the bytes of a URI's secret."""
    text = re.search(r"[?&]secret=([A-Z2-7]+)", uri)
    assert text, uri
    return base64.b32decode(text[1] + "=" * (-len(text[1]) % 8))


def early_in_a_step() -> None:
    """Wait, if need be, until a step has enough seconds left for a test to see one only."""
    while time.time() % 30 > 20:
        time.sleep(0.1)


class Theme(NamedTuple):
    """The colours of a terminal: where nothing is said, and those that it calls black and white."""

    foreground: tuple[int, int, int]
    background: tuple[int, int, int]
    black: tuple[int, int, int] = (0, 0, 0)
    white: tuple[int, int, int] = (229, 229, 229)


DARK = Theme((255, 255, 255), (0, 0, 0))
LIGHT = Theme((0, 0, 0), (255, 255, 255))

_GREY = (128, 128, 128)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_UPPER_LOWER = {"\u2580": "10", "\u2584": "01", "\u2588": "11", "#": "11"}  # what is drawn


class Cell(NamedTuple):
    character: str
    foreground: tuple[int, int, int]
    background: tuple[int, int, int]


def cells(shown: str, theme: Theme) -> list[list[Cell]]:
    """Return what a terminal makes of ``shown``; of sequences, only colours may be in it."""
    plain = _COLOUR.sub("", shown)
    assert "\x1b" not in plain, f"a control sequence that is no colour: {shown!r}"
    lengths = [len(line) for line in plain.split("\n")]
    screen = pyte.Screen(max(*lengths, 1), len(lengths))
    screen.set_mode(pyte.modes.LNM)
    pyte.Stream(screen).feed(shown)
    return [
        [_cell(screen.buffer[y][x], theme) for x in range(length)]
        for y, length in enumerate(lengths)
    ]


def screen_cells(screen: pyte.Screen, theme: Theme) -> list[list[Cell]]:
    """Return what is on a screen."""
    columns = range(screen.columns)
    return [[_cell(screen.buffer[y][x], theme) for x in columns] for y in range(screen.lines)]


def _cell(drawn: pyte.screens.Char, theme: Theme) -> Cell:
    foreground = _colour(drawn.fg, theme, theme.foreground)
    background = _colour(drawn.bg, theme, theme.background)
    if drawn.reverse:
        foreground, background = background, foreground
    return Cell(drawn.data, foreground, background)


def photograph(
    shown: str,
    theme: Theme,
    cell: tuple[int, int] = (8, 16),
    gap: int = 0,
    above: float = 0,
) -> Image.Image:
    """Return the picture that a terminal makes of ``shown``: see draw()."""
    return draw(cells(shown, theme), theme, cell, gap, above)


def draw(
    lines: list[list[Cell]],
    theme: Theme,
    cell: tuple[int, int] = (8, 16),
    gap: int = 0,
    above: float = 0,
) -> Image.Image:
    """Return the picture that a terminal with cells of so many pixels makes of ``lines``.

    ``gap``: pixels that it adds to each line, of the cell's background; ``above``: which part of
    them is above the characters.
    """
    width, height = cell
    pitch = height + gap
    size = ((max(map(len, lines)) + 4) * width, (len(lines) + 2) * pitch)
    image = Image.new("RGB", size, theme.background)
    for y, line in enumerate(lines, 1):
        top = y * pitch
        for x, drawn in enumerate(line, 2):
            left, right = x * width, (x + 1) * width
            image.paste(drawn.background, (left, top, right, top + pitch))
            for half, is_drawn in enumerate(_UPPER_LOWER.get(drawn.character, "00")):
                if is_drawn == "1":
                    begin = top + int(gap * above) + half * (height // 2)
                    image.paste(drawn.foreground, (left, begin, right, begin + height // 2))
    return image


def scan(image: Image.Image, folder: Path) -> str:
    """Return what a QR code reader finds in ``image``."""
    path = folder / "screen.png"
    image.save(path)
    command = ["zbarimg", "-q", "--raw", str(path)]
    found = subprocess.run(command, capture_output=True, check=False)
    return found.stdout.decode("utf-8").rstrip("\n")


def _colour(name: str, theme: Theme, default: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the colour that pyte calls ``name``: of 256 in hexadecimal digits, of 8 by name."""
    named = {"default": default, "black": theme.black, "white": theme.white}
    if not re.fullmatch("[0-9a-f]{6}", name):
        return named.get(name, _GREY)  # the rest is on the status line of a program
    red, green, blue = bytes.fromhex(name)
    return red, green, blue
