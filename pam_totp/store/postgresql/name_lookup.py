"""The addresses of a server's name, by a deadline.

Nothing can interrupt getaddrinfo(3), which may take a minute. It runs in a thread that is left
behind at the deadline, and whoever asks for the same name next waits for that one: there are never
more threads than names.
"""

from __future__ import annotations

import socket
import threading
import time

from .failures import unreachable


class _Lookup:
    """One call of getaddrinfo(3)."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.is_done = threading.Event()
        self.addresses: tuple[str, ...] = ()
        self.problem = ""

    def run(self) -> None:
        try:
            found = socket.getaddrinfo(self.host, None, type=socket.SOCK_STREAM)
            self.addresses = tuple(dict.fromkeys(str(place[0]) for *_, place in found))
        except (OSError, UnicodeError) as error:
            self.problem = getattr(error, "strerror", None) or "is no name"
        finally:
            with _lock:
                del _running[self.host]
            self.is_done.set()


_lock = threading.Lock()
_running: dict[str, _Lookup] = {}
_latest: dict[str, tuple[str, ...]] = {}  # serves while nobody answers; TLS proves who is there


def addresses_of(host: str, deadline: float) -> tuple[str, ...]:
    """Return the addresses of ``host``, without repetition. Raises CallFailed."""
    if _is_address(host):
        return (host,)
    with _lock:
        lookup = _running.get(host)
        if lookup is None:
            lookup = _Lookup(host)
            try:
                threading.Thread(target=lookup.run, daemon=True).start()
            except RuntimeError:
                raise unreachable("there is no thread left to look up its address") from None
            _running[host] = lookup
    left = max(deadline - time.monotonic(), 0)
    in_time = lookup.is_done.wait(left / 2 if host in _latest else left)
    if in_time and lookup.addresses:
        _latest[host] = lookup.addresses
    if host in _latest:
        return _latest[host]
    raise unreachable(lookup.problem if in_time else "nobody tells its address in time")


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False
