"""The service in this process: its life, its threads, and what it tells systemd."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.service import kept, listening, loop, server, wire
from pam_totp.service.server import CannotListen
from pam_totp.system import audit, config
from tests.native import worker_side as side
from tests.native.worker_side import Client
from tests.support.logs import LogSocket
from tests.support.place import Place, code_now, wrong_code
from tests.unit.rounds import Gate, has_news


@pytest.fixture(autouse=True)
def _this_process_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A service takes over signals and limits for good."""
    monkeypatch.setattr(loop, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(loop, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(loop, "ERROR_SECONDS", 0.01)
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
    assert audit.deliver is audit.send


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


def run(listener: socket.socket, visit: Callable[[Path], None], **options: float) -> server.Service:
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
    service = server.Service(listener, **options)
    try:
        service.run()
    finally:
        running.clear()
        listener.shutdown(socket.SHUT_RDWR)  # whoever still waits there goes
        visitor.join()  # each of its steps has a deadline
    assert [] == problems
    return service


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
    with clients[0] as client:
        assert b"" == client.receive()


def test_who_answers_in_the_grace_is_let_in_and_whoever_comes_is_refused(
    listener: socket.socket, asked: bytes, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "GRACE_SECONDS", side.TIMEOUT)
    finishers: list[threading.Thread] = []

    def visit(path: Path) -> None:
        client = Client(path)
        client.send(asked)
        client.until_prompt()

        def finish() -> None:
            with client:
                # Each probe is a program that broke its login off, until they are refused.
                side.wait_until(lambda: is_refused(path))
                client.send(side.answer(code_now()))
                codes.append(client.answers().code)

        finishers.append(threading.Thread(target=finish))
        finishers[0].start()

    codes: list[int] = []
    run(listener, visit)
    finishers[0].join(side.TIMEOUT)
    assert [side.PAM_SUCCESS] == codes
    assert "this worker is about to end" in log.text()


def is_refused(path: Path) -> bool:
    with Client(path) as client:
        time.sleep(0.02)
        return has_news(client) and client.receive()[3] == side.REFUSED


def test_an_answer_that_is_there_when_the_grace_ends_is_judged(
    listener: socket.socket, asked: bytes, log: LogSocket, place: Place
) -> None:
    """Another process writes: the answer waits for that, not for the person."""
    clients: list[Client] = []
    is_answered, is_written = threading.Event(), threading.Event()

    def write() -> None:
        with place.open() as store, store.transaction("somebody else"):
            is_written.set()
            assert is_answered.wait(side.TIMEOUT)
            time.sleep(1.0)  # longer than the grace

    writer = threading.Thread(target=write)

    def visit(path: Path) -> None:
        clients.append(Client(path))
        clients[0].send(asked)
        clients[0].until_prompt()
        writer.start()
        assert is_written.wait(side.TIMEOUT)
        clients[0].send(side.answer(code_now()))
        is_answered.set()

    run(listener, visit)
    writer.join()
    with clients[0] as client:
        assert side.PAM_SUCCESS == client.answers().code


def test_an_idle_service_ends_by_itself(listener: socket.socket, log: LogSocket) -> None:
    server.Service(listener, idle_seconds=0.05).run()
    listener.shutdown(socket.SHUT_RDWR)


def test_no_thread_at_all_is_told(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(server.threading.Thread, "start", none)
    with pytest.raises(CannotListen, match="cannot start a thread"):
        server.Service(listener).run()


def test_the_loop_outlives_logins_that_break(
    listener: socket.socket, asked: bytes, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse, left = loop.wire.parse_request, [0]

    def break_for_a_while(packet: bytes) -> wire.RequestPacket:
        if left[0] > 0:
            left[0] -= 1
            raise MemoryError
        return parse(packet)

    def visit(path: Path) -> None:
        left[0] = 20  # from here on: somebody has looked before whether it is served
        for _ in range(20):
            assert side.NONE_CAME == side.log_in(path, asked).code
        assert 0 == left[0]
        assert side.PAM_SUCCESS == side.log_in(path, asked, code_now()).code

    monkeypatch.setattr(loop.wire, "parse_request", break_for_a_while)
    run(listener, visit)
    assert "unexpected MemoryError" in log.text()


def test_the_loop_outlives_rounds_that_break(
    listener: socket.socket, asked: bytes, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up, left = loop.Loop._give_up, [0]

    def break_for_a_while(self: loop.Loop, now: float) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise MemoryError
        give_up(self, now)

    def visit(path: Path) -> None:
        left[0] = 5
        assert side.PAM_SUCCESS == side.log_in(path, asked, code_now()).code
        assert left[0] < 5

    monkeypatch.setattr(loop.Loop, "_give_up", break_for_a_while)
    run(listener, visit)
    assert "unexpected MemoryError" in log.text()


# A disk that hangs


def test_another_thread_leads_while_a_disk_hangs_and_it_is_told_once(
    listener: socket.socket,
    asked: bytes,
    log: LogSocket,
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "STUCK_SECONDS", 0.02)
    other = Place(_folder(tmp_path / "other"), in_use=True)
    other.enrol("root")
    of_the_other = side.request(b"root", arguments=side.of_place(other.config_path, b"attempts=1"))
    gate = Gate(config.load, only=lambda path, *_: path == str(place.config_path))
    monkeypatch.setattr(config, "load", gate)

    def visit(path: Path) -> None:
        with Client(path) as client:
            client.send(asked)
            side.wait_until(lambda: gate.waiting == 1)
            for _ in range(3):
                assert side.PAM_AUTH_ERR == side.log_in(path, of_the_other, wrong_code()).code
            gate.open()
            assert side.PAM_SUCCESS == client.answers(code_now()).code

    service = run(listener, visit)
    assert 1 == log.text().count("a disk is slow")
    side.wait_until(lambda: not service._threads)


def test_a_service_all_of_whose_threads_a_disk_holds_up_ends_so_that_workers_take_over(
    listener: socket.socket, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ended(BaseException):
        """In place of the end of this process."""

    def end(status: int) -> None:
        assert 1 == status
        raise Ended

    assert 8 == server.MAX_STUCK
    monkeypatch.setattr(server, "STUCK_SECONDS", 0.02)
    monkeypatch.setattr(server.os, "_exit", end)
    stuck = server.Service(listener)
    monkeypatch.setattr(stuck._loop, "replace_who_is_away", lambda seconds: True)
    monkeypatch.setattr(server.threading.Thread, "start", lambda thread: None)
    with pytest.raises(Ended):
        stuck._look_on()
    assert server.MAX_STUCK == stuck._threads
    assert "8 threads wait for disks that do not answer: the service ends" in log.text()


def test_nobody_looks_on_while_all_is_at_rest_and_somebody_does_again(
    listener: socket.socket, asked: bytes, log: LogSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STUCK_SECONDS", 0.02)
    monkeypatch.setattr(server, "REST_SECONDS", 0.1)
    looks: list[float] = []
    look = loop.Loop.replace_who_is_away

    def counted(self: loop.Loop, seconds: float) -> bool:
        looks.append(seconds)
        return look(self, seconds)

    monkeypatch.setattr(loop.Loop, "replace_who_is_away", counted)

    def is_at_rest() -> bool:
        before = len(looks)
        time.sleep(0.1)
        return before == len(looks)

    def visit(path: Path) -> None:
        side.wait_until(is_at_rest)
        before = len(looks)
        assert side.PAM_SUCCESS == side.log_in(path, asked, code_now()).code
        side.wait_until(lambda: len(looks) > before)

    run(listener, visit)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


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
        served.append((self._loop._listener.getsockname(), self._idle_seconds))

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
    assert {b"READY=1", b"WATCHDOG=1"} == set(said[:-1])


def test_what_keeps_a_file_system_from_being_unmounted_is_told(
    listener: socket.socket,
    tmp_path: Path,
    asked: bytes,
    place: Place,
    log: LogSocket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept, "LINGER_SECONDS", 0.5)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(str(tmp_path / "notify"))
        hears.settimeout(side.TIMEOUT)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        def visit(path: Path) -> None:
            assert b"READY=1" == hears.recv(1000)
            assert side.PAM_SUCCESS == side.log_in(path, asked, code_now()).code
            assert f"STATUS=keeps open: {place.store_path}".encode() == hears.recv(1000)
            assert b"STATUS=no store is open" == hears.recv(1000)

        run(listener, visit)


def test_a_manager_that_is_not_there_or_deaf_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("", str(tmp_path / "nobody"), "@nobody-of-the-tests"):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        server._notify("READY=1")
