"""The packets between totpctl me and the process that serves it: docs/internals/protocol.md.

Prompts and answers are those of wire.py. Pure, like that: whatever bytes come in, the outcome is a
value or a ProtocolError. Nothing in a request says who asks: the kernel does.
"""

from __future__ import annotations

from typing import NamedTuple

from ..core import enrollment
from ..login.self_service import KINDS
from . import wire
from .wire import ProtocolError

SOCKET = "/run/pam_totp/me.sock"

OWN_REQUEST = 3  # totpctl to us
STATE, ENDED = 20, 21  # and back
PICTURE = 1  # a flag of a request: the terminal can show a QR code
_MAX_REQUEST = 512  # bytes; a label has 64 characters at most


class OwnRequest(NamedTuple):
    """What somebody wants: one of self_service.KINDS, and the label that it is about, or ""."""

    kind: str
    label: str = ""
    shows_pictures: bool = False


class Message(NamedTuple):
    """What a person reads, and with a style of a prompt answers: see connection.py."""

    style: int
    text: str


class End(NamedTuple):
    """How it ended, and why."""

    exit_code: int
    problem: str
    hint: str


def own_request(asked: OwnRequest) -> bytes:
    flags = PICTURE if asked.shows_pictures else 0
    text = f"{asked.kind}\0{asked.label}".encode("utf-8", "replace")
    return wire.header(OWN_REQUEST) + bytes([flags]) + text


def parse_own_request(packet: bytes) -> OwnRequest:
    """Raises ProtocolError."""
    if len(packet) > _MAX_REQUEST:
        raise ProtocolError("request", "is too long")
    body = wire.body_of(packet, OWN_REQUEST)
    if not body or body[0] & ~PICTURE:
        raise ProtocolError("request", "has unknown flags")
    try:
        kind, label = body[1:].decode("utf-8").split("\0")
    except ValueError:  # UnicodeDecodeError among them
        raise ProtocolError("request", "is no command with a label") from None
    if kind not in KINDS:
        raise ProtocolError("request", "is of no known kind")
    if label and not enrollment.is_label(label):
        raise ProtocolError("request", "has a label that is none")
    return OwnRequest(kind, label.strip(), bool(body[0] & PICTURE))


def answer(text: str) -> bytes:
    return wire.header(wire.ANSWER) + bytes([wire.TEXT]) + text.encode("utf-8", "replace")


def taken() -> bytes:
    """Answer a message that asks nothing."""
    return wire.header(wire.ANSWER) + bytes([wire.NONE])


def state(document: bytes) -> bytes:
    """Make a STATE: the record of the person, in JSON."""
    return wire.header(STATE) + document


def ended(exit_code: int, problem: str = "", hint: str = "") -> bytes:
    texts = f"{problem}\0{hint}".encode("utf-8", "replace")
    return wire.header(ENDED) + bytes([exit_code]) + texts


def parse_told(packet: bytes) -> Message | End | bytes:
    """Return what we say to totpctl; bytes: the JSON of a STATE. Raises ProtocolError."""
    kind = packet[3] if len(packet) > 4 else None
    if kind == wire.MESSAGE:
        body = wire.body_of(packet, wire.MESSAGE)
        return Message(body[0], body[1:].decode("utf-8", "replace"))
    if kind == STATE:
        return wire.body_of(packet, STATE)
    if kind == wire.REFUSED:  # of any version
        return End(1, packet[6:].decode("utf-8", "replace"), "")
    body = wire.body_of(packet, ENDED)
    if not body:
        raise ProtocolError("end", "says nothing")
    problem, _, hint = body[1:].decode("utf-8", "replace").partition("\0")
    return End(body[0], problem, hint)
