"""One line an event, in logfmt, to the LOG_AUTHPRIV facility.

The datagram goes to /dev/log by hand: openlog(3), and with it the stdlib's syslog module, would
change the name under which the application (sshd, sudo) logs from then on.
"""

from __future__ import annotations

import _socket
import os
import time
from typing import NamedTuple

from ..core import places

SYSLOG_SOCKET = "/dev/log"
MAX_VALUE_LENGTH = 256

program = ""  # the name in the log; "": what this process is called
SEND_SECONDS = 1.0  # for a logger that does not read; then the line is lost

_LOG_AUTHPRIV = 10 << 3
ERROR, WARNING, NOTICE, INFO, DEBUG = 3, 4, 5, 6, 7
_LEVELS = {
    "error": ERROR,
    "throttled": WARNING,
    "locked": WARNING,
    "finding": WARNING,
    "rejected": NOTICE,
    "replayed": NOTICE,
    "malformed": NOTICE,
    "unenrolled": NOTICE,
    "aborted": NOTICE,
    "debug": DEBUG,
}
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"  # by hand: strftime is localised
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@+-%")


class Source(NamedTuple):
    """The person and place of one login or one command: the start of each of its lines."""

    module: str  # "sshd:auth" or "totpctl"
    user: str = ""
    rhost: str = ""
    tty: str = ""
    ruser: str = ""

    @property
    def place(self) -> str:
        """The name of the place, by which known ones are told: see places.py."""
        return places.name_of(self.rhost, self.ruser, self.tty)


def record(event: str, source: Source, **fields: object) -> None:
    """Write one event. Never raises and never waits long: a dead logger locks nobody out."""
    line = format_line(event, source, fields)
    now = time.localtime()
    month = _MONTHS[3 * now.tm_mon - 3 : 3 * now.tm_mon]
    stamp = f"{month} {now.tm_mday:2d} {now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d}"
    priority = _LOG_AUTHPRIV | _LEVELS.get(event, INFO)
    deliver(f"<{priority}>{stamp} {_program()}[{os.getpid()}]: {line}".encode())


def send(datagram: bytes) -> None:
    """Give one line to the logger. Never raises; waits SEND_SECONDS at most."""
    try:
        sender = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            sender.settimeout(SEND_SECONDS)
            sender.connect(SYSLOG_SOCKET)
            sender.send(datagram)
        finally:
            sender.close()
    except OSError:
        pass


deliver = send  # what record() calls; the service, which must not wait, has another one


def format_line(event: str, source: Source, fields: dict[str, object]) -> str:
    """Return ``pam_totp(sshd:auth): event=... user=... key=value``, without the empty values."""
    pairs: dict[str, object] = {"event": event, **source._asdict(), **fields}
    module = "".join(map(_escape_bracket, _quote(str(pairs.pop("module")))))
    written = [
        f"{key}={_quote(str(value))}" for key, value in pairs.items() if value not in ("", None)
    ]
    return f"pam_totp({module}): " + " ".join(written)


def _quote(value: str) -> str:
    """Quote whatever could end the value, the line, or the reader's patience."""
    value = value[:MAX_VALUE_LENGTH]
    if value and _PLAIN.issuperset(value):
        return value
    return '"' + "".join(map(_escape, value)) + '"'


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else _by_number(character)


def _escape_bracket(character: str) -> str:
    """A service called ``x): event=...`` must not end the brackets before they end."""
    return _by_number(character) if character in "()" else character


def _by_number(character: str) -> str:
    return "\\u{" + format(ord(character), "x") + "}"


def _program() -> str:
    if program:
        return program
    try:
        with open("/proc/self/comm", encoding="utf-8", errors="replace") as comm:
            return _escape_program(comm.read(64).rstrip("\n"))
    except OSError:
        return "pam_totp"


def _escape_program(name: str) -> str:
    return "".join(c if c in _PLAIN else "_" for c in name) or "pam_totp"
