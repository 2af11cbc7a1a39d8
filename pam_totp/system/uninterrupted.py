"""Nobody but root may stop a process that holds the store's lock.

Under sudo the real user id is the caller's, who may send any signal to it: stopped by SIGSTOP, or
from the terminal, in the middle of a transaction, it would keep everybody from logging in.
"""

from __future__ import annotations

import _signal
import os

_ALL = _signal.valid_signals()


class Uninterrupted:
    """While it lasts, signals of the terminal wait, and kill(2) by the caller is refused."""

    def __enter__(self) -> None:
        self._mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _ALL)
        self._ids = os.getresuid()
        self._callers = self._ids[1] == 0 and self._ids != (0, 0, 0)
        if self._callers:
            os.setresuid(0, 0, 0)

    def __exit__(self, *_: object) -> None:
        if self._callers:
            os.setresuid(*self._ids)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)
