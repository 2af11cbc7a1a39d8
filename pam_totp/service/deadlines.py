"""Deadlines: who has waited too long. Adding, taking back and asking cost the same however many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter", bound=Hashable)


class Deadlines(Generic[Waiter]):
    """For waits of a few lengths: each has a line in which the first to come is the first to go."""

    def __init__(self) -> None:
        self._lines: dict[float, OrderedDict[Waiter, float]] = {}

    def add(self, waiter: Waiter, seconds: float, now: float) -> None:
        """Have ``waiter`` wait so long from ``now`` on, a time of time.monotonic()."""
        self._lines.setdefault(seconds, OrderedDict())[waiter] = now + seconds

    def remove(self, waiter: Waiter, seconds: float) -> None:
        """Have it wait no longer, if it waits at all."""
        line = self._lines.get(seconds)
        if line is not None:
            line.pop(waiter, None)

    def expired(self, now: float) -> Iterator[Waiter]:
        """Take out, one by one, all whose time is over."""
        for line in list(self._lines.values()):
            while line:
                waiter, until = next(iter(line.items()))
                if until > now:
                    break
                del line[waiter]
                yield waiter

    def next(self) -> float | None:
        """Return when the next one's time is over; None: nobody waits."""
        ends = [next(iter(line.values())) for line in self._lines.values() if line]
        return min(ends, default=None)
