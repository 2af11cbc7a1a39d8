"""Talk to the person through the application: prompts, messages, and what can come back."""

from __future__ import annotations

from ..system.errors import ConversationFailed, LoginAborted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

PAM_SILENT = 0x8000
PRESS_ENTER = "Press Enter: "
UNREADABLE = "\ufffd"  # stands for an answer not in UTF-8


class Conversation:
    """Talks for one PAM handle. ``echo`` shows what is typed, ``quiet`` hides messages.

    ``silent``: the application wants no messages, as sudo does (PAM_SILENT). What is wrong then
    stands in front of the next prompt, and the rest is not said. ``by_sshd``: it is sshd, one of
    whose methods asks nobody.
    """

    def __init__(
        self,
        pamh: Any,
        *,
        echo: bool,
        quiet: bool,
        silent: bool = False,
        by_sshd: bool = False,
    ) -> None:
        self._pamh = pamh
        self._by_sshd = by_sshd
        self._prompt_style = pamh.PAM_PROMPT_ECHO_ON if echo else pamh.PAM_PROMPT_ECHO_OFF
        self._quiet = quiet
        self._silent = silent
        self._unsaid = ""

    @property
    def shows_messages(self) -> bool:
        return not self._quiet and not self._silent

    @property
    def shows_prompts_alone(self) -> bool:
        """Tell whether what has to be said can be said in a prompt, and nowhere else."""
        return self._silent and not self._quiet

    def ask(self, prompt: str) -> str:
        """Return the answer, or UNREADABLE. Raises LoginAborted if none comes.

        An application that cannot ask says the same as one whose person pressed Ctrl-C.
        """
        prompt, self._unsaid = self._unsaid + prompt, ""
        try:
            response = self._pamh.conversation(self._pamh.Message(self._prompt_style, prompt))
            answer = response.resp
        except UnicodeError:
            return UNREADABLE
        except self._pamh.exception as error:
            problem = getattr(error, "problem", "the application did not ask")
            kind = ConversationFailed if getattr(error, "is_fault", False) else LoginAborted
            raise kind("conversation", problem) from None
        if not isinstance(answer, str):
            raise LoginAborted("conversation", "no answer came back")
        return answer

    def tell(self, text: str, *, error: bool = False) -> bool:
        """Show a message; return whether the application took it.

        One that cannot be shown changes nothing about the login.
        """
        if not self.shows_messages:
            self._unsaid = f"{text}\n" if error and self.shows_prompts_alone else ""
            return False
        style = self._pamh.PAM_ERROR_MSG if error else self._pamh.PAM_TEXT_INFO
        try:
            self._pamh.conversation(self._pamh.Message(style, text))
        except (self._pamh.exception, UnicodeError):
            return False
        return True

    def tell_last(self, text: str) -> None:
        """Tell an error after which nothing is asked any more.

        Where prompts alone are shown, in one that waits for Enter: else nobody would hear of it,
        and sudo would blame the person ("Sorry, try again.").
        """
        if not self.shows_prompts_alone:
            self.tell(text, error=True)
            return
        self._unsaid = ""
        try:
            self.ask(f"{text}\n{PRESS_ENTER}")
        except ConversationFailed:
            pass

    def is_answered_blindly(self, text: str) -> bool:
        """Tell ``text`` as an error; return whether no person is there to read it.

        sshd's ``password`` method answers every hidden prompt with the password, and a message
        with an empty text. Where a person is asked, a message has no answer (sshpam_passwd_conv
        and sshpam_thread_conv in auth-pam.c of OpenSSH). If messages are not to be shown, it is
        an empty one, which costs a person an empty line.
        """
        if not self._by_sshd or self._silent:
            self.tell(text, error=True)
            return False
        text = "" if self._quiet else text
        try:
            message = self._pamh.Message(self._pamh.PAM_ERROR_MSG, text)
            return isinstance(self._pamh.conversation(message).resp, str)
        except (self._pamh.exception, UnicodeError):
            return False

    def show(self, lines: Iterable[str]) -> None:
        """Show what a person has to see. Raises LoginAborted if it cannot be shown.

        A message a line: PAM_MAX_MSG_SIZE is 512 bytes.
        """
        for line in lines:
            try:
                self._pamh.conversation(self._pamh.Message(self._pamh.PAM_TEXT_INFO, line))
            except (self._pamh.exception, UnicodeError):
                raise LoginAborted("conversation", "a message was not shown") from None
