"""Signals while something runs that must come to an orderly end.

What nohup, or the process that started totpctl, made it ignore stays ignored.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PAUSING = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM, or the terminal gone (SIGHUP), act as Ctrl-C does; Ctrl-Z waits for the end."""
    stopping = dict.fromkeys(_STOPPING, signal.default_int_handler)
    with _handled({**stopping, **dict.fromkeys(_PAUSING, signal.SIG_IGN)}):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Nothing but SIGKILL ends the block."""
    with _handled(dict.fromkeys((*_STOPPING, *_PAUSING), signal.SIG_IGN)):
        yield


@contextmanager
def _handled(handlers: dict[signal.Signals, object]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in handlers}
    try:
        for number, handler in handlers.items():
            if before[number] != signal.SIG_IGN:
                signal.signal(number, handler)  # type: ignore[arg-type]
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
