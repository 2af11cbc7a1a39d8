"""Log: gives lines to the logger, for a process that must not wait, over a socket that it keeps."""

from __future__ import annotations

import socket
import threading

from ..system import audit
from .helpers import Helpers

MAX_PENDING = 1000  # lines that wait for a logger that does not read; what comes then is lost


class Log:
    """Takes lines in order; ``deliver`` never raises, and never waits."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._patient = Helpers("log", 1)
        self._lock = threading.Lock()  # of _pending
        self._pending = 0

    def deliver(self, datagram: bytes) -> None:
        if not self._pending and self._send_at_once(datagram):
            return
        with self._lock:
            if self._pending >= MAX_PENDING:
                return
            self._pending += 1
        try:
            self._patient.do(lambda: self._send_patiently(datagram))
        except RuntimeError:
            with self._lock:
                self._pending -= 1

    def close(self) -> None:
        sender, self._socket = self._socket, None
        if sender is not None:
            sender.close()

    def _send_at_once(self, datagram: bytes) -> bool:
        """Tell whether it is sent, or cannot be. False: the logger does not read now."""
        for _ in range(2):  # the logger may have been restarted since
            try:
                sender = self._socket  # another thread may close it
                if sender is None:
                    sender = self._socket = self._connected()
                sender.send(datagram)
            except BlockingIOError:
                return False
            except OSError:
                self.close()
            else:
                return True
        return True

    def _connected(self) -> socket.socket:
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            sender.settimeout(0)
            sender.connect(audit.SYSLOG_SOCKET)
        except OSError:
            sender.close()
            raise
        return sender

    def _send_patiently(self, datagram: bytes) -> None:
        try:
            audit.send(datagram)
        finally:
            with self._lock:
                self._pending -= 1
