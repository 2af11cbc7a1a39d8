"""Helpers: threads that do for the loop what may take long. They come when needed, and go."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from ..system import embedding

IDLE_SECONDS = 5.0  # without work; then a helper ends

Work: TypeAlias = Callable[[], None]


class Helpers:
    """At most ``bound`` threads. What they are given while all are busy waits in line."""

    def __init__(self, name: str, bound: int) -> None:
        self._name = name
        self._bound = bound
        self._line: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._lock = threading.Lock()  # of what follows
        self._threads = 0
        self._unserved = 0  # work that nobody has finished yet
        self._since: dict[int, float] = {}  # when each thread began what it does

    def are_stuck(self, seconds: float) -> bool:
        """Tell whether there is no thread left that has not been busy for so long."""
        before = time.monotonic() - seconds
        with self._lock:
            busy = len(self._since)
            return busy == self._bound and all(since < before for since in self._since.values())

    def do(self, work: Work) -> None:
        """Have a helper do ``work``; what it raises is logged.

        Raises RuntimeError where there is no thread, and none can be started.
        """
        with self._lock:
            self._unserved += 1
            is_short = self._unserved > self._threads and self._threads < self._bound
            if is_short and self._start() is False and not self._threads:
                self._unserved -= 1
                raise RuntimeError("no thread could be started")
        self._line.put(work)

    def _start(self) -> bool:
        try:
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        except RuntimeError:
            return False
        self._threads += 1
        return True

    def _serve(self) -> None:
        while True:
            try:
                work = self._line.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._unserved >= self._threads:  # some of it is ours: it is on its way
                        continue
                    self._threads -= 1
                return
            number = threading.get_ident()
            with self._lock:
                self._since[number] = time.monotonic()
            try:
                work()
            except BaseException as error:  # no memory, say; if this thread ended, who would serve?
                embedding.report("service", error)
            finally:
                with self._lock:
                    self._unserved -= 1
                    del self._since[number]
