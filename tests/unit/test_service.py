"""The service in this process: its threads, what it refuses, and what it tells systemd."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pam_totp.service import listening, server
from pam_totp.service.server import CannotListen
from pam_totp.service.worker import Peer
from tests.native import worker_side as side
from tests.native.worker_side import Client
from tests.support.logs import LogSocket
from tests.support.place import Place, code_now

STRANGER = 12345


@pytest.fixture(autouse=True)
def _this_process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A service takes over signals and limits for good."""
    monkeypatch.setattr(server, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(server, "GRACE_SECONDS", 0.3)
    for name in ("LISTEN_PID", "LISTEN_FDS", "NOTIFY_SOCKET", "WATCHDOG_USEC"):
        monkeypatch.delenv(name, raising=False)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    threading.stack_size(0)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(tmp_path / "socket"))
    listener.listen(100)
    yield listener
    listener.close()


@pytest.fixture
def asked(place: Place, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The request of somebody who is enrolled: root, whom every machine knows."""
    place.enrol("root")
    return side.request(b"root", arguments=side.of_place(place.config_path, b"attempts=1"))


def run(listener: socket.socket, visit: Callable[[Path], None], **options: float) -> None:
    """Run a service on this thread; ``visit`` on another one, and then the service is stopped.

    The signal that stops it goes to this process, and would end it where no service takes it: one
    that failed to start, or ended by itself. So it is harmless until the visitor has gone.
    """
    path = Path(listener.getsockname())
    problems: list[BaseException] = []
    running = threading.Event()
    running.set()

    def come_and_go() -> None:
        try:
            side.wait_until(lambda: side.is_served(path) or not running.is_set())
            visit(path)
        except BaseException as problem:
            problems.append(problem)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, lambda *_: None)
    visitor = threading.Thread(target=come_and_go)
    visitor.start()
    try:
        server.Service(listener, **options).run()
    finally:
        running.clear()
        listener.shutdown(socket.SHUT_RDWR)  # whoever still waits there goes
        visitor.join()  # each of its steps has a deadline
    assert [] == problems


def test_logins_are_served_until_a_signal_comes(
    listener: socket.socket, asked: bytes, log: LogSocket, place: Place
) -> None:
    def visit(path: Path) -> None:
        assert side.PAM_SUCCESS == side.log_in(path, asked, code_now()).code
        outcomes = side.many(8, lambda _: side.log_in(path, asked, code_now()))
        assert [side.PAM_AUTH_ERR] * 8 == [outcome.code for outcome in outcomes]

    run(listener, visit)
    assert 1 == log.events().count("accepted")
    files = sorted(path.name for path in place.store_path.parent.iterdir())
    assert ["store.db", "store.db-shm", "store.db-wal"] == files


def test_who_types_at_the_end_of_the_grace_is_cut_off(
    listener: socket.socket, asked: bytes, log: LogSocket
) -> None:
    clients: list[Client] = []

    def visit(path: Path) -> None:
        clients.append(Client(path))
        clients[0].send(asked)
        clients[0].until_prompt()

    run(listener, visit)
    with clients[0] as client:  # this process lives on, but the store is closed for the night
        client.send(side.answer(b"", side.FAILED))
        assert side.PAM_CONV_ERR == client.answers().code


def test_an_idle_service_ends_by_itself(listener: socket.socket, log: LogSocket) -> None:
    server.Service(listener, idle_seconds=0.05).run()
    listener.shutdown(socket.SHUT_RDWR)


def test_no_thread_at_all_is_told(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(server.threading.Thread, "start", none)
    with pytest.raises(CannotListen, match="cannot start a thread"):
        server.Service(listener).run()


def test_a_thread_outlives_a_login_that_breaks_it(
    listener: socket.socket, asked: bytes, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve, left = server.worker.serve, [0]

    def break_for_a_while(connection: socket.socket, peer: Peer, *more: Any, **how: Any) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise MemoryError
        serve(connection, peer, *more, **how)

    def visit(path: Path) -> None:
        left[0] = 20  # from here on: somebody has looked before whether it is served
        for _ in range(20):
            with Client(path) as client:
                assert b"" == client.receive()
        assert 0 == left[0]
        assert side.PAM_SUCCESS == side.log_in(path, asked, code_now()).code

    monkeypatch.setattr(server.worker, "serve", break_for_a_while)
    run(listener, visit)
    assert "unexpected MemoryError" in log.text()  # as many of them as the socket holds


def test_a_connection_that_cannot_be_taken_is_told_and_the_next_one_is(
    listener: socket.socket, asked: bytes, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scarce(socket.socket):
        """Another name for the listener, where files are short once."""

        fails = [OSError(24, "Too many open files")]

        def accept(self) -> tuple[socket.socket, object]:
            if self.fails:
                raise self.fails.pop()
            return super().accept()

    with Scarce(fileno=os.dup(listener.fileno())) as scarce:
        run(scarce, lambda path: None)
    assert "cannot take a connection: Too many open files" in log.text()


@pytest.mark.parametrize(
    ("connections", "of_this_user", "uid", "reason"),
    [
        (2000, 2000, 0, ""),
        (2001, 2001, 0, "too many connections"),
        (2001, 1, STRANGER, "too many connections"),
        (2000, 8, STRANGER, ""),
        (2000, 9, STRANGER, "too many connections of one user"),
        (9, 9, 0, ""),
    ],
)
def test_there_is_a_limit_and_one_for_each_user_but_root(
    listener: socket.socket, connections: int, of_this_user: int, uid: int, reason: str
) -> None:
    """This one counted."""
    crowded = server.Service(listener)
    crowded._connections, crowded._of_user = connections, {uid: of_this_user}
    assert reason == crowded._reason_to_refuse(Peer(1, uid))


def test_programs_without_root_leave_room_for_root(listener: socket.socket) -> None:
    crowded = server.Service(listener)
    crowded._of_others = 501
    crowded._of_user = {STRANGER: 1, 0: 1}
    assert "too many connections without root" == crowded._reason_to_refuse(Peer(1, STRANGER))
    assert "" == crowded._reason_to_refuse(Peer(1, 0))


def test_refusals_of_programs_without_root_do_not_fill_the_log(
    listener: socket.socket, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_OF_ONE_USER", 0)
    serving = server.Service(listener)
    monkeypatch.setattr(serving, "_add_acceptor", lambda: True)
    for _ in range(5):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        serving._acceptors = 2
        serving._serve(theirs, Peer(1, STRANGER))
        assert b"too many connections of one user" in ours.recv(100)
        ours.close()
    assert 1 == len(log.lines())
    assert 0 == serving._of_others


def test_who_is_refused_is_counted_no_longer(
    listener: socket.socket, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 0)
    serving = server.Service(listener)
    monkeypatch.setattr(serving, "_add_acceptor", lambda: True)
    for acceptors in (0, server.MAX_ACCEPTORS):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        serving._acceptors = acceptors + 1
        assert (acceptors < server.MAX_ACCEPTORS) == serving._serve(theirs, Peer(1, STRANGER))
        assert b"PT\1\x13\1\1too many connections" == ours.recv(100)
        ours.close()
    assert (0, {}, server.MAX_ACCEPTORS) == (
        serving._connections,
        serving._of_user,
        serving._acceptors,
    )


# Before and after


def test_a_socket_comes_and_goes_with_its_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run" / "socket"
    seen: list[tuple[int, bool]] = []

    def look(self: server.Service) -> None:
        seen.append((path.parent.stat().st_mode & 0o777, path.is_socket()))
        with pytest.raises(CannotListen, match="is served already"):
            listening.serve_at(str(path))

    monkeypatch.setattr(server.Service, "run", look)
    for _ in range(2):
        listening.serve_at(str(path))
    assert [(0o755, True)] * 2 == seen
    assert not path.exists()


def test_a_stale_socket_is_replaced_and_anything_else_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "socket"
    monkeypatch.setattr(server.Service, "run", lambda self: None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
        stale.bind(str(path))
    listening.serve_at(str(path))
    path.write_text("precious", encoding="ascii")
    with pytest.raises(CannotListen, match="is there, and is no socket"):
        listening.serve_at(str(path))
    assert "precious" == path.read_text(encoding="ascii")


@pytest.mark.parametrize("replaced", [True, False])
def test_a_socket_that_is_not_its_own_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    path = tmp_path / "socket"

    def replace(self: server.Service) -> None:
        path.rename(tmp_path / "elsewhere")
        if replaced:
            path.write_text("another one", encoding="ascii")

    monkeypatch.setattr(server.Service, "run", replace)
    listening.serve_at(str(path))
    assert replaced == path.exists()


def test_systemd_s_socket_is_taken_where_it_is_meant_for_this_process(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[str, float | None]] = []

    def run(self: server.Service) -> None:
        served.append((self._listener.getsockname(), self._idle_seconds))

    monkeypatch.setattr(server.Service, "run", run)
    for pid, count in ((None, None), ("1", "1"), (str(os.getpid()), "2")):
        if pid is not None:
            monkeypatch.setenv("LISTEN_PID", pid)
            monkeypatch.setenv("LISTEN_FDS", str(count))
        with pytest.raises(CannotListen, match="handed over no socket"):
            listening.serve_activated(listener.fileno())
    monkeypatch.setenv("LISTEN_FDS", "1")
    listening.serve_activated(os.dup(listener.fileno()))
    assert [(listener.getsockname(), 300.0)] == served


def test_what_systemd_wants_to_know_is_told(
    listener: socket.socket, tmp_path: Path, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(str(tmp_path / "notify"))
        hears.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "40000")
        server.Service(listener, idle_seconds=0.05).run()
        listener.shutdown(socket.SHUT_RDWR)
        said = []
        while not said or said[-1] != b"STOPPING=1":
            said.append(hears.recv(100))
    assert (b"READY=1", {b"WATCHDOG=1"}) == (said[0], set(said[1:-1]))


def test_a_manager_that_is_not_there_or_deaf_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("", str(tmp_path / "nobody"), "@nobody-of-the-tests"):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        server._notify("READY=1")
