"""A syslog socket of our own, to read what audit, sshd and sudo wrote."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path


class LogSocket:
    """Receives syslog datagrams at ``path``; lines() returns and keeps what has come so far.

    ``bound`` is a socket that listens at ``path`` already.
    """

    def __init__(self, path: Path, bound: socket.socket | None = None) -> None:
        self.path = path
        self._received: list[str] = []
        self._socket = bound or self._bind()
        self._socket.setblocking(False)

    def _bind(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listening.bind(str(self.path))
        self.path.chmod(0o666)
        return listening

    def lines(self) -> list[str]:
        while True:
            try:
                datagram = self._socket.recv(65536)
            except BlockingIOError:
                return self._received
            self._received.append(datagram.decode("utf-8").rstrip("\0\n"))

    def events(self) -> list[str]:
        """Return the event= of each line, in order."""
        return [line.split("event=")[1].split(" ")[0] for line in self.lines() if "event=" in line]

    def text(self) -> str:
        return "\n".join(self.lines())

    def wait_for(self, *words: str, seconds: float = 20) -> str:
        """Return the first line with all of ``words``, which another process is about to write."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.lines():
                if all(word in line for word in words):
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no line with {words} in the log:\n{self.text()}")

    def close(self) -> None:
        self._socket.close()


_PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"]+)')
_LINE = re.compile(
    rf"pam_totp\((?P<module>[^()]*)\): (?P<pairs>{_PAIR.pattern}(?: {_PAIR.pattern})*)"
)


def fields(line: str) -> dict[str, str]:
    """Read a line of ours as any logfmt reader does, the whole of it, without the quotes."""
    _, _, message = line.partition("]: ")
    match = _LINE.fullmatch(message)
    assert match, f"not logfmt: {line!r}"
    pairs = _PAIR.findall(match["pairs"])
    assert len(pairs) == len({key for key, _ in pairs}), f"a key comes twice: {line!r}"
    return {"module": match["module"], **{key: value.strip('"') for key, value in pairs}}
