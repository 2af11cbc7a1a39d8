from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

from pam_totp.core.verifier import MALFORMED, classify
from pam_totp.login import steps
from pam_totp.login.conversation import UNREADABLE, Conversation
from pam_totp.login.in_process import PAM_SILENT, InProcess
from pam_totp.login.texts import as_is
from pam_totp.system.errors import LoginAborted
from tests.unit.fake_pam import CONSTANTS, Answer, FakePam, PamException

if TYPE_CHECKING:
    from pam_totp.login.steps import Flow

Result = TypeVar("Result")


def hold(pamh: FakePam, flow: Flow[Result]) -> Result:
    """Go through ``flow`` as an application does that has ``pamh``."""
    return steps.drive(flow, InProcess(pamh))


def ask(answer: Answer) -> str:
    pamh = FakePam(answers=[answer])
    return hold(pamh, Conversation(echo=False, quiet=False).ask(as_is("Code: "))).text


def test_the_flag_for_silence_is_the_one_of_the_header() -> None:
    assert CONSTANTS["PAM_SILENT"] == PAM_SILENT


@pytest.mark.parametrize(
    ("echo", "style"), [(False, "PAM_PROMPT_ECHO_OFF"), (True, "PAM_PROMPT_ECHO_ON")]
)
@pytest.mark.parametrize("quiet", [False, True])
def test_a_prompt_is_shown_and_the_answer_returned(echo: bool, style: str, quiet: bool) -> None:
    pamh = FakePam(answers=["123456"])
    assert "123456" == hold(pamh, Conversation(echo=echo, quiet=quiet).ask(as_is("Code: "))).text
    assert [(CONSTANTS[style], "Code: ")] == pamh.transcript


@pytest.mark.parametrize("answer", ["", " ", "J\u00fcrgen", "a\nb", "\b\n\r\177INCORRECT"])
def test_an_answer_comes_back_as_it_was_typed(answer: str) -> None:
    assert answer == ask(answer)


@pytest.mark.parametrize("answer", [b"\xff", b"123456\xfc", b"\xed\xa0\x80"])
def test_an_answer_that_is_not_utf_8_is_unreadable(answer: bytes) -> None:
    assert UNREADABLE == ask(answer)


def test_an_unreadable_answer_is_malformed() -> None:
    assert MALFORMED == classify(UNREADABLE, frozenset((6, 8))).kind


def test_no_answer_is_an_aborted_login() -> None:
    with pytest.raises(LoginAborted, match="no answer came back"):
        ask(None)


def test_an_answer_that_is_no_text_is_an_aborted_login() -> None:
    with pytest.raises(LoginAborted, match="no answer came back"):
        ask(lambda: 123456)  # type: ignore[arg-type,return-value]


def test_an_application_that_does_not_ask_is_an_aborted_login() -> None:
    with pytest.raises(LoginAborted) as caught:
        ask(PamException("the password is hunter2"))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_error_of_our_own_is_not_taken_for_a_failed_conversation() -> None:
    with pytest.raises(ZeroDivisionError):
        ask(ZeroDivisionError())


@pytest.mark.parametrize(("error", "style"), [(False, "PAM_TEXT_INFO"), (True, "PAM_ERROR_MSG")])
def test_a_message_has_the_style_of_an_error_or_of_information(error: bool, style: str) -> None:
    pamh = FakePam()
    assert hold(pamh, Conversation(echo=False, quiet=False).tell(as_is("text"), error=error))
    assert [(CONSTANTS[style], "text")] == pamh.transcript


def test_a_quiet_conversation_tells_nothing() -> None:
    pamh = FakePam()
    assert not hold(pamh, Conversation(echo=False, quiet=True).tell(as_is("text"), error=True))
    assert [] == pamh.transcript


@pytest.mark.parametrize("error", [PamException, UnicodeError])
def test_a_message_that_cannot_be_shown_changes_nothing(error: type[Exception]) -> None:
    pamh = FakePam(deaf=error)
    assert not hold(pamh, Conversation(echo=False, quiet=False).tell(as_is("text")))
    assert 1 == len(pamh.transcript)


# Where the application wants no messages (PAM_SILENT)


def silent(*answers: Answer, quiet: bool = False) -> tuple[FakePam, Conversation]:
    pamh = FakePam(answers=answers)
    return pamh, Conversation(echo=False, quiet=quiet, silent=True)


def test_in_silence_what_was_wrong_stands_in_front_of_the_next_prompt_and_of_no_other() -> None:
    pamh, conversation = silent("1", "2", "3")
    hold(pamh, conversation.ask(as_is("Code: ")))
    hold(pamh, conversation.tell(as_is("Wrong code."), error=True))
    hold(pamh, conversation.ask(as_is("Code: ")))
    hold(pamh, conversation.ask(as_is("Code: ")))
    assert ["Code: ", "Wrong code.\nCode: ", "Code: "] == pamh.prompts
    assert [] == pamh.messages


def test_in_silence_what_is_no_error_is_not_said() -> None:
    pamh, conversation = silent("1")
    hold(pamh, conversation.tell(as_is("9 recovery codes left.")))
    hold(pamh, conversation.ask(as_is("Code: ")))
    assert ["Code: "] == pamh.prompts
    assert [] == pamh.messages


def test_in_silence_the_last_error_is_said() -> None:
    pamh, conversation = silent("1")
    hold(pamh, conversation.tell(as_is("Wrong code."), error=True))
    hold(pamh, conversation.tell(as_is("Used code."), error=True))
    hold(pamh, conversation.ask(as_is("Code: ")))
    assert ["Used code.\nCode: "] == pamh.prompts


def test_who_wants_quiet_has_it_in_the_prompt_too() -> None:
    pamh, conversation = silent("1", quiet=True)
    hold(pamh, conversation.tell(as_is("Wrong code."), error=True))
    hold(pamh, conversation.ask(as_is("Code: ")))
    assert ["Code: "] == pamh.prompts


@pytest.mark.parametrize(
    ("quiet", "is_silent", "shows", "prompts_alone"),
    [
        (False, False, True, False),
        (False, True, False, True),
        (True, False, False, False),
        (True, True, False, False),
    ],
)
def test_where_something_can_be_said(
    quiet: bool, is_silent: bool, shows: bool, prompts_alone: bool
) -> None:
    conversation = Conversation(echo=False, quiet=quiet, silent=is_silent)
    assert (shows, prompts_alone) == (conversation.shows_messages, conversation.shows_prompts_alone)


# What has to be seen


def test_what_has_to_be_seen_is_shown_a_message_a_line() -> None:
    pamh = FakePam()
    hold(pamh, Conversation(echo=False, quiet=False).show(map(as_is, ["first", "", "second"])))
    info = CONSTANTS["PAM_TEXT_INFO"]
    assert [(info, "first"), (info, ""), (info, "second")] == pamh.transcript


@pytest.mark.parametrize("error", [PamException, UnicodeError])
def test_what_has_to_be_seen_and_is_not_is_an_aborted_login(
    error: type[Exception],
) -> None:
    shown = Conversation(echo=False, quiet=False).show(map(as_is, ["secret"]))
    with pytest.raises(LoginAborted, match="a message was not shown"):
        hold(FakePam(deaf=error), shown)
