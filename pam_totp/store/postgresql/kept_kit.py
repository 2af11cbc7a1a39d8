"""The kit of this host, opened when somebody needs it, and who is to be in it."""

from __future__ import annotations

import _thread
import os
import time
from typing import TYPE_CHECKING, TypeVar

from ...system.errors import StoreMissing
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
        self._lock = _thread.allocate_lock()  # of all that follows
        self._kit: Kit | None = None
        self._accepted: set[str] = set()  # by a code, in the database, since the last refresh
        self._not_before = 0.0  # when to refresh again, by time.monotonic()

    @classmethod
    def of(cls, settings: Config, *, patience: float | None = None) -> KeptKit:
        """Return the one that ``settings`` name."""
        path = os.path.join(os.path.dirname(settings.local_store), FILE_NAME)
        may_answer = settings.offline == CACHE
        return cls(path, settings.sealing_key, may_answer=may_answer, patience=patience)

    def ask(self, question: Callable[[Kit], Result]) -> Result:
        """Return what the kit answers. Raises StoreMissing where there is none, or Unavailable."""
        with self._lock:
            try:
                return question(self._opened())
            except StoreMissing:
                raise
            except BaseException:  # nobody knows what the connection is good for
                self._close()
                raise

    def close(self) -> None:
        with self._lock:
            self._close()

    # Refreshing it

    def note_accepted(self, name: str) -> None:
        """Have the next refresh fetch the codes of ``name``, unless they are kept."""
        with self._lock:
            self._accepted.add(name)

    def begin_refresh(self, *, at_once: bool) -> bool:
        """Tell whether a refresh may begin; another one waits until this one has ended."""
        with self._lock:
            if time.monotonic() < self._not_before and not at_once:
                return False
            self._not_before = time.monotonic() + RETRY_SECONDS
            return True

    def due(self) -> list[str]:
        """Return the users whose codes are to be fetched, those first of whom there are none."""
        with self._lock:
            try:
                kit = self._opened()
            except StoreMissing:
                return sorted(self._accepted)[:USERS_AT_MOST]
            new = sorted(name for name in self._accepted if not kit.keeps(name))
            return [*new, *kit.due()][:USERS_AT_MOST]

    def put(self, asked: list[str], fetched: Fetched, last_entry: int) -> bool:
        """See Kit.put(): also False where there is nothing to keep, and no kit yet."""
        with self._lock:
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
        with self._lock:
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
