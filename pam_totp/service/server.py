"""The worker as a service: many logins at once, driven by one loop (loop.py), and its life."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import threading
import time
from typing import NoReturn

from ..system import audit, embedding
from ..system.errors import PamTotpError
from . import worker
from .log import Log
from .loop import Loop

IDLE_SECONDS = 300.0  # without a login; then a service that systemd can start again goes away
STUCK_SECONDS = 0.25  # that a disk may take; then another thread leads
MAX_STUCK = 8  # threads that a disk holds up: so many, and no more of them lead
TELL_SECONDS = 60.0  # a slow disk is told of once in so many
REST_SECONDS = 30.0  # without a login; then nobody looks whether the loop is stuck
STACK_BYTES = 512 * 1024  # of address space: a thread that waits has touched little of it


class CannotListen(PamTotpError):
    """There is no socket to serve."""


class Service:
    """Serves all connections to ``listener``.

    One thread leads the loop. This one looks on, and has another one lead where a disk holds that
    one up. ``idle_seconds`` without a login end it; None: only a signal does.
    """

    def __init__(self, listener: socket.socket, idle_seconds: float | None = None) -> None:
        self._idle_seconds = idle_seconds
        self._loop = Loop(listener, is_sandboxed=idle_seconds is not None)  # a unit's
        self._log = Log()
        self._watchdog = int(os.environ.get("WATCHDOG_USEC") or 0) / 2_000_000
        self._is_ready = False
        self._told_at = 0.0
        self._open_stores: tuple[str, ...] = ()
        self._is_over = threading.Event()
        self._is_stirred = threading.Event()  # somebody has come since all was at rest
        self._slow_at = -TELL_SECONDS
        self._lock = threading.Lock()
        self._threads = 0  # that lead, or led and have not come back

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then give the logins under way GRACE_SECONDS."""
        threading.stack_size(STACK_BYTES)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a few of them a login
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _wake_up)
        signal.set_wakeup_fd(self._loop.wakes, warn_on_full_buffer=False)
        audit.deliver = self._log.deliver
        gc.collect()
        gc.freeze()  # what is there now stays: nobody need look at it again
        try:
            if not self._add_leader():
                raise CannotListen("service", "cannot start a thread", "look at its limits")
            self._look_on()
        finally:
            signal.set_wakeup_fd(-1)
            audit.deliver = audit.send
            self._log.close()

    def _look_on(self) -> None:
        while not self._is_over.wait(STUCK_SECONDS / 2):
            if self._loop.replace_who_is_away(STUCK_SECONDS):
                self._tell_of_a_slow_disk()
                if self._threads >= MAX_STUCK:
                    self._give_up()
                while not self._add_leader():
                    time.sleep(STUCK_SECONDS)
            if self._is_at_rest():
                self._is_stirred.clear()
                if self._is_at_rest():  # still
                    self._is_stirred.wait()

    def _tell_of_a_slow_disk(self) -> None:
        now = time.monotonic()
        if now - self._slow_at >= TELL_SECONDS:
            self._slow_at = now
            reason = "a disk is slow: the logins that need it wait, the others go on"
            worker.log_error(reason, hint="look at: dmesg; df")

    def _give_up(self) -> NoReturn:
        """End at once: modules that were told nothing so far start workers of their own."""
        reason = f"{MAX_STUCK} threads wait for disks that do not answer: the service ends"
        worker.log_error(reason, hint="look at: dmesg; df")
        os._exit(1)

    def _is_at_rest(self) -> bool:
        if self._loop.is_away() or self._loop.is_stopping or self._is_over.is_set():
            return False
        idle = time.monotonic() - self._loop.last_used
        return idle > REST_SECONDS and not self._loop.crowd.count

    def _add_leader(self) -> bool:
        try:
            threading.Thread(target=self._lead, name="loop", daemon=True).start()
        except RuntimeError:
            return False
        with self._lock:
            self._threads += 1
        return True

    def _lead(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            _notify("READY=1")
        try:
            is_over = self._loop.lead(self._look_round)
        except BaseException as error:  # which nobody foresaw; and nobody else would lead
            embedding.report("service", error)
            is_over = True
        with self._lock:
            self._threads -= 1
        if is_over:
            self._is_over.set()
            self._is_stirred.set()

    def _look_round(self) -> float | None:
        """Do what is due in each round; return how many seconds the next one may be away."""
        now = time.monotonic()
        if not self._is_stirred.is_set():
            self._is_stirred.set()
        waits = []
        if self._watchdog:
            if now - self._told_at >= self._watchdog / 2:
                self._told_at = now
                _notify("WATCHDOG=1")
            waits.append(self._watchdog)
        if self._idle_seconds is not None and not self._loop.crowd.count:
            left = self._loop.last_used + self._idle_seconds - now
            self._loop.is_stopping |= left <= 0
            waits.append(max(left, 0.01))
        if self._loop.is_stopping:
            _notify("STOPPING=1")
        self._tell_what_is_open()
        return min(waits, default=None)

    def _tell_what_is_open(self) -> None:
        """Have ``systemctl status`` say what keeps a file system from being unmounted."""
        paths = self._loop.open_stores()
        if paths != self._open_stores:
            self._open_stores = paths
            _notify(f"STATUS={'keeps open: ' + ', '.join(paths) if paths else 'no store is open'}")


def _wake_up(*_: object) -> None:
    """The loop hears of it by signal.set_wakeup_fd()."""


def _notify(state: str) -> None:
    """Tell systemd (sd_notify(3)), where it asked for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(1.0)
            sender.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            sender.send(state.encode("utf-8", "replace"))
    except OSError:
        pass
