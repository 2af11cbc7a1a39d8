"""A loop in this process, whose rounds begin when a test says so, and those who log in there.

Or threads lead it, as in the service; which of them is replaced, and when, the test says.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pam_totp.service.loop import Loop
from tests.native import worker_side as side
from tests.native.worker_side import Client, Outcome
from tests.support.place import Place

LOCAL = ("alice", "bob", "carol", "dave", *(f"user{number}" for number in range(40)))
ELSEWHERE = ("dora", "erin")  # whom a directory knows


class Rounds:
    def __init__(self, listener: socket.socket, place: Place) -> None:
        self.place = place
        self.loop = Loop(listener, is_sandboxed=False)
        self.leaders: list[threading.Thread] = []
        self.outcomes: list[bool] = []  # of lead()
        self._path = Path(listener.getsockname())
        self._clients: list[Client] = []

    # By hand

    def round(self) -> None:
        self.loop._listen()
        self.loop._do_round(lambda: 0.0)

    def until(self, condition: Callable[[], object]) -> None:
        def holds() -> bool:
            if not self.leaders:
                self.round()
            return bool(condition())

        side.wait_until(holds)

    # By threads

    def lead(self) -> None:
        thread = threading.Thread(
            target=lambda: self.outcomes.append(self.loop.lead(lambda: None)), daemon=True
        )
        self.leaders.append(thread)
        thread.start()

    def replace(self) -> None:
        """Replace the thread that leads, which is away."""
        side.wait_until(lambda: self.loop.replace_who_is_away(0.0))
        self.lead()

    # Those who log in

    def come(
        self, user: str = "alice", *arguments: bytes, place: Place | None = None, **items: Any
    ) -> Client:
        """Connect, and say who it is."""
        config = (place or self.place).config_path
        client = self.connect()
        client.send(
            side.request(user.encode(), arguments=side.of_place(config, *arguments), **items)
        )
        return client

    def connect(self) -> Client:
        client = Client(self._path)
        self._clients.append(client)
        return client

    def at_the_prompt(self, user: str = "alice", *arguments: bytes, **how: Any) -> Client:
        client = self.come(user, *arguments, **how)
        self.prompt_of(client)
        return client

    def prompt_of(self, client: Client) -> None:
        received = self.hear(client)
        assert (side.MESSAGE, True) == (received[3], received[4] in side.PROMPTS), received

    def hear(self, client: Client) -> bytes:
        """Return what it is told next; b"": the loop has hung up."""
        self.until(lambda: has_news(client))
        return client.receive()

    def result_of(self, client: Client, *texts: str) -> Outcome:
        """Answer what it is asked, until the end."""
        left, shown, prompts = list(texts), [], 0
        while received := self.hear(client):
            if received[3] == side.RESULT:
                return Outcome(received[4], shown, prompts)
            if received[3] == side.REFUSED:
                return Outcome(side.WAS_REFUSED, [*shown, received[6:].decode("ascii")], prompts)
            shown.append(received[5:].decode("utf-8"))
            is_prompt = received[4] in side.PROMPTS
            prompts += is_prompt
            client.send(side.answer(left.pop(0)) if is_prompt else side.answer(b"", side.NONE))
        return Outcome(side.NONE_CAME, shown, prompts)

    def log_in(self, user: str, text: str, *arguments: bytes, **how: Any) -> int:
        return self.result_of(self.come(user, *arguments, **how), text).code

    # Afterwards

    def is_forgotten(self) -> bool:
        """Tell whether nothing is left of those who logged in."""
        loop = self.loop
        return (
            not loop._logins
            and not loop.crowd.count
            and loop._deadlines.next() is None
            and len(loop._selector.get_map()) <= 2  # those of the loop itself
            and not any((loop._inbox, loop._done, loop._later, loop._to_hash, loop._critical))
            and not loop._shared.prompts._of
        )

    def close(self) -> None:
        for client in self._clients:
            client.socket.close()
        self.loop.is_stopping = True
        self.loop.wake()
        for leader in self.leaders:
            leader.join(side.TIMEOUT)
            assert not leader.is_alive()
        if self.leaders:  # one led to the end; who was replaced may come back after it
            assert [*[False] * (len(self.leaders) - 1), True] == sorted(self.outcomes)
        else:
            self.loop._close_all()


class Gate:
    """Stands in for ``function``: while it is shut, whoever calls waits there."""

    def __init__(self, function: Callable[..., Any], *, only: Callable[..., bool] | None = None):
        self._function = function
        self._only = only
        self._is_open = threading.Event()
        self.waiting = 0  # so many have come to it while it was shut

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if not self._is_open.is_set() and (self._only is None or self._only(*arguments)):
            self.waiting += 1
            assert self._is_open.wait(side.TIMEOUT)
        return self._function(*arguments, **options)

    def open(self) -> None:
        self._is_open.set()


def has_news(client: Client) -> bool:
    return bool(select.select([client.socket], [], [], 0)[0])
