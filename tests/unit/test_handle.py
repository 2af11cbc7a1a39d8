"""The worker's ``pamh``: what pam_python's gives, as login.py uses it, over a socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pam_totp.login import conversation, identity
from pam_totp.login.conversation import UNREADABLE, Conversation
from pam_totp.service import handle
from pam_totp.service.handle import ConversationError, Handle, Message
from pam_totp.service.wire import Request
from pam_totp.system.errors import ConversationFailed, LoginAborted
from tests.unit.fake_pam import CONSTANTS, FakePam

SAMPLE = Request(0, b"alice", b"sshd", b"::1", b"bob", b"ssh", b"publickey x\n", ())
NOTHING = Request(0, None, None, None, None, None, None, ())


class Pair:
    """A handle, and the module at the other end."""

    def __init__(self) -> None:
        ours, self.module = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.worker = ours
        self.handle = Handle(ours, SAMPLE)

    def will_answer(self, packet: bytes) -> None:
        self.module.send(packet)

    def shown(self) -> bytes:
        self.module.settimeout(5)
        return self.module.recv(65536)

    def close(self) -> None:
        self.module.close()
        self.worker.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def items_of(request: Request) -> Handle:
    """Make a handle that is only asked for its items."""
    return Handle(None, request)  # type: ignore[arg-type]


def ask(pair: Pair) -> str | None:
    return pair.handle.conversation(pair.handle.Message(1, "Code: ")).resp


# Items


def test_items_are_text_as_the_application_gave_them(pair: Pair) -> None:
    items = [identity.item(pair.handle, name) for name in ("service", "rhost", "ruser", "tty")]
    assert ["sshd", "::1", "bob", "ssh"] == items
    assert "alice" == identity.user(pair.handle)
    assert "alice" == pair.handle.get_user(None)
    assert {"SSH_AUTH_INFO_0": "publickey x\n"} == pair.handle.env


def test_absent_items_are_none() -> None:
    pamh = items_of(NOTHING)
    assert [None] * 5 == [pamh.get_user(None), pamh.service, pamh.rhost, pamh.ruser, pamh.tty]
    assert {} == pamh.env
    assert None is pamh.env.get("SSH_AUTH_INFO_0")


@pytest.mark.parametrize("name", ["service", "rhost", "ruser", "tty"])
def test_an_item_that_is_not_utf_8_raises_when_it_is_read(name: str) -> None:
    pamh = items_of(SAMPLE._replace(**{name: b"caf\xe9"}))
    with pytest.raises(UnicodeDecodeError):
        getattr(pamh, name)
    assert "?" == identity.item(pamh, name)


def test_a_name_that_is_not_utf_8_is_nobody_s() -> None:
    pamh = items_of(SAMPLE._replace(user=b"\xff"))
    with pytest.raises(UnicodeDecodeError):
        pamh.get_user()
    assert "" == identity.user(pamh)


def test_the_environment_is_read_whatever_bytes_it_holds() -> None:
    pamh = items_of(SAMPLE._replace(ssh_auth_info=b"a\xff"))
    assert {"SSH_AUTH_INFO_0": "a\ufffd"} == pamh.env


@pytest.mark.parametrize(
    "name", ["PAM_PROMPT_ECHO_OFF", "PAM_PROMPT_ECHO_ON", "PAM_ERROR_MSG", "PAM_TEXT_INFO"]
)
def test_styles_have_libpam_s_numbers(name: str) -> None:
    assert CONSTANTS[name] == getattr(Handle, name)


def test_a_handle_has_what_a_test_s_handle_has() -> None:
    """The list is login.py's; the fake of the other tests keeps to it."""
    needed = {name for name in dir(FakePam()) if not name.startswith("_")}
    of_the_tests = {"transcript", "prompts", "messages", "unused_answers"}
    assert needed - of_the_tests <= set(dir(Handle))


@pytest.mark.parametrize("flags", [0, 0x8001, 0x40000000, 0xC0008000, 0xBFFFFFFF])
def test_a_password_was_given_if_the_module_says_so(flags: int) -> None:
    pamh = items_of(SAMPLE._replace(flags=flags))
    assert identity.password_given(pamh) == bool(flags & 0x40000000)


# Answers


def test_a_prompt_is_shown_and_its_answer_is_text(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\0Gr\xc3\xbc\xc3\x9fe 123456")
    assert "Gr\u00fc\u00dfe 123456" == ask(pair)
    assert b"PT\1\x10\1Code: " == pair.shown()


def test_an_answer_may_be_empty_and_may_be_none(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\0")
    assert "" == ask(pair)
    pair.will_answer(b"PT\1\2\1")
    assert None is ask(pair)


def test_an_answer_that_is_not_utf_8_raises_when_it_is_read(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\0\xff\xfe")
    response = pair.handle.conversation(Message(1, "Code: "))
    with pytest.raises(UnicodeDecodeError):
        _ = response.resp
    pair.will_answer(b"PT\1\2\0\xff\xfe")
    assert UNREADABLE == Conversation(pair.handle, echo=False, quiet=False).ask("Code: ")


def test_the_password_again_equals_the_password_and_no_other_answer_does(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\2")
    assert pair.handle.authtok == identity.password(pair.handle) == ask(pair)
    pair.will_answer(b"PT\1\2\0" + pair.handle.authtok.encode())
    with pytest.raises(ConversationError, match="is no line of text"):
        ask(pair)


def test_the_application_that_does_not_ask_is_an_exception(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\3")
    with pytest.raises(pair.handle.exception, match="the application did not ask"):
        ask(pair)


@pytest.mark.parametrize("packet", [b"x", b"PT\2\2\0", b"PT\1\1\0", b"PT\1\2\0a\0b", b"PT\1\2\7"])
def test_what_is_no_answer_is_an_exception(pair: Pair, packet: bytes) -> None:
    pair.will_answer(packet)
    with pytest.raises(ConversationError):
        ask(pair)


def test_an_answer_that_is_too_long_is_an_exception_and_not_cut(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\0" + b" " * 40000 + b"123456")
    with pytest.raises(ConversationError):
        ask(pair)


def test_an_application_that_is_gone_is_an_exception(pair: Pair) -> None:
    pair.module.close()
    with pytest.raises(ConversationError, match="the application is gone"):
        ask(pair)
    with pytest.raises(ConversationError, match="the application is gone"):
        pair.handle.fail_delay(1)


def test_an_application_that_goes_while_it_asks_is_an_exception(pair: Pair) -> None:
    pair.module.shutdown(socket.SHUT_WR)
    with pytest.raises(ConversationError, match="the application is gone"):
        ask(pair)


def test_a_person_who_types_nothing_is_not_waited_for_forever(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 600 == handle.ANSWER_SECONDS
    monkeypatch.setattr(handle, "ANSWER_SECONDS", 0.05)
    with pytest.raises(ConversationError, match="nobody typed anything for too long"):
        ask(pair)


def test_an_application_that_takes_nothing_is_not_waited_for_forever(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handle, "ANSWER_SECONDS", 0.05)
    pair.worker.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            pair.worker.send(bytes(30000))
    with pytest.raises(ConversationError):
        ask(pair)


def test_why_there_is_no_answer_reaches_the_log(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\3")
    with pytest.raises(LoginAborted, match="the application did not ask"):
        Conversation(pair.handle, echo=False, quiet=False).ask("Code: ")
    pair.module.close()
    with pytest.raises(LoginAborted, match="the application is gone"):
        Conversation(pair.handle, echo=False, quiet=False).ask("Code: ")


def test_a_packet_that_no_module_sends_is_a_fault_and_no_aborted_login(pair: Pair) -> None:
    pair.will_answer(b"PT\1\2\0\0")
    with pytest.raises(ConversationFailed, match="is no line of text") as caught:
        Conversation(pair.handle, echo=False, quiet=False).ask("Code: ")
    assert not isinstance(caught.value, LoginAborted)


def test_a_message_that_cannot_be_shown_changes_nothing(pair: Pair) -> None:
    pair.module.close()
    Conversation(pair.handle, echo=False, quiet=False).tell("Wrong code.", error=True)


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
    conversation.Conversation(pair.handle, echo=False, quiet=False).tell(text)
    assert shown == pair.shown()


def test_a_delay_is_asked_for_in_microseconds(pair: Pair) -> None:
    pair.handle.fail_delay(3_000_000)
    assert b"PT\1\x11\x00\x2d\xc6\xc0" == pair.shown()
