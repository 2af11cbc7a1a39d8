"""The worker as a service: many logins at once, each on a thread that mostly waits for a person."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

from .. import store
from ..system import embedding
from ..system.errors import PamTotpError
from . import worker
from .prompts import Prompts

if TYPE_CHECKING:
    from .worker import Peer

IDLE_SECONDS = 300.0  # without a login; then a service that systemd can start again goes away
GRACE_SECONDS = 5.0  # for the logins under way when it is told to stop
TICK_SECONDS = 1.0
RETRY_SECONDS = 1.0
MAX_CONNECTIONS = 2000
MAX_OF_ONE_USER = 8  # of programs without root
MAX_OF_OTHERS = 500  # of them all: the rest is for root
TELL_SECONDS = 60.0
PAUSE_SECONDS = 0.5  # for which they keep their place: nobody floods the log, or the disk
MAX_ACCEPTORS = 4  # threads that wait for the next connection
BACKLOG = 4096
STACK_BYTES = 512 * 1024  # of address space: a thread that waits has touched little of it


class CannotListen(PamTotpError):
    """There is no socket to serve."""


class Service:
    """Serves each connection to ``listener`` on a thread of its own.

    The threads accept by themselves, and a few wait for the next connection: a login costs no
    new thread and no detour. ``idle_seconds`` without a login end it; None: only a signal does.
    """

    def __init__(self, listener: socket.socket, idle_seconds: float | None = None) -> None:
        self._listener = listener
        self._idle_seconds = idle_seconds
        self._is_sandboxed = idle_seconds is not None  # a unit's
        self._pool = store.kept_connections()
        self._prompts = Prompts()
        self._stopping = False
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._lock = threading.Lock()  # of what follows
        self._is_at_rest = False  # the main thread: until something happens
        self._acceptors = 0
        self._connections = 0
        self._of_others = 0
        self._of_user: dict[int, int] = {}
        self._last_used = time.monotonic()
        self._told_at = -TELL_SECONDS

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; then give the logins under way GRACE_SECONDS."""
        threading.stack_size(STACK_BYTES)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a few of them a login
        signal.set_wakeup_fd(self._wake)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._listener.settimeout(None)
        if not self._add_acceptor():
            raise CannotListen("service", "cannot start a thread", "look at its limits")
        _notify("READY=1")
        watchdog = int(os.environ.get("WATCHDOG_USEC") or 0) / 2_000_000
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        while not self._stopping:
            self._is_at_rest = True  # before it looks what there is to do: see _serve()
            waits = [TICK_SECONDS] if self._pool.close_idle() or self._connections else []
            self._is_at_rest = not waits
            waits += [watchdog] if watchdog else []
            if self._idle_seconds is not None:
                left = self._last_used + self._idle_seconds - time.monotonic()
                with self._lock:  # whoever comes later is refused, not cut off
                    self._stopping |= left <= 0 and not self._connections
                if self._stopping:
                    break
                waits.append(max(left, TICK_SECONDS))
            if poll.poll(1000 * min(waits) if waits else None):
                os.read(self._woken, 512)
            _notify("WATCHDOG=1")
        self._stopping = True
        _notify("STOPPING=1")
        self._wind_up()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _wind_up(self) -> None:
        """Let those finish who are quick; people who are still typing have to log in again."""
        end = time.monotonic() + GRACE_SECONDS
        while self._connections and time.monotonic() < end:
            time.sleep(0.02)
        self._pool.writer.acquire(timeout=GRACE_SECONDS)  # no transaction is cut off
        self._pool.close_idle(linger=0, patience=GRACE_SECONDS)

    def _add_acceptor(self) -> bool:
        with self._lock:
            self._acceptors += 1
        try:
            threading.Thread(target=self._accept, daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._acceptors -= 1
            return False
        return True

    def _accept(self) -> None:
        """Serve one connection after the other, as long as acceptors are few."""
        while not self._stopping:
            try:
                connection, _ = self._listener.accept()
                peer = worker.peer_of(connection)
            except (OSError, MemoryError) as error:  # who waits in the queue waits longer
                problem = getattr(error, "strerror", None) or type(error).__name__
                worker.log_error(f"cannot take a connection: {problem}")
                time.sleep(RETRY_SECONDS)
                continue
            if not self._serve(connection, peer):
                return

    def _serve(self, connection: socket.socket, peer: Peer) -> bool:
        """Serve one connection, or refuse it; tell whether to accept another one."""
        is_last = self._enter(peer)
        try:
            if self._is_at_rest:  # what the pool opens from now on is closed in time
                self._is_at_rest = False
                os.write(self._wake, b"\0")
            reason = self._reason_to_refuse(peer)
            if not reason and is_last and not self._add_acceptor():
                reason = "no thread could be started"
            if reason:
                worker.refuse(connection, peer, reason, log=self._is_news(peer))
            else:
                worker.serve(
                    connection,
                    peer,
                    self._prompts,
                    is_sandboxed=self._is_sandboxed,
                    connections=self._pool.open,
                )
            if not reason and not peer.is_trusted():
                time.sleep(PAUSE_SECONDS)
        except BaseException as error:  # no memory, say; if this thread ended, who would accept?
            connection.close()
            embedding.report("worker", error)
        finally:
            is_wanted = self._leave(peer)
        return is_wanted

    def _is_news(self, peer: Peer) -> bool:
        """Tell whether to log a refusal: of programs without root, one in TELL_SECONDS."""
        now = time.monotonic()
        with self._lock:
            is_news = peer.is_trusted() or now - self._told_at >= TELL_SECONDS
            if is_news:
                self._told_at = now
        return is_news

    def _enter(self, peer: Peer) -> bool:
        """Count a connection; tell whether nobody is left to accept the next one."""
        with self._lock:
            self._acceptors -= 1
            self._connections += 1
            self._of_others += not peer.is_trusted()
            self._of_user[peer.uid] = self._of_user.get(peer.uid, 0) + 1
            return self._acceptors == 0

    def _leave(self, peer: Peer) -> bool:
        """Count it no more; tell whether its thread is to accept another one, and count that."""
        with self._lock:
            self._last_used = time.monotonic()
            self._connections -= 1
            self._of_others -= not peer.is_trusted()
            self._of_user[peer.uid] -= 1
            if not self._of_user[peer.uid]:
                del self._of_user[peer.uid]
            is_wanted = self._acceptors < MAX_ACCEPTORS
            self._acceptors += is_wanted
        return is_wanted

    def _reason_to_refuse(self, peer: Peer) -> str:
        if self._stopping:  # its thread waited for it already; a person takes longer than the grace
            return "this worker is about to end"
        if self._connections > MAX_CONNECTIONS:
            return "too many connections"
        if not peer.is_trusted() and self._of_others > MAX_OF_OTHERS:
            return "too many connections without root"
        if not peer.is_trusted() and self._of_user[peer.uid] > MAX_OF_ONE_USER:
            return "too many connections of one user"
        return ""


def _notify(state: str) -> None:
    """Tell systemd (sd_notify(3)), where it asked for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1.0)
        try:
            sender.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            sender.send(state.encode("ascii"))
        except OSError:
            pass
