"""One login over a socket: what the module says as a Request, what it is asked and told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pam_totp.login.conversation import UNREADABLE
from pam_totp.login.steps import Reply, Request, Told, Turn
from pam_totp.service import connection, wire
from pam_totp.service.connection import Connection, request_of
from pam_totp.system.errors import ConversationFailed, LoginAborted, PamTotpError
from tests.unit.fake_pam import CONSTANTS

NOW = 1_700_000_010
SAMPLE = wire.RequestPacket(
    0, b"alice", b"sshd", b"::1", b"bob", b"ssh", b"publickey x\n", b"51e6 7:8 0 1", (b"debug",)
)
NOTHING = wire.RequestPacket(0, None, None, None, None, None, None, None, ())


class Pair:
    """A worker's connection, and the module at the other end."""

    def __init__(self) -> None:
        self.worker, self.module = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.driver = Connection(self.worker)

    def will_answer(self, packet: bytes) -> None:
        self.module.send(packet)

    def shown(self) -> bytes:
        self.module.settimeout(5)
        return self.module.recv(65536)

    def asks(self, *, echo: bool = False) -> Reply:
        return self.driver.ask("Code: ", echo=echo)

    def tells(self, text: str = "Wrong code.", *, is_error: bool = True) -> Told:
        return self.driver.tell(text, is_error=is_error)

    def close(self) -> None:
        self.module.close()
        self.worker.close()


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr(connection.time, "time", lambda: NOW + 0.9)
    pair = Pair()
    yield pair
    pair.close()


# Password and code in one answer


@pytest.mark.parametrize(("kind", "there_is_one"), [(wire.KEPT, True), (wire.NO_CODE, False)])
def test_whether_there_was_a_code_is_told(pair: Pair, kind: int, there_is_one: bool) -> None:
    pair.will_answer(b"PT\x01\x02" + bytes([kind]))
    assert there_is_one == pair.driver.ask_for_both("Both: ", (6,))
    assert wire.ask_both("Both: ", (6,)) == pair.shown()


@pytest.mark.parametrize("kind", [wire.NONE, wire.PASSWORD, wire.FAILED])
def test_no_answer_for_both_is_an_aborted_login(pair: Pair, kind: int) -> None:
    pair.will_answer(b"PT\x01\x02" + bytes([kind]))
    with pytest.raises(LoginAborted):
        pair.driver.ask_for_both("Both: ", (6,))


def test_that_an_answer_was_kept_is_understood() -> None:
    kept = request_of(NOTHING._replace(flags=wire.ANSWER_KEPT))
    assert (True, False) == (kept.answer_kept, kept.password_given)


# What the module says


def test_a_request_is_text_as_the_application_gave_it() -> None:
    expected = Request(
        "sshd", "alice", "::1", "bob", "ssh", ("debug",), ssh_auth_info="publickey x\n"
    )
    assert expected == request_of(SAMPLE)


def test_what_is_absent_is_empty() -> None:
    assert Request("", "") == request_of(NOTHING)


@pytest.mark.parametrize("name", ["rhost", "ruser", "tty"])
def test_an_item_that_is_not_utf_8_is_a_question_mark(name: str) -> None:
    assert "?" == getattr(request_of(SAMPLE._replace(**{name: b"caf\xe9"})), name)


def test_a_name_that_is_not_utf_8_is_nobody_s() -> None:
    assert "" == request_of(SAMPLE._replace(user=b"\xff")).user


def test_a_service_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(PamTotpError, match="its name is not text"):
        request_of(SAMPLE._replace(service=b"\xff"))


def test_environment_and_arguments_are_read_whatever_bytes_they_hold() -> None:
    request = request_of(SAMPLE._replace(ssh_auth_info=b"a\xff", arguments=(b"\xff",)))
    assert ("a\ufffd", ("\ufffd",)) == (request.ssh_auth_info, request.arguments)


@pytest.mark.parametrize("flags", [0, 0x8001, 0x40000000, 0xC0008000, 0xBFFFFFFF])
def test_flags_tell_of_silence_and_of_a_password(flags: int) -> None:
    request = request_of(SAMPLE._replace(flags=flags))
    expected = bool(flags & CONSTANTS["PAM_SILENT"]), bool(flags & 0x40000000)
    assert expected == (request.is_silent, request.password_given)


# Answers


@pytest.mark.parametrize(
    ("echo", "style"), [(False, "PAM_PROMPT_ECHO_OFF"), (True, "PAM_PROMPT_ECHO_ON")]
)
def test_a_prompt_is_shown_and_its_answer_is_text(pair: Pair, echo: bool, style: str) -> None:
    pair.will_answer(b"PT\1\2\0Gr\xc3\xbc\xc3\x9fe 123456")
    assert Reply("Gr\u00fc\u00dfe 123456", NOW) == pair.asks(echo=echo)
    assert b"PT\1\x10%cCode: " % CONSTANTS[style] == pair.shown()


def test_an_answer_may_be_empty(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\0")
    assert Reply("", NOW) == pair.asks()


def test_no_answer_is_an_aborted_login(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\1")
    with pytest.raises(LoginAborted, match="no answer came back"):
        pair.asks()


def test_an_answer_that_is_not_utf_8_is_unreadable(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\0" + b"123456\xfc")
    assert Reply(UNREADABLE, NOW) == pair.asks()


def test_the_password_comes_back_as_a_kind_and_as_no_text(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\2")
    assert Reply("", NOW, is_password=True) == pair.asks()


def test_the_application_that_does_not_ask_is_an_aborted_login(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\3")
    with pytest.raises(LoginAborted, match="the application did not ask"):
        pair.asks()


@pytest.mark.parametrize(
    "packet",
    [
        b"x",
        b"PT\2\2\0",
        b"PT\1\1\0",
        b"PT\1\2\0a\0b",
        b"PT\1\2\7",
        b"PT\1\2\0\0the password",
        b"PT\1\2\0" + b" " * 40000 + b"123456",  # not cut
    ],
)
def test_what_is_no_answer_is_a_fault_and_no_aborted_login(pair: Pair, packet: bytes) -> None:
    pair.will_answer(packet)
    with pytest.raises(ConversationFailed) as caught:
        pair.asks()
    assert not isinstance(caught.value, LoginAborted)


def test_an_application_that_is_gone_is_an_aborted_login(pair: Pair) -> None:
    pair.module.close()
    with pytest.raises(LoginAborted, match="the application is gone"):
        pair.asks()


def test_an_application_that_goes_while_it_asks_is_an_aborted_login(pair: Pair) -> None:
    pair.module.shutdown(socket.SHUT_WR)
    with pytest.raises(LoginAborted, match="the application is gone"):
        pair.asks()


def test_a_person_who_types_nothing_is_not_waited_for_forever(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 600 == connection.ANSWER_SECONDS
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.05)
    with pytest.raises(LoginAborted, match="nobody typed anything for too long"):
        pair.asks()


def test_an_application_that_takes_nothing_is_not_waited_for_forever(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.05)
    pair.worker.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            pair.worker.send(bytes(30000))
    with pytest.raises(LoginAborted):
        pair.asks()


# Messages


@pytest.mark.parametrize(("is_error", "style"), [(True, "PAM_ERROR_MSG"), (False, "PAM_TEXT_INFO")])
def test_a_message_has_the_style_of_an_error_or_of_information(
    pair: Pair, is_error: bool, style: str
) -> None:
    pair.will_answer(b"PT\1\2\1")
    assert Told(is_shown=True) == pair.tells(is_error=is_error)
    assert b"PT\1\x10%cWrong code." % CONSTANTS[style] == pair.shown()


@pytest.mark.parametrize("packet", [b"PT\1\2\0", b"PT\1\2\2"], ids=["empty", "the password"])
def test_a_message_that_is_answered_is_read_by_nobody(pair: Pair, packet: bytes) -> None:
    pair.will_answer(packet)
    assert Told(is_shown=True, is_answered=True) == pair.tells()


@pytest.mark.parametrize("packet", [b"PT\1\2\3", b"nonsense", b""])
def test_a_message_that_cannot_be_shown_changes_nothing(pair: Pair, packet: bytes) -> None:
    if packet:
        pair.will_answer(packet)
    else:
        pair.module.close()
    assert Told(is_shown=False) == pair.tells()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\0b", b"PT\1\x10\4a?b"),
        ("a\udcffb", b"PT\1\x10\4a?b"),
        ("z\u00fcrich", b"PT\1\x10\4z\xc3\xbcrich"),
        ("", b"PT\1\x10\4"),
    ],
)
def test_a_message_is_shown_whatever_it_holds(pair: Pair, text: str, shown: bytes) -> None:
    pair.will_answer(b"PT\1\2\1")
    pair.tells(text, is_error=False)
    assert shown == pair.shown()


# Places at a prompt


def test_where_nobody_counts_everybody_may_be_asked(pair: Pair) -> None:
    assert Turn(may_ask=True) == pair.driver.take_place("alice")
