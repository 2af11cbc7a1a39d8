"""A login as a test sees it: who came, what was asked and shown, what PAM was told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from pam_totp.login import in_process
from tests.support.logs import LogSocket
from tests.support.place import Place
from tests.unit.fake_pam import CONSTANTS, Answer, FakePam

NAMES = {
    CONSTANTS[name]: name
    for name in (
        "PAM_SUCCESS",
        "PAM_SERVICE_ERR",
        "PAM_AUTH_ERR",
        "PAM_AUTHINFO_UNAVAIL",
        "PAM_MAXTRIES",
        "PAM_CONV_ERR",
        "PAM_IGNORE",
    )
}


class Clock:
    """Unix time, at the first second of a step."""

    def __init__(self, now: float = 1_700_000_010.0) -> None:
        self.now = now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Login(NamedTuple):
    """What came of one call: the name of the PAM code, and the handle."""

    result: str
    pamh: FakePam

    @property
    def messages(self) -> list[str]:
        return [text for _, text in self.pamh.messages]


class Door:
    def __init__(self, place: Place, log: LogSocket, clock: Clock) -> None:
        self.place = place
        self.log = log
        self.clock = clock

    def login(
        self,
        *answers: Answer,
        user: object = "alice",
        argv: Iterable[str] = (),
        flags: int = 0,
        **items: object,
    ) -> Login:
        pamh = FakePam(user, answers, **items)  # type: ignore[arg-type]
        arguments = [f"config={self.place.config_path}", *argv]
        code = in_process.authenticate(pamh, flags, arguments)
        assert type(code) is int
        self.log.lines()  # the socket's queue is short
        return Login(NAMES[code], pamh)

    def meanwhile(self, answer: str, action: Callable[[], object]) -> Callable[[], str]:
        """Return an answer that takes a while to type: ``action`` happens before it comes."""

        def type_slowly() -> str:
            action()
            return answer

        return type_slowly
