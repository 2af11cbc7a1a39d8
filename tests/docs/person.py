"""Somebody at a terminal, who types what a page says and answers what is asked."""

from __future__ import annotations

import base64
import re
import time
from typing import NamedTuple

import pexpect

from tests.support.booted import Booted
from tests.support.machine import Machine
from tests.support.place import code_now

PERIOD = 30  # seconds
NEARLY_OVER = 3  # seconds of a period: a code taken then may be too old when it arrives
PASSWORD = "correct horse of alice"
_DONE = r"<<status (\d+)>>"
_FIRST_WORDS = "unset HISTFILE; PAGER=cat; export PAGER; PS1='<<status $?>>' PS2='<<more>>'"
# What is asked, and which answer a person gives. The end of the buffer: a question waits.
_QUESTIONS = {
    r"\[y/N\]: $": "yes",
    r"(?:Code shown by the app|Verification code|Code): $": "code",
    r"[Pp]assword(?: for \w+| for user \"\w+\"| of the database role \w+)?: $": "password",
    r"Enter it again: $": "password",
    r"[Pp]assphrase (?:(?:for|of) the file|again): $": "password",
    r"Press Enter once [^:]*: $": "",
    r"\(yes/no/\[fingerprint\]\)\? $": "yes",
    r"\w+@\w+:[~/]\S*\$ $": "prompt",  # of a shell that has just begun, on another machine
}


class App:
    """The app on somebody's phone. It gives no code twice, and begins with the oldest good one."""

    def __init__(self) -> None:
        self._secret = b""
        self._last_step = 0

    def scan(self, shown: str) -> None:
        """Take the newest secret that is shown, if there is any."""
        for secret in re.findall(r"otpauth://\S*[?&]secret=([A-Z2-7]+)", shown):
            new = base64.b32decode(secret + "=" * (-len(secret) % 8))
            if new != self._secret:
                self._secret, self._last_step = new, 0

    def code(self) -> str:
        assert self._secret, "nobody has shown a secret"
        while PERIOD - time.time() % PERIOD < NEARLY_OVER:
            time.sleep(0.2)
        now = int(time.time()) // PERIOD
        step = max(now - 1, self._last_step + 1)
        while step > int(time.time()) // PERIOD + 1:
            time.sleep(0.2)
        self._last_step = step
        return code_now(step - int(time.time()) // PERIOD, self._secret)

    def shown_now(self) -> str:
        """Return the code of this moment, which may have been given before."""
        return code_now(0, self._secret)


class Ended(NamedTuple):
    """What a typed command showed, answers left out, and its exit status."""

    shown: str
    status: int


class Shell:
    """A shell at a terminal of ``machine``; whose it is says ``argv``.

    The terminal is one of the machine around it: so comes who enters a container with nsenter.
    """

    def __init__(self, machine: Booted | Machine, app: App, *argv: str) -> None:
        self._app = app
        self.transcript = ""
        self._terminal = machine.spawn(*argv)
        self._terminal.sendline(_FIRST_WORDS)
        self._terminal.expect_exact("<<status 0>>")
        self.type("true")  # the echo of the first words is behind us

    def type(self, line: str) -> Ended | None:
        """Type a line and answer until it ends. Return None if the shell waits for more of it."""
        self._terminal.sendline(line)
        shown = ""
        patterns = [_DONE, "<<more>>", *_QUESTIONS]
        while True:
            try:
                at = self._terminal.expect(patterns)
            except (pexpect.TIMEOUT, pexpect.EOF) as error:
                raise AssertionError(f"{line}: {shown}{self._terminal.before}") from error
            shown += self._terminal.before
            self.transcript += self._terminal.before
            self._app.scan(shown)
            if at == 0:
                return Ended(shown.replace("\r", ""), int(self._terminal.match[1]))
            if at == 1:
                return None
            shown += self._terminal.after
            self._terminal.sendline(self._answer(patterns[at]))

    def _answer(self, question: str) -> str:
        kind = _QUESTIONS[question]
        if kind == "code":
            return self._app.code()
        return {"password": PASSWORD, "prompt": _FIRST_WORDS}.get(kind, kind)
