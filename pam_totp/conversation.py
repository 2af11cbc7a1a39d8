"""Talk to the person through the application: prompts, messages, and what can come back."""

from __future__ import annotations

from .errors import ConversationFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PAM_SILENT = 0x8000
UNREADABLE = "\ufffd"  # stands for an answer not in UTF-8


class Conversation:
    """Talks for one PAM handle. ``echo`` shows what is typed, ``quiet`` hides messages."""

    def __init__(self, pamh: Any, *, echo: bool, quiet: bool) -> None:
        self._pamh = pamh
        self._prompt_style = pamh.PAM_PROMPT_ECHO_ON if echo else pamh.PAM_PROMPT_ECHO_OFF
        self._quiet = quiet

    def ask(self, prompt: str) -> str:
        """Return the answer, or UNREADABLE. Raises ConversationFailed if none can be had."""
        try:
            response = self._pamh.conversation(self._pamh.Message(self._prompt_style, prompt))
            answer = response.resp
        except UnicodeError:
            return UNREADABLE
        except self._pamh.exception as error:
            problem = getattr(error, "problem", "the application did not ask")
            raise ConversationFailed("conversation", problem) from None
        if not isinstance(answer, str):
            raise ConversationFailed("conversation", "no answer came back")
        return answer

    def tell(self, text: str, *, error: bool = False) -> None:
        """Show a message. One that cannot be shown changes nothing about the login."""
        if self._quiet:
            return
        style = self._pamh.PAM_ERROR_MSG if error else self._pamh.PAM_TEXT_INFO
        try:
            self._pamh.conversation(self._pamh.Message(style, text))
        except (self._pamh.exception, UnicodeError):
            pass
