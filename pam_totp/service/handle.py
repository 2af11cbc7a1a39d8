"""The ``pamh`` of a login that goes on in another process: what pam_python gives, over a socket.

login.py lists what a hook may use of it. Text is decoded when it is read, as pam_python does it,
so that what is not UTF-8 raises the same UnicodeDecodeError at the same place.
"""

from __future__ import annotations

from ..system.errors import PamTotpError
from . import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from .prompts import Place, Prompts

ANSWER_SECONDS = 600.0  # for a person, at one prompt

# Stands for PAM_AUTHTOK where it is known by hearsay: the module says when an answer equals it.
_SAME_AS_PASSWORD = "\0the password"


class ConversationError(PamTotpError):
    """The application could not ask, or is gone."""

    is_fault = False


class Misunderstood(ConversationError):
    """The module sent what no module of ours sends: a fault, and not the person's doing."""

    is_fault = True


class Message:
    """What is shown, as pam_python's Message."""

    def __init__(self, msg_style: int, msg: str) -> None:
        self.msg_style = msg_style
        self.msg = msg


class Response:
    """What was typed: ``resp`` is text, or None."""

    def __init__(self, reply: wire.Reply) -> None:
        self._reply = reply

    @property
    def resp(self) -> str | None:
        if self._reply.kind == wire.TEXT:
            return self._reply.text.decode("utf-8")
        return _SAME_AS_PASSWORD if self._reply.kind == wire.PASSWORD else None


_Message = Message  # in Handle, Message is the attribute


class Handle:
    """One pam_sm_authenticate call of a peer; ``connection`` is a SOCK_SEQPACKET socket.

    ``prompts`` counts those who wait at theirs; None in a worker of one login.
    """

    PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_ERROR_MSG, PAM_TEXT_INFO = 1, 2, 3, 4
    exception = ConversationError
    Message = Message

    # Never an answer that was typed: that holds no NUL. An absent password is as good as one.
    authtok = _SAME_AS_PASSWORD

    def __init__(
        self, connection: _socket.socket, request: wire.Request, prompts: Prompts | None = None
    ) -> None:
        self._connection = connection
        self._request = request
        self._prompts = prompts
        self._place: Place | None = None

    @property
    def password_given(self) -> bool:
        """Whether a module before this one asked for a password: for a right one or a wrong one."""
        return bool(self._request.flags & wire.PASSWORD_GIVEN)

    def get_user(self, _prompt: str | None = None) -> str | None:
        return _text(self._request.user)

    @property
    def service(self) -> str | None:
        return _text(self._request.service)

    @property
    def rhost(self) -> str | None:
        return _text(self._request.rhost)

    @property
    def ruser(self) -> str | None:
        return _text(self._request.ruser)

    @property
    def tty(self) -> str | None:
        return _text(self._request.tty)

    @property
    def env(self) -> dict[str, str]:
        info = self._request.ssh_auth_info
        return {} if info is None else {"SSH_AUTH_INFO_0": info.decode("utf-8", "replace")}

    def take_place(self, name: str) -> Place | None:
        """Take a place at which a person can be asked; None where nobody counts them.

        Only then, not when the login begins: one that asks nothing needs none.
        """
        if self._prompts is not None:
            items = (self._request.rhost, self._request.ruser, self._request.tty)
            origin = [(item or b"").decode("utf-8", "replace") for item in items]
            self._place = self._prompts.enter(name, *origin)
        return self._place

    def leave_place(self) -> None:
        if self._prompts is not None and self._place is not None:
            self._prompts.leave(self._place)

    def conversation(self, message: _Message) -> Response:
        """Show ``message`` through the application. Raises ConversationError, UnicodeError."""
        try:
            self._connection.settimeout(ANSWER_SECONDS)
            self._connection.send(wire.message(message.msg_style, message.msg))
            packet = self._connection.recv(wire.MAX_PACKET + 1)
            if not packet:
                raise ConversationError("conversation", "the application is gone")
            reply = wire.parse_answer(packet)
        except TimeoutError:
            raise ConversationError("conversation", "nobody typed anything for too long") from None
        except OSError:
            raise ConversationError("conversation", "the application is gone") from None
        except wire.ProtocolError as error:
            raise Misunderstood("conversation", str(error)) from None
        if reply.kind == wire.FAILED:
            raise ConversationError("conversation", "the application did not ask")
        return Response(reply)

    def fail_delay(self, microseconds: int) -> None:
        """Ask libpam for a wait of about this long if the login fails: pam_fail_delay(3)."""
        try:
            self._connection.send(wire.delay(microseconds))
        except OSError:
            raise ConversationError("conversation", "the application is gone") from None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8")
