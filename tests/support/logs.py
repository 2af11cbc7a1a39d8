"""A syslog socket of our own, to read what audit wrote."""

from __future__ import annotations

import socket
from pathlib import Path


class LogSocket:
    """Receives syslog datagrams at ``path``; lines() returns and keeps what has come so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._received: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o666)
        self._socket.setblocking(False)

    def lines(self) -> list[str]:
        while True:
            try:
                datagram = self._socket.recv(65536)
            except BlockingIOError:
                return self._received
            self._received.append(datagram.decode("utf-8"))

    def events(self) -> list[str]:
        """Return the event= of each line, in order."""
        return [line.split("event=")[1].split(" ")[0] for line in self.lines() if "event=" in line]

    def text(self) -> str:
        return "\n".join(self.lines())

    def close(self) -> None:
        self._socket.close()
