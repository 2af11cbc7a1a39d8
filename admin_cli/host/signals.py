"""Signals while something runs that must come to an orderly end.

What nohup, or the process that started totpctl, made it ignore stays ignored.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PAUSING = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


class Interruption:
    """What Ctrl-C does: it raises KeyboardInterrupt, at once or after what must not be cut off."""

    def __init__(self) -> None:
        self._is_deferred = False
        self._has_come = False

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let the block come to its end first."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False
        if self._has_come:
            raise KeyboardInterrupt

    def come(self, *_: object) -> None:
        """Handle a signal."""
        self._has_come = True
        if not self._is_deferred:
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """SIGTERM, or the terminal gone (SIGHUP), act as Ctrl-C does; Ctrl-Z waits for the end."""
    interruption = Interruption()
    stopping = dict.fromkeys(_STOPPING, interruption.come)
    with _handled({**stopping, **dict.fromkeys(_PAUSING, signal.SIG_IGN)}):
        yield interruption


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Nothing but SIGKILL ends the block."""
    with _handled(dict.fromkeys((*_STOPPING, *_PAUSING), signal.SIG_IGN)):
        yield


@contextmanager
def _handled(handlers: Mapping[signal.Signals, object]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in handlers}
    try:
        for number, handler in handlers.items():
            if before[number] != signal.SIG_IGN:
                signal.signal(number, handler)  # type: ignore[arg-type]
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
