"""Ask the process of root's that serves totpctl me: show what it shows, and answer its prompts.

Nothing is decided here. It asks, judges and keeps; the kernel tells it who asks.
"""

from __future__ import annotations

import json
import os
import socket
import sys

from pam_totp.service import own_wire, wire
from pam_totp.service.connection import ECHO_OFF, ECHO_ON, ERROR
from pam_totp.service.own_wire import End, Message, OwnRequest

from ... import output
from ...errors import CommandFailed

_SECONDS = 20 * 60.0  # for all of it; the unit allows as much
_COLUMNS = 60  # of a terminal that can show a QR code


class OwnCommandFailed(CommandFailed):
    """What the other end said, with its exit code."""

    def __init__(self, end: End) -> None:
        super().__init__(end.problem, end.hint)
        self.exit_code = end.exit_code


def ask(kind: str, label: str = "") -> dict[str, object]:
    """Have ``kind`` done; return the state where that was asked for. Raises CommandFailed."""
    if os.geteuid() == 0:
        raise CommandFailed(
            "totpctl me is for people, and you are root",
            "run it without sudo; for others, see: totpctl show USER; totpctl reset USER",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(_SECONDS)
        _connect(connection)
        try:
            connection.send(own_wire.own_request(OwnRequest(kind, label, _shows_pictures())))
            return _converse(connection)
        except KeyboardInterrupt:
            output.message()
            raise CommandFailed("interrupted", "see what is in force with: totpctl me") from None
        except (OSError, ValueError, wire.ProtocolError):  # or no JSON
            raise _no_end() from None


def _connect(connection: socket.socket) -> None:
    try:
        connection.connect(own_wire.SOCKET)
    except OSError as error:
        raise CommandFailed(
            f"self-service is not to be reached: {own_wire.SOCKET}: {error.strerror}",
            "ask an administrator, who can run: systemctl enable --now pam_totp-me.socket",
        ) from None


def _converse(connection: socket.socket) -> dict[str, object]:
    state: dict[str, object] = {}
    while packet := connection.recv(wire.MAX_PACKET + 1):
        told = own_wire.parse_told(packet)
        if isinstance(told, End):
            if told.exit_code:
                raise OwnCommandFailed(told)
            return state
        if isinstance(told, Message):
            connection.send(_answer(told))
        else:
            state = json.loads(told)
    raise _no_end()


def _answer(told: Message) -> bytes:
    """Show a message, and return the answer to it."""
    if told.style == ECHO_ON:
        return own_wire.answer(_typed(told.text))
    if told.style == ECHO_OFF:
        return own_wire.answer(_typed(told.text, is_hidden=True))
    if told.style == ERROR:
        output.message(told.text)
    else:
        output.result(told.text)
    return own_wire.taken()


def _typed(prompt: str, *, is_hidden: bool = False) -> str:
    """Return a line that was typed; from another input than a terminal, its next line."""
    if is_hidden and sys.stdin.isatty():
        return output.ask_secretly(prompt.strip().removesuffix(":"), "")
    return output.ask(prompt.strip().removesuffix(":"))


def _shows_pictures() -> bool:
    stream = sys.stdout
    if not stream.isatty() or (stream.encoding or "").lower().replace("-", "") != "utf8":
        return False
    return os.get_terminal_size(stream.fileno()).columns >= _COLUMNS


def _no_end() -> CommandFailed:
    return CommandFailed(
        "the other end has gone without a word: too many people may be asking at once",
        "see what is in force with: totpctl me; try again in a minute",
    )
