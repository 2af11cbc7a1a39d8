"""Crowd: how many connections there are, and which one more is too many."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .worker import Peer

MAX_CONNECTIONS = 2000
MAX_OF_ONE_USER = 8  # of programs without root
MAX_OF_OTHERS = 500  # of them all: the rest is for root
TELL_SECONDS = 60.0


class Crowd:
    """Counts connections, all of them and those of each user without root."""

    def __init__(self) -> None:
        self.count = 0
        self._of_others = 0
        self._of_user: dict[int, int] = {}
        self._told_at = -TELL_SECONDS

    def enter(self, peer: Peer) -> str:
        """Count one more, and return why it is one too many; "": it is not."""
        self.count += 1
        if peer.is_trusted():  # whom no others take a place from, however many are being refused
            of_root = self.count - self._of_others
            return "too many connections" if of_root > MAX_CONNECTIONS else ""
        self._of_others += 1
        self._of_user[peer.uid] = self._of_user.get(peer.uid, 0) + 1
        if self.count > MAX_CONNECTIONS:
            return "too many connections"
        if self._of_others > MAX_OF_OTHERS:
            return "too many connections without root"
        if self._of_user[peer.uid] > MAX_OF_ONE_USER:
            return "too many connections of one user"
        return ""

    def leave(self, peer: Peer) -> None:
        """Take back what enter() counted."""
        self.count -= 1
        if peer.is_trusted():
            return
        self._of_others -= 1
        self._of_user[peer.uid] -= 1
        if not self._of_user[peer.uid]:
            del self._of_user[peer.uid]

    def is_news(self, peer: Peer) -> bool:
        """Tell whether to log a refusal: of programs without root, one in TELL_SECONDS."""
        now = time.monotonic()
        is_news = peer.is_trusted() or now - self._told_at >= TELL_SECONDS
        if is_news:
            self._told_at = now
        return is_news
