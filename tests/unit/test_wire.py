"""Packets, byte for byte, and whatever else may come in their place."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pam_totp.service import wire
from pam_totp.service.wire import (
    AnswerPacket,
    ProtocolError,
    RequestPacket,
    parse_answer,
    parse_request,
)
from tests.support.each import each

EMPTY = RequestPacket(0, None, None, None, None, None, None, None, ())
SAMPLE = RequestPacket(
    0x8001,
    b"alice",
    b"sshd",
    b"198.51.100.7",
    None,
    b"ssh",
    b"publickey ssh-ed25519 AAAA\n",
    b"51e6 7:8 0 1",
    (b"window=0", b""),
)
SAMPLE_BYTES = (
    b"PT\x01\x01"
    b"\x00\x00\x80\x01"
    b"\x00\x05alice"
    b"\x00\x04sshd"
    b"\x00\x0c198.51.100.7"
    b"\xff\xff"
    b"\x00\x03ssh"
    b"\x00\x1bpublickey ssh-ed25519 AAAA\n"
    b"\x00\x0c51e6 7:8 0 1"
    b"\x02"
    b"\x00\x08window=0"
    b"\x00\x00"
)

strings = st.binary(max_size=40).map(lambda text: text.replace(b"\0", b"."))
requests = st.builds(
    RequestPacket,
    st.integers(0, 2**32 - 1),
    *[st.none() | strings] * 7,
    st.lists(strings, max_size=wire.MAX_ARGUMENTS).map(tuple),
)


def encode_string(text: bytes | None) -> bytes:
    return b"\xff\xff" if text is None else len(text).to_bytes(2, "big") + text


def encode_request(request: RequestPacket) -> bytes:
    """Write what wire.c writes."""
    flags, *strings, arguments = request
    body = flags.to_bytes(4, "big") + b"".join(map(encode_string, strings))
    body += bytes([len(arguments)]) + b"".join(map(encode_string, arguments))
    return b"PT\x01\x01" + body


def encode_answer(reply: AnswerPacket) -> bytes:
    return b"PT\x01\x02" + bytes([reply.kind]) + reply.text


# Requests


def test_a_request_is_read_field_by_field() -> None:
    assert SAMPLE == parse_request(SAMPLE_BYTES)
    assert SAMPLE_BYTES == encode_request(SAMPLE)


def test_the_shortest_request_says_nothing() -> None:
    assert EMPTY == parse_request(b"PT\x01\x01" + bytes(4) + b"\xff\xff" * 7 + b"\0")


@given(requests)
def test_every_request_of_the_module_is_understood(request: RequestPacket) -> None:
    assert request == parse_request(encode_request(request))


@each("length", range(len(SAMPLE_BYTES)))
def test_a_request_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(ProtocolError):
        parse_request(SAMPLE_BYTES[:length])


def test_a_request_that_goes_on_is_refused() -> None:
    with pytest.raises(ProtocolError, match="goes on after its end"):
        parse_request(SAMPLE_BYTES + b"\0")


@each("position", range(len(SAMPLE_BYTES)))
def test_a_request_with_another_byte_is_another_request_or_none(position: int) -> None:
    for byte in set(range(256)) - {SAMPLE_BYTES[position]}:
        changed = SAMPLE_BYTES[:position] + bytes([byte]) + SAMPLE_BYTES[position + 1 :]
        outcome: object
        try:
            outcome = encode_request(parse_request(changed))
        except ProtocolError as error:
            outcome = type(error)
        assert outcome in (changed, ProtocolError)


def test_a_string_of_the_longest_request_is_read_whole() -> None:
    user = b"x" * (wire.MAX_PACKET - len(encode_request(EMPTY._replace(user=b""))))
    packet = encode_request(EMPTY._replace(user=user))
    assert wire.MAX_PACKET == len(packet)
    assert user == parse_request(packet).user
    with pytest.raises(ProtocolError):
        parse_request(encode_request(EMPTY._replace(user=user + b"x")))


def test_a_string_holds_no_nul() -> None:
    """Else the name in the request could be another one than the module's."""
    for field in ("user", "service", "rhost", "ruser", "tty", "ssh_auth_info", "processes"):
        with pytest.raises(ProtocolError, match="holds a NUL"):
            parse_request(encode_request(SAMPLE._replace(**{field: b"root\0x"})))
    with pytest.raises(ProtocolError, match="holds a NUL"):
        parse_request(encode_request(SAMPLE._replace(arguments=(b"a\0b",))))


def test_there_are_no_more_arguments_than_64_and_none_is_absent() -> None:
    most = EMPTY._replace(arguments=(b"a",) * 64)
    assert most == parse_request(encode_request(most))
    with pytest.raises(ProtocolError, match="too many arguments"):
        parse_request(encode_request(EMPTY._replace(arguments=(b"a",) * 65)))
    with pytest.raises(ProtocolError, match="an argument is absent"):
        parse_request(encode_request(EMPTY)[:-1] + b"\x01\xff\xff")


# Answers


@each(
    ("packet", "reply"),
    [
        (b"PT\x01\x02\x00123456", AnswerPacket(wire.TEXT, b"123456")),
        (b"PT\x01\x02\x00", AnswerPacket(wire.TEXT, b"")),
        (b"PT\x01\x02\x00\xff\xfe", AnswerPacket(wire.TEXT, b"\xff\xfe")),
        (b"PT\x01\x02\x00" + b"x" * 512, AnswerPacket(wire.TEXT, b"x" * 512)),
        (b"PT\x01\x02\x01", AnswerPacket(wire.NONE)),
        (b"PT\x01\x02\x02", AnswerPacket(wire.PASSWORD)),
        (b"PT\x01\x02\x03", AnswerPacket(wire.FAILED)),
    ],
)
def test_an_answer_is_text_or_the_reason_why_not(packet: bytes, reply: AnswerPacket) -> None:
    assert reply == parse_answer(packet)
    assert packet == encode_answer(reply)


@each(
    "packet",
    [
        b"",
        b"PT",
        b"PT\x01\x02",
        b"PT\x01\x01\x00123456",
        b"PT\x01\x12\x00",
        b"TP\x01\x02\x00123456",
        b"PT\x01\x02\x00123\x00456",
        b"PT\x01\x02\x00" + b"x" * 513,
        b"PT\x01\x02\x01x",
        b"PT\x01\x02\x02hunter2",
        b"PT\x01\x02\x03\x00",
        b"PT\x01\x02\x06",
        b"PT\x01\x02\xff",
    ],
)
def test_what_is_no_answer_is_refused(packet: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_answer(packet)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_release_is_told_apart(version: int) -> None:
    for parse, kind in ((parse_request, 1), (parse_answer, 2)):
        with pytest.raises(ProtocolError, match=f"is of version {version}, not 1"):
            parse(bytes([80, 84, version, kind]) + b"\0")


# Whatever comes


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"PT\x01\x01" + tail))
@example(b"PT\x01\x01" + b"\xff" * 400)
def test_whatever_comes_is_a_request_or_a_protocol_error(packet: bytes) -> None:
    try:
        assert packet == encode_request(parse_request(packet))
    except ProtocolError:
        pass


@given(st.binary(max_size=600) | st.binary(max_size=600).map(lambda tail: b"PT\x01\x02" + tail))
def test_whatever_comes_is_an_answer_or_a_protocol_error(packet: bytes) -> None:
    try:
        assert packet == encode_answer(parse_answer(packet))
    except ProtocolError:
        pass


# To the module


def test_packets_to_the_module_are_these() -> None:
    assert b"PT\x01\x10\x01Verification code: " == wire.message(1, "Verification code: ")
    assert "PT\x01\x10\x04Gr\u00fc\u00dfe".encode() == wire.message(4, "Gr\u00fc\u00dfe")
    assert b"PT\x01\x11\x02\x06\x08Both: " == wire.ask_both("Both: ", (6, 8))
    assert b"PT\x01\x11\x00Both: " == wire.ask_both("Both: ", ())
    assert b"PT\x01\x12\x00" == wire.result(0)
    assert b"PT\x01\x12\x19" == wire.result(25)
    assert b"PT\x01\x13\x01\x01too many connections" == wire.refused("too many connections")


def test_a_message_has_no_nul_and_no_surrogate() -> None:
    assert b"PT\x01\x10\x03a?b?c" == wire.message(3, "a\0b\udc80c")


@pytest.mark.parametrize(
    "text", ["x" * 40000, "\u00fc" * 20000, "\u20ac" * 20000, "\U0001f511" * 9000]
)
def test_a_long_message_ends_within_the_module_s_room_and_between_characters(text: str) -> None:
    for packet, begin in ((wire.message(1, text), 5), (wire.ask_both(text, (6, 8)), 7)):
        assert wire.MAX_PACKET - 5 < len(packet) < wire.MAX_PACKET
        assert text.startswith(packet[begin:].decode("utf-8"))


def test_a_reason_is_ascii() -> None:
    assert b"PT\x01\x13\x01\x01B?cher" == wire.refused("B\u00fccher")
