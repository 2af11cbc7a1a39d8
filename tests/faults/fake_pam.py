"""What pam_python hands to the hook, played by a test: no libpam, and no passwd file either."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace

from pam_totp.login import flow
from pam_totp.login.in_process import InProcess
from tests.support.place import SECRET, Place, code_at


class PamError(Exception):
    """What a conversation that fails raises."""


class Message:
    def __init__(self, style: int, text: str) -> None:
        self.style = style
        self.text = text


class Handle:
    """A PAM handle of ``user``, who gives ``answers`` one by one and is then gone.

    An iterator of answers runs while the person is being asked: that is the place for what
    happens meanwhile.
    """

    PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_ERROR_MSG, PAM_TEXT_INFO = 1, 2, 3, 4
    Message = Message
    exception = PamError
    service = "sshd"
    rhost = ruser = tty = authtok = None

    def __init__(self, user: str, answers: Iterable[str]) -> None:
        self.env: dict[str, str] = {}
        self.told: list[str] = []
        self._user = user
        self._answers: Iterator[str] = iter(answers)

    def get_user(self, _prompt: str | None) -> str:
        return self._user

    def conversation(self, message: Message) -> SimpleNamespace:
        if message.style in (self.PAM_PROMPT_ECHO_OFF, self.PAM_PROMPT_ECHO_ON):
            return SimpleNamespace(resp=next(self._answers, None))
        self.told.append(message.text)
        return SimpleNamespace(resp=None)


class Accounts:
    """The passwd file: everybody has an account, but for names that begin with 'nobody'."""

    @staticmethod
    def getpwnam(name: str) -> SimpleNamespace:
        if name.startswith("nobody"):
            raise KeyError(name)
        return SimpleNamespace(pw_name=name, pw_gid=65534, pw_uid=65534)


class Clock:
    """The time module of a login. ``now`` stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_900_000_005  # unix time, 15 s into a step

    def time(self) -> float:
        return float(self.now)

    def code(self, offset: int = 0, secret: bytes = SECRET) -> str:
        """Return the code of now, or of ``offset`` steps later."""
        return code_at(self.now + 30 * offset, secret)

    def wrong_code(self) -> str:
        """Return a code that SECRET does not give in this step or in one beside it."""
        right = {self.code(offset) for offset in range(-3, 4)}
        return next(code for code in map("{:06d}".format, range(8)) if code not in right)


def log_in(place: Place, answers: str | Iterable[str], user: str = "alice", *arguments: str) -> int:
    """Return the PAM code of one login with one attempt; ``arguments`` are the PAM line's."""
    handle = Handle(user, (answers,) if isinstance(answers, str) else answers)
    driver = InProcess(handle)
    arguments = (f"config={place.config_path}", "attempts=1", *arguments)
    return flow.authenticate(driver.request(0, arguments), driver)
