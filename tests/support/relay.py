"""A relay on loopback whose wires can be cut, black-holed, delayed, refused: for tests of outages.

What happens to a connection is a Fault: after so many chunks from the server, nothing more passes,
or the connection is reset. TLS goes through as it is, so a stage of it is a number of chunks.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import deque
from typing import NamedTuple

SILENCE, CUT, EAT_ANSWERS, CUT_ANSWERS = "silence", "cut", "eat answers", "cut answers"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


class Fault(NamedTuple):
    """What happens to the ``times`` next connections, after ``chunks`` from the server.

    EAT_ANSWERS, CUT_ANSWERS: what the client sends still arrives.
    """

    kind: str
    chunks: int = 0
    times: float = float("inf")


class Relay:
    """Passes connections to its ``port`` on to ``target``, another port of localhost.

    ``delay``: seconds that each chunk takes. ``asked``, ``answered``: chunks that have passed, of
    all connections; ``connections``: how many there were.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0
        self.asked = self.answered = self.connections = 0
        self._fault: Fault | None = None
        self._threads: list[threading.Thread] = []
        self._wires: list[_Wire] = []
        self._is_closed = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._start(self._accept)

    def fail(self, kind: str, chunks: int = 0, *, times: float = float("inf")) -> None:
        """Let that happen to the next connections: see Fault."""
        self._fault = Fault(kind, chunks, times)

    def fail_open(self, kind: str) -> None:
        """Let that happen to the connections that are open now, from now on."""
        for wire in self._wires:
            wire.fault = Fault(kind, wire.answered)

    def heal(self) -> None:
        """Let new connections pass. Those that something has happened to stay as they are."""
        self._fault = None

    def cut(self) -> None:
        """End every connection that is open now."""
        for wire in list(self._wires):
            wire.end()

    def close(self) -> None:
        self._is_closed = True
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, run: object, *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            fault, self._fault = self._fault, self._next_fault()
            self.connections += 1
            wire = _Wire(self, client, fault)
            self._wires.append(wire)
            self._start(wire.run)

    def _next_fault(self) -> Fault | None:
        fault = self._fault
        if fault is None or fault.times <= 1:
            return None
        return fault._replace(times=fault.times - 1)


class _Wire:
    """One connection through ``relay``."""

    def __init__(self, relay: Relay, client: socket.socket, fault: Fault | None) -> None:
        self.fault = fault
        self.answered = 0
        self._relay = relay
        self._client = client
        self._has_ended = threading.Event()

    def end(self) -> None:
        self._has_ended.set()

    def run(self) -> None:
        server = socket.socket()
        try:
            server.connect(
                ("127.0.0.1", self._relay.target)
            )  # without getaddrinfo(), which tests fake
        except OSError:
            self._client.close()
            server.close()
            return
        others = {self._client: server, server: self._client}
        for end in others:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        on_the_way: deque[tuple[float, socket.socket, bytes]] = deque()
        try:
            with selectors.DefaultSelector() as selector:
                for end in others:
                    selector.register(end, selectors.EVENT_READ)
                while not self._has_ended.is_set():
                    for key, _ in selector.select(0.005 if on_the_way else 0.02):
                        end = key.fileobj
                        assert isinstance(end, socket.socket)
                        chunk = end.recv(65536)
                        if not chunk:
                            return
                        if self._passes(of_server=end is server):
                            on_the_way.append((time.monotonic() + self._relay.delay, end, chunk))
                    while on_the_way and on_the_way[0][0] <= time.monotonic():
                        _, end, chunk = on_the_way.popleft()
                        others[end].sendall(chunk)
        except OSError:
            pass
        finally:
            for end in others:
                if self.fault is not None and self.fault.kind in (CUT, CUT_ANSWERS):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.close()

    def _passes(self, *, of_server: bool) -> bool:
        """Count one chunk, and tell whether it arrives. Raises OSError where the wire is cut."""
        fault = self.fault
        if fault is not None and self.answered >= fault.chunks:
            if fault.kind == CUT or (fault.kind == CUT_ANSWERS and of_server):
                raise OSError
            if fault.kind == SILENCE or of_server:
                return False
        if of_server:
            self.answered += 1
            self._relay.answered += 1
        else:
            self._relay.asked += 1
        return True


def unanswered_port() -> tuple[int, list[socket.socket]]:
    """Return a port where SYN is not answered, for its queue is full; and what keeps it so."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    port: int = listening.getsockname()[1]
    sockets = [listening]
    for _ in range(3):
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(("127.0.0.1", port))
        sockets.append(waiting)
    time.sleep(0.05)
    return port, sockets
