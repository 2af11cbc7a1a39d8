"""How many logins of one user are at their prompts: a bound that costs nobody else anything.

A prompt takes a place in the service. Those who know their own password may ask for as many as
they like; without a bound of their own, they would take everybody's.
"""

from __future__ import annotations

import _thread

MAX_OF_ONE_NAME = 50


class Prompts:
    """Counts logins by the user that they ask for. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._of: dict[bytes, int] = {}

    def enter(self, name: bytes) -> bool:
        """Count one more login; tell whether it has a place. If so, leave() must follow."""
        name = name.lower()  # a directory may take ALICE for alice
        with self._lock:
            count = self._of.get(name, 0)
            if count >= MAX_OF_ONE_NAME:
                return False
            self._of[name] = count + 1
            return True

    def leave(self, name: bytes) -> None:
        name = name.lower()
        with self._lock:
            self._of[name] -= 1
            if not self._of[name]:
                del self._of[name]
