"""The in-process way: a login inside the application, on the ``pamh`` that pam_python makes.

What of pam_python has to be known is here: an item that is not UTF-8 raises when it is read, so
does an answer, and None is an answer as well. docs/internals/protocol.md, "The in-process way".
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ..core import verifier
from ..system import config
from ..system.core_files import NoCoreFile
from ..system.errors import LoginAborted
from . import flow
from .conversation import UNREADABLE
from .driver import BlockingDriver
from .steps import PAM_SILENT, Reply, Request, Told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    class Response(Protocol):
        @property
        def resp(self) -> object: ...

    class Pamh(Protocol):
        """What is used of a handle of pam_python."""

        @property
        def PAM_PROMPT_ECHO_OFF(self) -> int: ...  # noqa: N802
        @property
        def PAM_PROMPT_ECHO_ON(self) -> int: ...  # noqa: N802
        @property
        def PAM_ERROR_MSG(self) -> int: ...  # noqa: N802
        @property
        def PAM_TEXT_INFO(self) -> int: ...  # noqa: N802
        @property
        def service(self) -> object: ...
        @property
        def rhost(self) -> object: ...
        @property
        def ruser(self) -> object: ...
        @property
        def tty(self) -> object: ...

        authtok: object

        @property
        def env(self) -> Mapping[str, object]: ...
        @property
        def exception(self) -> type[Exception]: ...
        def fail_delay(self, microseconds: int, /) -> None: ...
        def get_user(self, prompt: None, /) -> object: ...
        def Message(self, style: int, text: str, /) -> object: ...  # noqa: N802
        def conversation(self, message: object, /) -> Response: ...


# The application delays a refusal by this many microseconds, and by as much more at the most: so
# nobody can tell, by how long it took, whether the password was right. As native/both.c.
DELAY = 2_000_000


def authenticate(pamh: Pamh, flags: int, argv: Sequence[str], kept: list[str] | None = None) -> int:
    """Return the PAM code of one pam_sm_authenticate call; ``argv`` without the script's path.

    ``kept``: of this handle, the code that a line with first_factor=password found, "" for none.
    Empty: there was no such line.
    """
    with NoCoreFile():
        driver = InProcess(pamh, kept, asks_both=f"first_factor={config.PASSWORD}" in argv)
        try:
            return flow.authenticate(driver.request(flags, argv), driver)
        finally:
            driver.disconnect()


class InProcess(BlockingDriver):
    """Asks and tells through ``pamh``. Its ``authtok`` is written by ask_for_both() alone."""

    def __init__(
        self, pamh: Pamh, kept: list[str] | None = None, *, asks_both: bool = False
    ) -> None:
        super().__init__()
        self._pamh = pamh
        self._password = self._read_password()
        self._keeps = [] if kept is None else kept
        if asks_both and not self._password:
            self._keeps.clear()  # what there is comes from an earlier call
        self._answer_kept = bool(self._keeps)
        self._kept = self._keeps.pop() if self._keeps and not asks_both else None

    def request(self, flags: int, argv: Sequence[str]) -> Request:
        service = self._item("service")
        # Read for sshd alone: in other programs the PAM environment may be the caller's.
        info = self._ssh_auth_info() if service.startswith("sshd") else ""
        return Request(
            service=service,
            user=self._user(),
            rhost=self._item("rhost"),
            ruser=self._item("ruser"),
            tty=self._item("tty"),
            arguments=tuple(argv),
            is_silent=bool(flags & PAM_SILENT),
            password_given=bool(self._password),
            ssh_auth_info=info,
            answer_kept=self._answer_kept,
        )

    def ask(self, prompt: str, *, echo: bool) -> Reply:
        """An application that cannot ask says the same as one whose person pressed Ctrl-C."""
        if self._kept is not None:
            return Reply(self._kept, int(time.time()))
        pamh = self._pamh
        text = self._typed(pamh.PAM_PROMPT_ECHO_ON if echo else pamh.PAM_PROMPT_ECHO_OFF, prompt)
        password = self._password
        is_password = bool(password) and verifier.is_password(text, password)
        return Reply("" if is_password else text, int(time.time()), is_password)

    def ask_for_both(self, prompt: str, digits: tuple[int, ...]) -> bool:
        """As native/both.c: see there."""
        from ..core import one_answer  # few logins need it

        pamh = self._pamh
        answer = self._password or self._typed(pamh.PAM_PROMPT_ECHO_OFF, prompt)
        halves = one_answer.split(answer, digits) if digits else (answer, "")
        nobodys = os.urandom(16).hex()
        pamh.authtok, code = halves or (nobodys, "")
        self._keeps.append(code)
        pamh.fail_delay(DELAY + sum(int.from_bytes(os.urandom(4)) % (DELAY // 4) for _ in range(4)))
        return halves is not None

    def _typed(self, style: int, prompt: str) -> str:
        self.disconnect()
        pamh = self._pamh
        try:
            text = pamh.conversation(pamh.Message(style, prompt)).resp
        except UnicodeError:
            text = UNREADABLE
        except pamh.exception:
            raise LoginAborted("conversation", "the application did not ask") from None
        if not isinstance(text, str):
            raise LoginAborted("conversation", "no answer came back")
        return text

    def tell(self, text: str, *, is_error: bool) -> Told:
        self.disconnect()
        pamh = self._pamh
        style = pamh.PAM_ERROR_MSG if is_error else pamh.PAM_TEXT_INFO
        try:
            answer = pamh.conversation(pamh.Message(style, text))
        except (pamh.exception, UnicodeError):
            return Told(is_shown=False)
        try:
            return Told(is_shown=True, is_answered=isinstance(answer.resp, str))
        except UnicodeError:
            return Told(is_shown=True)

    def _user(self) -> str | None:
        try:
            return str(self._pamh.get_user(None) or "")
        except UnicodeError:
            return ""
        except self._pamh.exception:
            return None

    def _item(self, name: str) -> str:
        try:
            return str(getattr(self._pamh, name) or "")
        except UnicodeError:
            return "?"

    def _ssh_auth_info(self) -> str:
        """A name of a client, from hostbased or GSSAPI, may be in it, in any encoding."""
        try:
            return str(self._pamh.env.get("SSH_AUTH_INFO_0") or "")
        except UnicodeError:
            return ""

    def _read_password(self) -> str:
        try:
            token = self._pamh.authtok
        except (UnicodeError, self._pamh.exception):
            return ""
        return token if isinstance(token, str) else ""
