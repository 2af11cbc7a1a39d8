"""The kit of this host, opened when somebody needs it, and who is to be in it."""

from __future__ import annotations

import _thread
import os
import time
from typing import TYPE_CHECKING, TypeVar

from ...system.errors import StoreMissing
from ...system.uninterrupted import Uninterrupted
from .. import sealing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...system.config import Config
    from .codes_ahead import Fetched
    from .kit import Kit

Result = TypeVar("Result")

FILE_NAME = "offline.db"  # beside the local store
CACHE = "cache"  # the value of the key ``offline`` with which answers may come from the kit
USERS_AT_MOST = 256  # in one refresh
RETRY_SECONDS = 60.0  # after a refresh that failed, or fetched nothing
AWAY_SECONDS = 60.0  # after the database could not be reached: a question waits for less
AWAY_PATIENCE = 2.0  # seconds


def path_of(settings: Config) -> str:
    """Return where the kit is, if there is one."""
    return os.path.join(os.path.dirname(settings.local_store), FILE_NAME)


class KeptKit:
    """One for a process; threads may share it. Nothing is loaded where there is no kit.

    ``may_answer``: whether logins may be answered by it. ``patience``: seconds to wait for another
    process that writes to it, None for the usual.
    """

    def __init__(
        self, path: str, sealing_key: str, *, may_answer: bool, patience: float | None = None
    ) -> None:
        self.path = path
        self.may_answer = may_answer
        self._sealing_key = sealing_key
        self._patience = patience
        self._lock = _thread.allocate_lock()
        # Under that lock, which may be held for as long as a disk hangs.
        self._kit: Kit | None = None
        self._memory = _thread.allocate_lock()  # of what follows; never held for long
        self._accepted: set[str] = set()  # by a code, in the database, since the last refresh
        self._not_before = 0.0  # when to refresh again, by time.monotonic()
        self._away_until = 0.0  # by time.monotonic()

    @classmethod
    def of(cls, settings: Config, *, patience: float | None = None) -> KeptKit:
        """Return the one that ``settings`` name."""
        may_answer = settings.offline == CACHE
        path = path_of(settings)
        return cls(path, settings.sealing_key, may_answer=may_answer, patience=patience)

    def ask(self, question: Callable[[Kit], Result]) -> Result:
        """Return what the kit answers. Raises StoreMissing where there is none, or Unavailable."""
        with Uninterrupted(), self._lock:
            try:
                return question(self._opened())
            except StoreMissing:
                raise
            except BaseException:  # nobody knows what the connection is good for
                self._close()
                raise

    def close(self) -> None:
        """Close the file, unless another thread uses it: that may be held up by the disk."""
        if self._lock.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._lock.release()

    # Asking the database

    def patience(self, left: float) -> float:
        """Return the seconds to wait for the database, of ``left``.

        Few, for a minute after it could not be reached: each login would wait for that again.
        """
        with self._memory:
            is_away = bool(self._away_until) and time.monotonic() < self._away_until
        return min(left, AWAY_PATIENCE) if is_away else left

    def note_unreachable(self) -> None:
        """The database could not be reached: this host answers in its place."""
        with self._memory:
            now = time.monotonic()
            if now >= self._away_until:  # not after a short wait: that would never end
                self._away_until = now + AWAY_SECONDS

    def note_reached(self) -> None:
        with self._memory:
            self._away_until = 0.0

    # Refreshing it

    def note_accepted(self, name: str) -> None:
        """Have the next refresh fetch the codes of ``name``, unless they are kept."""
        if self.may_answer:
            with self._memory:
                self._accepted.add(name)

    @property
    def next_refresh(self) -> float | None:
        """When one is due, by time.monotonic(); None: not before somebody is accepted."""
        with self._memory:
            return self._not_before if self._accepted else None

    def begin_refresh(self) -> bool:
        """Tell whether a refresh may begin; another one waits until this one has ended."""
        with self._memory:
            if time.monotonic() < self._not_before:
                return False
            self._not_before = time.monotonic() + RETRY_SECONDS
            return True

    def due(self) -> list[str]:
        """Return the users whose codes are to be fetched, those first of whom there are none."""
        with self._memory:
            accepted = set(self._accepted)
        try:
            kept = self.ask(lambda kit: {name for name in accepted if kit.keeps(name)})
            due = self.ask(lambda kit: kit.due())
        except StoreMissing:
            kept, due = set(), []
        with self._memory:
            self._accepted -= kept
        return [*sorted(accepted - kept), *due][:USERS_AT_MOST]

    def put(self, asked: list[str], fetched: Fetched, last_entry: int) -> bool:
        """See Kit.put(): also False where there is nothing to keep, and no kit yet."""
        with Uninterrupted(), self._lock:
            try:
                kit = self._opened()
            except StoreMissing:
                if not fetched.records:
                    return False
                from .kit import Kit

                Kit.create(self.path, sealing.read_sealer(self._sealing_key))
                kit = self._opened()
            return kit.put(asked, fetched, last_entry)

    def end_refresh(self, names: Iterable[str]) -> None:
        """The codes of ``names`` were fetched: the next refresh may come at any time."""
        with self._memory:
            self._accepted.difference_update(names)
            self._not_before = 0.0

    def _opened(self) -> Kit:
        if self._kit is not None and not self._kit.is_in_place():
            self._close()
        if self._kit is None:
            if not os.path.lexists(self.path):  # the usual case, and nothing is loaded
                raise StoreMissing(self.path, "keeps no codes for an outage")
            from .kit import Kit

            self._kit = Kit.open(
                self.path,
                sealing.read_sealer(self._sealing_key),
                patience=self._patience,
                any_thread=True,
            )
        return self._kit

    def _close(self) -> None:
        kit, self._kit = self._kit, None
        if kit is not None:
            kit.close()
