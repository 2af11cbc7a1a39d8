"""Processes that do the same thing at the same moment, and one that waits to be let go."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from typing import Any

# Forked: they inherit what a test has put in place of the clock and of the passwd file.
_context = multiprocessing.get_context("fork")
PATIENCE = 120  # seconds until a process that should have come is given up

Meet = Callable[[], object]


def together(count: int, action: Callable[[int, Meet], Any]) -> list[Any]:
    """Run ``action(number, meet)`` in ``count`` processes and return what each returned.

    A process that calls ``meet()`` goes on when all of them have called it.
    """
    barrier = _context.Barrier(count)
    running = []
    for number in range(count):
        receiver, sender = _context.Pipe(duplex=False)
        process = _context.Process(target=_run, args=(sender, action, number, barrier))
        process.start()
        sender.close()
        running.append((process, receiver))
    outcomes = [_outcome(receiver) for _, receiver in running]
    for process, _ in running:
        process.join(PATIENCE)
    problems = [problem for problem, _ in outcomes if problem]
    assert [] == problems, "\n".join(problems)
    return [result for _, result in outcomes]


def _run(sender: Any, action: Callable[[int, Meet], Any], number: int, barrier: Any) -> None:
    try:
        sender.send(("", action(number, lambda: barrier.wait(PATIENCE))))
    except BaseException:
        sender.send((traceback.format_exc(), None))
    os._exit(0)


def _outcome(receiver: Any) -> tuple[str, Any]:
    if not receiver.poll(PATIENCE):
        return "a process said nothing", None
    try:
        outcome: tuple[str, Any] = receiver.recv()
    except EOFError:
        return "a process died", None
    return outcome


class Waiting:
    """One process that runs ``action(pause)``; each ``pause()`` in it lasts until ``go()``.

    A context manager: entered, the process has come to its first pause; left, it is gone.
    """

    def __init__(self, action: Callable[[Meet], Any]) -> None:
        self._ours, theirs = _context.Pipe()
        self._process = _context.Process(target=_wait, args=(theirs, self._ours, action))
        self._process.start()
        theirs.close()

    def __enter__(self) -> Waiting:
        self.pause_again()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # before the pipe tells it to go on
        self._process.join()
        self._ours.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def go(self) -> None:
        self._ours.send(None)

    def pause_again(self) -> None:
        """Wait until the process has come to its next pause."""
        assert ("paused", None) == self._receive()

    def returned(self) -> Any:
        """Return what the action returned, or None if the process was killed before it did."""
        kind, result = self._receive()
        assert kind in ("returned", "died"), result
        return result

    def _receive(self) -> tuple[str, Any]:
        if not self._ours.poll(PATIENCE):
            return "silent", None
        try:
            message: tuple[str, Any] = self._ours.recv()
        except (EOFError, ConnectionResetError):
            return "died", None
        return message


def _wait(theirs: Any, ours: Any, action: Callable[[Meet], Any]) -> None:
    ours.close()

    def pause() -> None:
        theirs.send(("paused", None))
        theirs.recv()

    try:
        theirs.send(("returned", action(pause)))
    except BaseException:
        theirs.send(("failed", traceback.format_exc()))
    os._exit(0)
