"""totpctl on a terminal, what a person sees there, and what a phone's camera would."""

from __future__ import annotations

import base64
import io
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

import pexpect
from PIL import Image

from tests.cli.command import Totpctl
from tests.support.place import code_now

PROMPT = "Code shown by the app: "


class Terminal:
    """One command on a pseudo-terminal of ``columns`` by ``lines``."""

    def __init__(
        self, command: list[str], columns: int, lines: int, environment: dict[str, str]
    ) -> None:
        self._shown = io.StringIO()
        self._child: Any = pexpect.spawn(
            command[0],
            command[1:],
            env=environment,
            dimensions=(lines, columns),
            encoding="utf-8",
            codec_errors="backslashreplace",
            timeout=60,
            # Tests that run in the background of a script are started with Ctrl-C ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._child.delaybeforesend = None
        self._child.logfile_read = self._shown

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
        self._child.sendintr()

    def _sleeps(self) -> bool:
        time.sleep(0.05)
        stat = Path("/proc", str(self._child.pid), "stat").read_text(encoding="utf-8")
        return stat.rpartition(")")[2].split()[0] == "S"

    def press_ctrl_d(self) -> None:
        self._child.sendeof()

    def end(self) -> int:
        """Wait until the command is over and return its exit code."""
        self._child.expect(pexpect.EOF)
        self._child.close()
        assert self._child.signalstatus is None, self.shown
        return int(self._child.exitstatus)

    def close(self) -> None:
        if self._child.isalive():
            self._child.kill(signal.SIGKILL)
        self._child.close()

    def process_files(self, *names: str) -> bytes:
        """Return what /proc tells everybody who may ask about the running command."""
        return b"".join(Path("/proc", str(self._child.pid), name).read_bytes() for name in names)

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
        self, *arguments: str, columns: int = 80, lines: int = 24, **environment: str
    ) -> Terminal:
        command = self._totpctl.command(*arguments)
        return self.open_command(command, columns, lines, **environment)

    def open_command(
        self, command: list[str], columns: int = 80, lines: int = 24, **environment: str
    ) -> Terminal:
        terminal = Terminal(command, columns, lines, self._totpctl.environment | environment)
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
    """The colours that a terminal uses where nothing is said."""

    foreground: tuple[int, int, int]
    background: tuple[int, int, int]


DARK = Theme((255, 255, 255), (0, 0, 0))
LIGHT = Theme((0, 0, 0), (255, 255, 255))
DARK_MODULE, LIGHT_MODULE = (0, 0, 0), (255, 255, 255)

_SEQUENCE = re.compile(r"\x1b\[([0-9;]*)m|(\x1b.)|([^\x1b])", re.DOTALL)
_DARK_HALVES = {" ": "00", "\u2580": "10", "\u2584": "01", "\u2588": "11"}  # upper, lower


class Cell(NamedTuple):
    character: str
    foreground: tuple[int, int, int] | None  # None: whatever the theme has
    background: tuple[int, int, int] | None


def cells(shown: str) -> list[list[Cell]]:
    """Interpret the colours of ``shown``; nothing but colours may be in it."""
    lines: list[list[Cell]] = [[]]
    foreground = background = None
    for colours, other, character in _SEQUENCE.findall(shown):
        assert not other, f"a control sequence that is no colour: {other!r}"
        if character == "\n":
            lines.append([])
        elif character:
            lines[-1].append(Cell(character, foreground, background))
        else:
            numbers = [int(number or 0) for number in colours.split(";")]
            while numbers:
                number = numbers.pop(0)
                if number == 0:
                    foreground = background = None
                elif number in (38, 48):
                    assert 5 == numbers.pop(0)
                    colour = _colour(numbers.pop(0))
                    foreground = colour if number == 38 else foreground
                    background = colour if number == 48 else background
                else:
                    raise AssertionError(f"a colour that depends on the theme: {number}")
    return lines


def photograph(shown: str, theme: Theme, cell: tuple[int, int] = (8, 16)) -> Image.Image:
    """Return the picture that a terminal with cells of so many pixels makes of ``shown``."""
    lines = cells(shown)
    width, height = cell
    size = ((max(map(len, lines)) + 4) * width, (len(lines) + 2) * height)
    image = Image.new("RGB", size, theme.background)
    for y, line in enumerate(lines, 1):
        for x, drawn in enumerate(line, 2):
            foreground = drawn.foreground or theme.foreground
            background = drawn.background or theme.background
            halves = _DARK_HALVES.get(drawn.character, "00")
            for half, is_foreground in enumerate(halves):
                top = y * height + half * height // 2
                colour = foreground if is_foreground == "1" else background
                box = (x * width, top, (x + 1) * width, top + height // 2)
                image.paste(colour, box)
    return image


def scan(image: Image.Image, folder: Path) -> str:
    """Return what a QR code reader finds in ``image``."""
    path = folder / "screen.png"
    image.save(path)
    command = ["zbarimg", "-q", "--raw", str(path)]
    found = subprocess.run(command, capture_output=True, check=False)
    return found.stdout.decode("utf-8").rstrip("\n")


def _colour(number: int) -> tuple[int, int, int]:
    """Return a colour of the 6x6x6 cube; the first 16 depend on the theme."""
    assert 16 <= number <= 231, f"colour {number} depends on the theme"
    steps = (0, 95, 135, 175, 215, 255)
    number -= 16
    return steps[number // 36], steps[number // 6 % 6], steps[number % 6]
