"""Places that people log in from, and which of them are known: where a right answer came from.

A place is an address, or on this machine a caller or a terminal. Strangers who throttle or lock
somebody do so for all unknown places: see verifier.py. Pure; times are unix times in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

AT_MOST = 8  # of one user; the one that was used the longest time ago makes way
KEPT_SECONDS = 365 * 86_400  # without a login from there
NOTED_SECONDS = 3600  # a use is noted to the hour: most logins write nothing for it
MAX_LENGTH = 128

NOWHERE = ""  # a place that nobody can say to be known
_CALLER, _TERMINAL = "by ", "at "
_LOOPBACK = f"{_TERMINAL}loopback"


class KnownPlace(NamedTuple):
    """One known place of a user, with the count of wrong answers that came from there."""

    name: str
    used_at: int
    failures: int = 0  # since the last right answer from anywhere
    throttled_until: int = 0
    guesses_until: int = 0  # its part of the slow budget

    def has_ended(self, now: int) -> bool:
        return now - self.used_at > KEPT_SECONDS

    def failed(self, *, throttled_until: int, guesses_until: int) -> KnownPlace:
        """Count one wrong answer."""
        return self._replace(
            failures=self.failures + 1,
            throttled_until=throttled_until,
            guesses_until=guesses_until,
        )

    def throttled(self, until: int) -> KnownPlace:
        """Nothing from there is looked at before ``until``."""
        return self._replace(throttled_until=until)

    def without_failures(self) -> KnownPlace:
        """Forget the row of wrong answers. Its part of the slow budget stays."""
        return self._replace(failures=0, throttled_until=0)

    def unlocked(self) -> KnownPlace:
        return self._replace(failures=0, throttled_until=0, guesses_until=0)


def name_of(rhost: str, ruser: str, tty: str) -> str:
    """Return the name of the place that an application describes; NOWHERE: of none.

    Over the network it is the address: of IPv6 its first 64 bits, which are one customer's, who
    changes the rest as they like. A name (sshd's, with ``UseDNS yes``) is none, for its owner
    decides which addresses have it. On this machine it is the caller, as su and sudo have it from
    the kernel; without one the terminal, unless it is one of those that anybody opens.
    """
    if rhost:
        return _of_address(rhost)
    terminal = tty.removeprefix("/dev/")
    if ruser:
        name = f"{_CALLER}{ruser}"
    elif terminal and not terminal.startswith(("pts/", "pty")):
        name = f"{_TERMINAL}{terminal}"
    else:
        return NOWHERE
    return name if len(name) <= MAX_LENGTH and name.isprintable() else NOWHERE


def find(known: Iterable[KnownPlace], name: str, now: int) -> KnownPlace | None:
    """Return the one of ``name``, if it is known and was used within KEPT_SECONDS."""
    for place in known:
        if place.name == name and name != NOWHERE and not place.has_ended(now):
            return place
    return None


def replaced(known: tuple[KnownPlace, ...], changed: KnownPlace) -> tuple[KnownPlace, ...]:
    """Return ``known`` with ``changed`` in the place of the one with its name."""
    return tuple(changed if place.name == changed.name else place for place in known)


def used(known: tuple[KnownPlace, ...], name: str, now: int) -> tuple[KnownPlace, ...]:
    """Note a right answer from ``name``, and forget the rows of wrong ones, wherever from."""
    hour = now - now % NOTED_SECONDS
    kept = tuple(place.without_failures() for place in known if not place.has_ended(now))
    if name == NOWHERE:
        return kept
    if any(place.name == name for place in kept):
        return tuple(p._replace(used_at=hour) if p.name == name else p for p in kept)
    if len(kept) >= AT_MOST:
        oldest = min(kept, key=lambda place: place.used_at)
        kept = tuple(place for place in kept if place is not oldest)
    return (*kept, KnownPlace(name, hour))


def _of_address(rhost: str) -> str:
    address = addresses.parse(rhost)
    if address is None:
        return NOWHERE
    if addresses.is_loopback(address):
        return _LOOPBACK
    return addresses.network_of(address, ipv4=32, ipv6=64)
