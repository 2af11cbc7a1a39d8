"""Block signals and set all user ids to 0 while the store is locked.

Under sudo the real user id is the caller's, so the caller may send the process any signal. One
that is stopped in the middle of a transaction, by SIGSTOP or from the terminal, would keep
everybody from logging in.
"""

from __future__ import annotations

import _signal
import os

_ALL = _signal.valid_signals()


class Uninterrupted:
    """Inside the block, signals wait, and the kernel refuses kill(2) by the caller."""

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
