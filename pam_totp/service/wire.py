"""The packets between pam_totp.so and the worker: docs/internals/protocol.md.

Pure: bytes in, values out. Whatever bytes come in, the outcome is a value or a ProtocolError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..system.errors import PamTotpError

if TYPE_CHECKING:
    from collections.abc import Collection

VERSION = 1
SOCKET = "/run/pam_totp/pam_totp.sock"
MAX_PACKET = 32768  # bytes; the module has no room for more
MAX_ANSWER = 512  # bytes; PAM_MAX_RESP_SIZE
MAX_ARGUMENTS = 64

REQUEST, ANSWER = 1, 2  # module to worker
MESSAGE, ASK_BOTH, RESULT, REFUSED = 16, 17, 18, 19  # worker to module
TEXT, NONE, PASSWORD, FAILED, KEPT, NO_CODE = 0, 1, 2, 3, 4, 5  # kinds of an ANSWER
# In the flags of a REQUEST: PAM_AUTHTOK is there, and not empty; a line before has kept an answer.
PASSWORD_GIVEN, ANSWER_KEPT = 0x40000000, 0x20000000

_MAGIC = b"PT"
_HEADER_BYTES = 4
_ABSENT = 0xFFFF
_WITHOUT_TEXT = tuple(bytes([kind]) for kind in (NONE, PASSWORD, FAILED, KEPT, NO_CODE))


class ProtocolError(PamTotpError):
    """A packet that our module never sends."""


class RequestPacket(NamedTuple):
    """What a login is about. Strings as the application gave them, not decoded; None if absent."""

    flags: int
    user: bytes | None
    service: bytes | None
    rhost: bytes | None
    ruser: bytes | None
    tty: bytes | None
    ssh_auth_info: bytes | None
    processes: bytes | None
    arguments: tuple[bytes, ...]


class AnswerPacket(NamedTuple):
    """What came back from the person; ``text`` where ``kind`` is TEXT."""

    kind: int
    text: bytes = b""

    def __repr__(self) -> str:  # it may be a code
        return "<AnswerPacket>"


def parse_request(packet: bytes) -> RequestPacket:
    """Raises ProtocolError."""
    body = _Reader(body_of(packet, REQUEST))
    flags = body.number(4)
    user, service, rhost, ruser, tty, *texts = [body.string() for _ in range(7)]
    ssh_auth_info, processes = texts
    count = body.number(1)
    if count > MAX_ARGUMENTS:
        raise ProtocolError("request", "too many arguments")
    arguments = []
    for _ in range(count):
        argument = body.string()
        if argument is None:
            raise ProtocolError("request", "an argument is absent")
        arguments.append(argument)
    body.end()
    given = tuple(arguments)
    return RequestPacket(flags, user, service, rhost, ruser, tty, ssh_auth_info, processes, given)


def parse_answer(packet: bytes) -> AnswerPacket:
    """Raises ProtocolError."""
    body = body_of(packet, ANSWER)
    kind, text = body[:1], body[1:]
    if kind == bytes([TEXT]):
        if len(text) > MAX_ANSWER or b"\0" in text:
            raise ProtocolError("answer", "is no line of text")
        return AnswerPacket(TEXT, text)
    if text or kind not in _WITHOUT_TEXT:
        raise ProtocolError("answer", "is of no known kind")
    return AnswerPacket(kind[0])


def message(style: int, text: str) -> bytes:
    """Make a MESSAGE; what cannot be encoded, and a NUL, is shown as a question mark."""
    return with_text(header(MESSAGE) + bytes([style]), text)


def ask_both(prompt: str, digits: Collection[int]) -> bytes:
    """Make an ASK_BOTH: a code at the end has one of ``digits``; none of them: there is no code."""
    return with_text(header(ASK_BOTH) + bytes([len(digits), *digits]), prompt)


def result(code: int) -> bytes:
    return header(RESULT) + bytes([code])


def refused(reason: str) -> bytes:
    """Make a REFUSED, which every release understands: the versions that this one speaks."""
    return header(REFUSED) + bytes([VERSION, VERSION]) + reason.encode("ascii", "replace")


def with_text(begin: bytes, text: str) -> bytes:
    encoded = text.encode("utf-8", "replace").replace(b"\0", b"?")
    limit = MAX_PACKET - len(begin) - 1
    return begin + encoded[:limit].decode("utf-8", "ignore").encode()


def header(kind: int) -> bytes:
    return _MAGIC + bytes([VERSION, kind])


def body_of(packet: bytes, kind: int) -> bytes:
    if len(packet) < _HEADER_BYTES or len(packet) > MAX_PACKET or packet[:2] != _MAGIC:
        raise ProtocolError("packet", "is not of pam_totp.so")
    if packet[2] != VERSION:
        raise ProtocolError("packet", f"is of version {packet[2]}, not {VERSION}")
    if packet[3] != kind:
        raise ProtocolError("packet", f"is of type {packet[3]}, not {kind}")
    return packet[_HEADER_BYTES:]


class _Reader:
    """Takes one field after the other off a body."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def _take(self, length: int) -> bytes:
        taken = self._body[self._at : self._at + length]
        if len(taken) != length:
            raise ProtocolError("request", "ends too early")
        self._at += length
        return taken

    def number(self, length: int) -> int:
        return int.from_bytes(self._take(length), "big")

    def string(self) -> bytes | None:
        body, start = self._body, self._at + 2
        if start > len(body):
            raise ProtocolError("request", "ends too early")
        length = body[start - 2] << 8 | body[start - 1]
        if length == _ABSENT:
            self._at = start
            return None
        self._at = end = start + length
        if end > len(body):
            raise ProtocolError("request", "ends too early")
        text = body[start:end]
        if b"\0" in text:
            raise ProtocolError("request", "holds a NUL")
        return text

    def end(self) -> None:
        if self._at != len(self._body):
            raise ProtocolError("request", "goes on after its end")
