"""Connection: drives one login of pam_totp.so, over its socket. docs/internals/protocol.md."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..login.conversation import UNREADABLE
from ..login.driver import BlockingDriver
from ..login.steps import PAM_SILENT, Reply, Request, Told, Turn
from ..store import fresh_connection
from ..system.errors import ConversationFailed, LoginAborted, PamTotpError
from . import wire

if TYPE_CHECKING:
    import _socket

    from ..store import Connections
    from .prompts import Place, Prompts

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
        arguments=tuple(arguments_of(asked)),
        is_silent=bool(asked.flags & PAM_SILENT),
        password_given=bool(asked.flags & wire.PASSWORD_GIVEN),
        ssh_auth_info=(asked.ssh_auth_info or b"").decode("utf-8", "replace"),
    )


def arguments_of(asked: wire.RequestPacket) -> list[str]:
    return [argument.decode("utf-8", "replace") for argument in asked.arguments]


class Connection(BlockingDriver):
    """Asks and tells through the module at the other end of ``socket``, a SOCK_SEQPACKET one.

    ``prompts`` counts those who wait at theirs; None in a worker of one login.
    """

    def __init__(
        self,
        socket: _socket.socket,
        asked: wire.RequestPacket,
        prompts: Prompts | None = None,
        connections: Connections = fresh_connection,
    ) -> None:
        super().__init__(connections)
        self._socket = socket
        self._asked = asked
        self._prompts = prompts
        self._place: Place | None = None

    def take_place(self, name: str, /) -> Turn:
        """Only here, not when the login begins: one that asks nothing needs no place."""
        if self._prompts is None:
            return Turn()
        items = (self._asked.rhost, self._asked.ruser, self._asked.tty)
        origin = [(item or b"").decode("utf-8", "replace") for item in items]
        self._place = place = self._prompts.enter(name, *origin)
        return Turn(place.may_ask, place.may_tell, place.news)

    def leave_place(self) -> None:
        if self._prompts is not None and self._place is not None:
            self._prompts.leave(self._place)

    def ask(self, prompt: str, *, echo: bool) -> Reply:
        """The password never gets here: the module says when an answer equals it."""
        reply = self._converse(ECHO_ON if echo else ECHO_OFF, prompt)
        now = int(time.time())
        if reply.kind == wire.PASSWORD:
            return Reply("", now, is_password=True)
        if reply.kind != wire.TEXT:
            raise LoginAborted("conversation", "no answer came back")
        return Reply(_text(reply.text, UNREADABLE), now)

    def tell(self, text: str, *, is_error: bool) -> Told:
        try:
            reply = self._converse(ERROR if is_error else INFO, text)
        except ConversationFailed:
            return Told(is_shown=False)
        return Told(is_shown=True, is_answered=reply.kind in (wire.TEXT, wire.PASSWORD))

    def _converse(self, style: int, text: str) -> wire.AnswerPacket:
        """Have the module show ``text``; return what came back.

        Raises LoginAborted where the application cannot ask, or is gone; ConversationFailed for
        what our module never sends, which is a fault and not the person's doing.
        """
        try:
            self._socket.settimeout(ANSWER_SECONDS)
            self._socket.send(wire.message(style, text))
            packet = self._socket.recv(wire.MAX_PACKET + 1)
            if not packet:
                raise LoginAborted("conversation", "the application is gone")
            reply = wire.parse_answer(packet)
        except TimeoutError:
            raise LoginAborted("conversation", "nobody typed anything for too long") from None
        except OSError:
            raise LoginAborted("conversation", "the application is gone") from None
        except wire.ProtocolError as error:
            raise ConversationFailed("conversation", str(error)) from None
        if reply.kind == wire.FAILED:
            raise LoginAborted("conversation", "the application did not ask")
        return reply


def _text(value: bytes | None, otherwise: str) -> str:
    """Return it decoded; ``otherwise`` where it is not UTF-8."""
    try:
        return (value or b"").decode("utf-8")
    except UnicodeError:
        return otherwise
