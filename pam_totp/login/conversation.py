"""Talk to the person: what is asked, what is told, and where it can be said at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.errors import ConversationFailed, LoginAborted
from .steps import Driver, need
from .texts import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .steps import Flow, Reply
    from .texts import Catalog, Text

PRESS_ENTER = text("Press Enter: ")
UNREADABLE = "\ufffd"  # stands for an answer not in UTF-8


class Conversation:
    """What is said in one login, in the language of ``catalog``; None: in English.

    ``echo`` shows what is typed, ``quiet`` hides messages.

    ``silent``: the application wants no messages, as sudo does (PAM_SILENT). What is wrong then
    stands in front of the next prompt, and the rest is not said. ``by_sshd``: it is sshd, one of
    whose methods asks nobody. ``hides_errors``: nothing may tell a wrong code from
    a wrong password.
    """

    __slots__ = ("_by_sshd", "_catalog", "_echo", "_hides_errors", "_quiet", "_silent", "_unsaid")

    def __init__(
        self,
        *,
        catalog: Catalog | None = None,
        echo: bool,
        quiet: bool,
        silent: bool = False,
        by_sshd: bool = False,
        hides_errors: bool = False,
    ) -> None:
        self._catalog = catalog
        self._echo = echo
        self._quiet = quiet
        self._silent = silent
        self._by_sshd = by_sshd
        self._hides_errors = hides_errors
        self._unsaid = ""

    @property
    def shows_messages(self) -> bool:
        return not self._quiet and not self._silent

    @property
    def shows_prompts_alone(self) -> bool:
        """Tell whether what has to be said can be said in a prompt, and nowhere else."""
        return self._silent and not self._quiet and not self._hides_errors

    def in_words(self, said: Text) -> str:
        """Return ``said`` in the language of this login."""
        return said.said_in(self._catalog)

    def ask(self, prompt: Text) -> Flow[Reply]:
        """Return the answer. Raises LoginAborted if none comes."""
        words, self._unsaid = self._unsaid + self.in_words(prompt), ""
        return (yield from need(Driver.ask, words, echo=self._echo))

    def tell(self, said: Text, *, error: bool = False) -> Flow[bool]:
        """Show a message; return whether the application took it.

        One that cannot be shown changes nothing about the login.
        """
        if not self.shows_messages or (error and self._hides_errors):
            is_kept = error and self.shows_prompts_alone
            self._unsaid = f"{self.in_words(said)}\n" if is_kept else ""
            return False
        told = yield from need(Driver.tell, self.in_words(said), is_error=error)
        return told.is_shown

    def tell_last(self, said: Text) -> Flow[None]:
        """Tell an error after which nothing is asked any more.

        Where prompts alone are shown, in one that waits for Enter: else nobody would hear of it,
        and sudo would blame the person ("Sorry, try again.").
        """
        if not self.shows_prompts_alone:
            yield from self.tell(said, error=True)
            return
        self._unsaid = f"{self.in_words(said)}\n"
        try:
            yield from self.ask(PRESS_ENTER)
        except ConversationFailed:
            pass

    def is_answered_blindly(self, said: Text) -> Flow[bool]:
        """Tell ``said`` as an error; return whether no person is there to read it.

        sshd's ``password`` method answers every hidden prompt with the password, and a message
        with an empty text. Where a person is asked, a message has no answer (sshpam_passwd_conv
        and sshpam_thread_conv in auth-pam.c of OpenSSH). If messages are not to be shown, it is
        an empty one, which costs a person an empty line.
        """
        if not self._by_sshd or self._silent:
            yield from self.tell(said, error=True)
            return False
        words = "" if self._quiet else self.in_words(said)
        told = yield from need(Driver.tell, words, is_error=True)
        return told.is_answered

    def show(self, lines: Iterable[Text]) -> Flow[None]:
        """Show what a person has to see. Raises LoginAborted if it cannot be shown.

        A message a line: PAM_MAX_MSG_SIZE is 512 bytes.
        """
        for line in lines:
            told = yield from need(Driver.tell, self.in_words(line), is_error=False)
            if not told.is_shown:
                raise LoginAborted("conversation", "a message was not shown")
