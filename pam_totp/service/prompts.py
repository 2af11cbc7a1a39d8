"""How many logins of one user wait at a prompt: a bound that shuts nobody out who waits elsewhere.

A prompt takes a place in the service. People who know a password may open as many as they like,
and where a stack asks for a code after a wrong password, anybody may. So they are counted by the
user who is asked for and by where they come from: an intruder fills the places of their own
address, and never those of another one, nor those of this machine.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from ..core import addresses

MAX_OF_ONE_CALLER = 50  # on this machine, where nobody else is counted with them
MAX_OF_ONE_PLACE = 10  # an address, or 64 bits of an IPv6 address
MAX_OF_ONE_NETWORK = 40  # 24 bits of an IPv4 address, 48 bits of an IPv6 address, or all names
MAX_OF_ONE_NAME = 200  # from all addresses together; callers on this machine are not among them
TELL_SHARE = 2  # for every so many places, one to tell somebody that they are taken
NEWS_SECONDS = 60.0  # one line in the log for each user in so many
_PLACES_SHOWN = 5


class Group(NamedTuple):
    """Logins that are counted together; ``name`` says where they come from."""

    name: str
    limit: int


class Place(NamedTuple):
    """What a login got. ``may_tell``: if not asked, it may at least be told why.

    ``news``: what to log of a limit that was hit; "" where that was logged a moment ago.
    """

    name: str
    groups: tuple[Group, ...]
    may_ask: bool
    may_tell: bool = False
    news: str = ""


class Prompts:
    """Counts the logins that wait. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, _OfOneName] = {}

    def enter(self, name: str, rhost: str, ruser: str, tty: str) -> Place:
        """Give one more login of ``name`` a place. leave() must follow, whatever it got."""
        groups = groups_of(rhost, ruser, tty)
        with self._lock:
            of_name = self._of.setdefault(name, _OfOneName())
            full = of_name.add(of_name.asking, groups)
            if full is None:
                return Place(name, groups, may_ask=True)
            shares = tuple(Group(group.name, group.limit // TELL_SHARE) for group in groups)
            may_tell = of_name.add(of_name.told, shares) is None
            news = of_name.news(full, time.monotonic())
            self._forget(name)
            return Place(name, groups, may_ask=False, may_tell=may_tell, news=news)

    def leave(self, place: Place) -> None:
        """Take back what enter() gave."""
        if not place.may_ask and not place.may_tell:
            return
        with self._lock:
            of_name = self._of[place.name]
            counts = of_name.asking if place.may_ask else of_name.told
            for group in place.groups:
                counts[group.name] -= 1
                if not counts[group.name]:
                    del counts[group.name]
            self._forget(place.name)

    def _forget(self, name: str) -> None:
        of_name = self._of[name]
        if not of_name.asking and not of_name.told:
            del self._of[name]


class _OfOneName:
    """The logins of one user: those who are asked, and those who are told that they are not."""

    def __init__(self) -> None:
        self.asking: dict[str, int] = {}
        self.told: dict[str, int] = {}
        self._told_at: float | None = None

    def add(self, counts: dict[str, int], groups: tuple[Group, ...]) -> Group | None:
        """Count one more; return the group that has no place, if there is one."""
        for group in groups:
            if counts.get(group.name, 0) >= group.limit:
                return group
        for group in groups:
            counts[group.name] = counts.get(group.name, 0) + 1
        return None

    def news(self, full: Group, now: float) -> str:
        """Return how many wait, and where most of them come from; "" if that is no news."""
        if self._told_at is not None and now - self._told_at < NEWS_SECONDS:
            return ""
        self._told_at = now
        others = sorted((-count, name) for name, count in self.asking.items() if name != full.name)[
            :_PLACES_SHOWN
        ]
        most = ", ".join(f"{-count} {name}" for count, name in others)
        return f"{full.limit} logins wait {full.name}" + (f"; also: {most}" if most else "")


def groups_of(rhost: str, ruser: str, tty: str) -> tuple[Group, ...]:
    """Return with which others a login is counted, by what the application says of it.

    A login over the network has an address, which sshd has from the kernel; the rest may be the
    client's to choose. On this machine it is the caller who counts (sudo, su), at whatever
    terminal: they can have as many of those as they like. Without a caller it is the terminal.
    """
    if not rhost:
        return (Group(f"by {ruser}" if ruser else f"at {tty or 'no terminal'}", MAX_OF_ONE_CALLER),)
    place, network = _networks(rhost)
    return (
        Group(f"from {place}", MAX_OF_ONE_PLACE),
        Group(f"from {network}", MAX_OF_ONE_NETWORK),
        Group("over the network", MAX_OF_ONE_NAME),
    )


def _networks(rhost: str) -> tuple[str, str]:
    """Return what one client, and what one customer of a provider, can choose addresses from.

    A name, as sshd gives it with ``UseDNS yes``, is one of as many as its owner likes: all names
    are one network.
    """
    address = addresses.parse(rhost)
    if address is None:
        return rhost.lower(), "hosts known by name"
    place = addresses.network_of(address, ipv4=32, ipv6=64)
    return place, addresses.network_of(address, ipv4=24, ipv6=48)
