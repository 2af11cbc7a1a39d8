"""The QR code through programs that draw a terminal of their own: tmux and minicom."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest

from tests.cli.command import Totpctl
from tests.cli.terminal import (
    DARK,
    LIGHT,
    PROMPT,
    Terminals,
    Theme,
    draw,
    photograph,
    scan,
    screen_cells,
    uri_in,
)
from tests.support.place import Place

COLUMNS, LINES = 100, 50
TYPES = {"minicom": ("vt220", "vt100", "linux"), "tmux": ("screen", "tmux-256color")}


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Callable[..., str]]:
    command = ("tmux", "-u", "-f", "/dev/null", "-S", str(tmp_path / "tmux"))
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, check=True, timeout=20
        )
        return done.stdout.decode("utf-8")

    yield run
    subprocess.run([*command, "kill-server"], check=False, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=["dark", "light"])
@pytest.mark.parametrize("kind", TYPES["tmux"])
def test_a_camera_reads_it_off_tmux(
    totpctl: Totpctl,
    place: Place,
    tmp_path: Path,
    tmux: Callable[..., str],
    theme: Theme,
    kind: str,
) -> None:
    place.configure(issuer="web")
    environment = totpctl.environment | {"TERM": kind}
    words = ["env", *(f"{key}={value}" for key, value in environment.items())]
    command = shlex.join([*words, *totpctl.command("enroll", "alice")])
    tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), command)
    deadline = time.monotonic() + 60
    shown = ""
    while PROMPT.strip() not in shown:
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)
        shown = tmux("capture-pane", "-p", "-e", "-N")
    read = [scan(photograph(shown, theme, gap=gap), tmp_path) for gap in range(7)]
    assert [uri_in(shown)] * 7 == read


class Minicom:
    """A real minicom, and the screen on which it shows what comes over its line."""

    def __init__(self, home: Path) -> None:
        self._line, theirs = pty.openpty()
        tty.setraw(theirs)
        self._theirs = theirs
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.Stream(self.screen)
        self._child: Any = pexpect.spawn(
            "minicom",
            ["-o", "-c", "on", "-D", os.ttyname(theirs)],
            env={
                "PATH": os.environ["PATH"],
                "LC_ALL": "C.UTF-8",
                "TERM": "xterm-256color",
                "HOME": str(home),
            },
            dimensions=(LINES, COLUMNS),
            encoding="utf-8",
        )
        self.show_until("Press CTRL-A Z")

    def send(self, text: str) -> None:
        os.write(self._line, text.replace("\n", "\r\n").encode("utf-8"))

    def show_until(self, text: str) -> None:
        deadline = time.monotonic() + 20
        while not any(text in line for line in self.screen.display):
            assert time.monotonic() < deadline, self.screen.display
            try:
                self._stream.feed(self._child.read_nonblocking(65536, 0.1))
            except pexpect.TIMEOUT:
                continue

    def close(self) -> None:
        self._child.close(force=True)
        os.close(self._line)
        os.close(self._theirs)


@pytest.fixture
def minicom(tmp_path: Path) -> Iterator[Minicom]:
    started = Minicom(tmp_path)
    yield started
    started.close()


@pytest.mark.parametrize("kind", TYPES["minicom"])
def test_a_camera_reads_it_off_minicom(
    terminals: Terminals, place: Place, tmp_path: Path, minicom: Minicom, kind: str
) -> None:
    place.configure(issuer="web")
    terminal = terminals.open("enroll", "alice", lines=LINES, TERM=kind)
    terminal.wait_for(PROMPT)
    minicom.send("\n" + terminal.shown)
    minicom.show_until(PROMPT.strip())
    shown = screen_cells(minicom.screen, DARK)
    read = [scan(draw(shown, DARK, gap=gap), tmp_path) for gap in range(7)]
    assert [uri_in(terminal.shown)] * 7 == read
