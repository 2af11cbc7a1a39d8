"""What a login of pam_totp.so says and hears over its socket: docs/internals/protocol.md."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from ..login.conversation import UNREADABLE
from ..login.driver import BlockingDriver
from ..login.steps import PAM_SILENT, Reply, Request, Told
from ..system.errors import ConversationFailed, LoginAborted, PamTotpError
from . import wire

if TYPE_CHECKING:
    import _socket


ANSWER_SECONDS = 600.0  # for a person, at one prompt
ECHO_OFF, ECHO_ON, ERROR, INFO = 1, 2, 3, 4  # styles of a MESSAGE, and of pam_conv(3)


def request_of(asked: wire.RequestPacket) -> Request:
    """Return what the module says, as text. Raises PamTotpError for a service that is none."""
    try:
        service = (asked.service or b"").decode("utf-8")
    except UnicodeError:
        raise PamTotpError(
            "service", "its name is not text", "give the PAM file another name"
        ) from None
    return Request(
        service=service,
        user=_text(asked.user, ""),
        rhost=_text(asked.rhost, "?"),
        ruser=_text(asked.ruser, "?"),
        tty=_text(asked.tty, "?"),
        arguments=texts_of(asked.arguments),
        is_silent=bool(asked.flags & PAM_SILENT),
        password_given=bool(asked.flags & wire.PASSWORD_GIVEN),
        ssh_auth_info=(asked.ssh_auth_info or b"").decode("utf-8", "replace"),
        answer_kept=bool(asked.flags & wire.ANSWER_KEPT),
    )


@functools.lru_cache(maxsize=16)  # a machine has few PAM lines, and thousands may wait with one
def texts_of(arguments: tuple[bytes, ...]) -> tuple[str, ...]:
    return tuple(argument.decode("utf-8", "replace") for argument in arguments)


def processes_of(said: bytes | None) -> str:
    """Return what the module says of the application's processes."""
    return (said or b"").decode("ascii", "replace")


class Connection(BlockingDriver):
    """Asks and tells through the module at the other end of ``socket``, a SOCK_SEQPACKET one.

    For the one login of a process: each step is waited for.
    """

    def __init__(self, socket: _socket.socket, processes: bytes | None = None) -> None:
        """``processes``: what the module says of those of the application."""
        super().__init__()
        self._socket = socket
        self._processes = processes

    def processes(self) -> str:
        return processes_of(self._processes)

    def ask(self, prompt: str, *, echo: bool) -> Reply:
        return reply_of(self._converse(prompt_packet(prompt, echo=echo)))

    def ask_for_both(self, prompt: str, digits: tuple[int, ...]) -> bool:
        return kept_by(self._converse(wire.ask_both(prompt, digits)))

    def tell(self, text: str, *, is_error: bool) -> Told:
        try:
            return told_by(self._converse(message_packet(text, is_error=is_error)))
        except ConversationFailed:
            return NOT_TOLD

    def _converse(self, packet: bytes) -> wire.AnswerPacket:
        self.disconnect()
        try:
            self._socket.settimeout(ANSWER_SECONDS)
            self._socket.send(packet)
            return heard(self._socket.recv(wire.MAX_PACKET + 1))
        except TimeoutError:
            raise LoginAborted("conversation", TOO_LONG) from None
        except OSError:
            raise LoginAborted("conversation", GONE) from None


# What is said and heard, however it is waited for. The password never gets here: the module says
# when an answer equals it.

TOO_LONG = "nobody typed anything for too long"
GONE = "the application is gone"
NOT_TOLD = Told(is_shown=False)


def prompt_packet(prompt: str, *, echo: bool) -> bytes:
    return wire.message(ECHO_ON if echo else ECHO_OFF, prompt)


def message_packet(text: str, *, is_error: bool) -> bytes:
    return wire.message(ERROR if is_error else INFO, text)


def heard(packet: bytes) -> wire.AnswerPacket:
    """Return what came back; ``packet`` b"": the other end is closed.

    Raises LoginAborted where the application cannot ask, or is gone; ConversationFailed for what
    our module never sends, which is a fault and not the person's doing.
    """
    if not packet:
        raise LoginAborted("conversation", GONE)
    try:
        answer = wire.parse_answer(packet)
    except wire.ProtocolError as error:
        raise ConversationFailed("conversation", str(error)) from None
    if answer.kind == wire.FAILED:
        raise LoginAborted("conversation", "the application did not ask")
    return answer


def reply_of(answer: wire.AnswerPacket) -> Reply:
    """Return what was typed at a prompt, now. Raises LoginAborted where nothing was."""
    now = int(time.time())
    if answer.kind == wire.PASSWORD:
        return Reply("", now, is_password=True)
    if answer.kind != wire.TEXT:
        raise LoginAborted("conversation", "no answer came back")
    return Reply(_text(answer.text, UNREADABLE), now)


def kept_by(answer: wire.AnswerPacket) -> bool:
    """Return whether there was a code. Raises LoginAborted where nothing was typed at all."""
    if answer.kind not in (wire.KEPT, wire.NO_CODE):
        raise LoginAborted("conversation", "no answer came back")
    return answer.kind == wire.KEPT


def told_by(answer: wire.AnswerPacket) -> Told:
    return Told(is_shown=True, is_answered=answer.kind in (wire.TEXT, wire.PASSWORD))


def _text(value: bytes | None, otherwise: str) -> str:
    """Return it decoded; ``otherwise`` where it is not UTF-8."""
    try:
        return (value or b"").decode("utf-8")
    except UnicodeError:
        return otherwise
