"""A PAM handle as pam_python makes it, with the numbers of the real header (libpam0g-dev)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

HEADER = Path("/usr/include/security/_pam_types.h")
CONSTANTS = {
    name: int(value, 0)
    for name, value in re.findall(
        r"^#define\s+(PAM_\w+)\s+(0x[0-9a-fA-F]+|\d+)U?\b",
        HEADER.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
}
Answer = str | bytes | None | BaseException | Callable[[], "str | None"]


class PamException(Exception):
    """What pam_python raises as pamh.exception."""


class Message:
    def __init__(self, msg_style: int, msg: str) -> None:
        self.msg_style = msg_style
        self.msg = msg


class Response:
    """``resp`` decodes the answer only when it is read, as pam_python does."""

    def __init__(self, answer: str | bytes | None) -> None:
        self._answer = answer

    @property
    def resp(self) -> str | None:
        return self._answer.decode("utf-8") if isinstance(self._answer, bytes) else self._answer


class FakePam:
    """Gives ``answers`` one by one, and keeps what was asked and shown.

    An answer may be text, bytes, None, an exception to raise, or a function that returns it and
    does something meanwhile. An item may be an exception as well. ``blind``: messages are answered,
    as sshd's password method does it. ``delays``: what was asked for, in microseconds.
    """

    PAM_PROMPT_ECHO_OFF = CONSTANTS["PAM_PROMPT_ECHO_OFF"]
    PAM_PROMPT_ECHO_ON = CONSTANTS["PAM_PROMPT_ECHO_ON"]
    PAM_ERROR_MSG = CONSTANTS["PAM_ERROR_MSG"]
    PAM_TEXT_INFO = CONSTANTS["PAM_TEXT_INFO"]
    Message = Message
    exception = PamException

    def __init__(
        self,
        user: object = "alice",
        answers: Iterable[Answer] = (),
        *,
        service: object = "sshd",
        rhost: object = "198.51.100.7",
        tty: object = "ssh",
        ruser: object = None,
        authtok: object = None,
        env: dict[str, str] | None = None,
        deaf: type[BaseException] | None = None,
        blind: bool = False,
        may_set_authtok: bool = False,
    ) -> None:
        self.may_set_authtok = may_set_authtok
        self._items = {"service": service, "rhost": rhost, "tty": tty, "ruser": ruser}
        self._items |= {"user": user, "authtok": authtok}
        self._answers = list(answers)
        self._deaf = deaf
        self._blind = blind
        self.env = env or {}
        self.transcript: list[tuple[int, str]] = []
        self.delays: list[int] = []

    service = property(lambda self: self._item("service"))
    rhost = property(lambda self: self._item("rhost"))
    tty = property(lambda self: self._item("tty"))
    ruser = property(lambda self: self._item("ruser"))

    @property
    def authtok(self) -> object:
        return self._item("authtok")

    @authtok.setter
    def authtok(self, value: str) -> None:
        assert self.may_set_authtok
        self._items["authtok"] = value

    def fail_delay(self, microseconds: int) -> None:
        self.delays.append(microseconds)

    def get_user(self, prompt: str | None) -> object:
        assert prompt is None
        return self._item("user")

    def conversation(self, message: Message) -> Response:
        self.transcript.append((message.msg_style, message.msg))
        if message.msg_style not in (self.PAM_PROMPT_ECHO_OFF, self.PAM_PROMPT_ECHO_ON):
            if self._deaf:
                raise self._deaf
            return Response("" if self._blind else None)
        assert self._answers, "asked more often than expected"
        answer = self._answers.pop(0)
        if callable(answer):
            answer = answer()
        if isinstance(answer, BaseException):
            raise answer
        return Response(answer)

    @property
    def prompts(self) -> list[str]:
        asking = (self.PAM_PROMPT_ECHO_OFF, self.PAM_PROMPT_ECHO_ON)
        return [text for style, text in self.transcript if style in asking]

    @property
    def messages(self) -> list[tuple[int, str]]:
        shown = (self.PAM_ERROR_MSG, self.PAM_TEXT_INFO)
        return [(style, text) for style, text in self.transcript if style in shown]

    @property
    def unused_answers(self) -> int:
        return len(self._answers)

    def _item(self, name: str) -> object:
        item = self._items[name]
        if isinstance(item, BaseException):
            raise item
        return item


def not_utf_8() -> UnicodeDecodeError:
    """Return what reading an item that is not in UTF-8 raises."""
    return UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
