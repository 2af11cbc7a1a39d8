"""No second question for some hours: where a login comes from, as far as that may be remembered.

Loaded where ``remember`` is set alone. A place is remembered by a right code, and known again, only
where sshd has accepted a key, or the PAM file asks after the password was right. Else a login from
there would take nothing, and what is asked there would tell who has an enrollment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..core import remembering
from ..core.remembering import Origin, Remembered, Wish
from .steps import Driver, need

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .steps import Flow, Request


class Here(NamedTuple):
    """Where a login for ``service`` comes from, and the state of the user's password."""

    service: str
    origin: Origin
    password: str

    def wish(self, seconds: int) -> Wish | None:
        """Return what is to be remembered of a right code."""
        notes = self.origin.notes
        return Wish(self.service, notes, seconds, self.password) if notes else None

    def find(self, remembered: Iterable[Remembered], now: int, seconds: int) -> Remembered | None:
        return remembering.find(remembered, self.origin, self.service, self.password, now, seconds)


def look(request: Request, user: str, *, key: bool) -> Flow[Here | None]:
    """Return where this login is; None where nothing is remembered. ``key``: sshd accepted one.

    The same work for everybody: how long it takes must not tell who is enrolled. A password whose
    change nobody here would see is no first factor to rely on for hours; a key is.
    """
    processes = yield from need(Driver.processes)
    origin = remembering.origin_of(request.service, request.rhost, processes)
    if origin == Origin():
        return None
    if not key and not (yield from need(Driver.judge_stack, request.service, key=False)):
        return None
    password = yield from need(Driver.password_state, user)
    if password == remembering.UNSEEN and not key:
        return None
    return Here(request.service, origin, password)
