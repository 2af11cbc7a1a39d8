"""The service under systemd, as sd_listen_fds(3) and sd_notify(3) say, played by a test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.native import worker_side as side
from tests.native.slow_disk import SlowDisk
from tests.native.worker_side import Client, Worker
from tests.support.place import Place, code_now

IDLE_SECONDS = 1.5
SOON_IDLE = ("service/server.py", "IDLE_SECONDS = 300.0", f"IDLE_SECONDS = {IDLE_SECONDS}")


class Systemd:
    """Listens for the service, starts it when asked, and hears what it says."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(worker.socket))
        self.listener.listen(100)
        self.notified = worker.folder / "notify"
        self._hears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._hears.bind(str(self.notified))
        self._hears.setblocking(False)
        self.heard: list[str] = []

    def start(self, **env: str) -> subprocess.Popen[str]:
        """Start it; ``env`` is changed over what systemd would set."""

        def hand_over() -> None:
            os.dup2(self.listener.fileno(), 3)
            os.environ.clear()

        # The pid is known only to the process itself: a shell, which then becomes the worker.
        given = {"LISTEN_FDS": "1", "NOTIFY_SOCKET": str(self.notified), **env}
        command = 'LISTEN_PID=${LISTEN_PID:-$$} exec "$@"'
        process = subprocess.Popen(
            ["/bin/sh", "-c", command, "sh", *self._worker_command()],
            env={"LC_ALL": "C.UTF-8", **given},
            preexec_fn=hand_over,
            pass_fds=(3,),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.worker.processes.append(process)
        return process

    def _worker_command(self) -> list[object]:
        return [side.INTERPRETER, "-IS", self.worker.loader, "--activated"]

    def hears(self, state: str) -> None:
        side.wait_until(lambda: state in self.listen())

    def listen(self) -> list[str]:
        with suppress(BlockingIOError):
            while True:
                self.heard.append(self._hears.recv(4096).decode("ascii"))
        return self.heard

    def close(self) -> None:
        self.listener.close()
        self._hears.close()


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    with side.worker_in_a_folder(side.EVERYBODY, SOON_IDLE) as worker:
        systemd = Systemd(worker)
        yield systemd
        systemd.close()


@pytest.fixture
def packet(place: Place) -> bytes:
    place.enrol("alice")
    return side.request(arguments=side.of_place(place.config_path, b"attempts=1"))


def test_it_serves_who_called_before_it_began_says_so_and_goes_when_it_is_idle(
    systemd: Systemd, place: Place, packet: bytes
) -> None:
    with Client(systemd.worker.socket) as early:
        early.send(packet)
        process = systemd.start()
        assert side.PAM_SUCCESS == early.answers(code_now()).code
    assert 0 == process.wait(side.TIMEOUT)
    said = [state for state in systemd.listen() if state != "WATCHDOG=1"]
    assert ["READY=1", f"STATUS=keeps open: {place.store_path}", "STOPPING=1"] == said
    assert systemd.worker.socket.is_socket()  # systemd's: who calls next has it start anew
    with Client(systemd.worker.socket) as late:
        late.send(packet)
        assert 0 == systemd.start().poll() or side.PAM_SUCCESS == late.answers(code_now(1)).code


def test_it_does_not_go_while_somebody_types(systemd: Systemd, packet: bytes) -> None:
    process = systemd.start()
    with Client(systemd.worker.socket) as client:
        client.send(packet)
        client.until_prompt()
        time.sleep(2 * IDLE_SECONDS)
        assert None is process.poll()
        client.send(side.answer(code_now()))
        assert side.PAM_SUCCESS == client.answers().code
        answered = time.monotonic()
    assert 0 == process.wait(side.TIMEOUT)
    assert IDLE_SECONDS * 0.9 <= time.monotonic() - answered


def test_it_shows_that_it_lives_as_often_as_systemd_asks(systemd: Systemd) -> None:
    process = systemd.start(WATCHDOG_USEC="200000")
    side.wait_until(lambda: systemd.listen() and process.poll() is not None)
    assert 0 == process.returncode
    assert IDLE_SECONDS / 0.1 * 0.5 <= systemd.listen().count("WATCHDOG=1")


def pings(systemd: Systemd) -> int:
    return systemd.listen().count("WATCHDOG=1")


def test_it_does_not_pretend_to_live_when_its_loop_does_not_go_round(place: Place) -> None:
    log = "audit.record(event, source, **fields)"
    stuck = ("login/driver.py", log, f"time.sleep(60 if source.user == 'stuck' else 0), {log}")
    with side.worker_in_a_folder(side.EVERYBODY, stuck) as worker:
        systemd = Systemd(worker)
        systemd.start(WATCHDOG_USEC="200000")
        side.wait_until(lambda: pings(systemd) > 3)
        with Client(worker.socket) as client:
            client.send(side.request(b"stuck", arguments=side.of_place(place.config_path)))
            time.sleep(1)
            before = pings(systemd)
            time.sleep(1)
            assert before == pings(systemd)
        systemd.close()


def test_a_disk_that_hangs_does_not_get_it_killed(
    systemd: Systemd, place: Place, packet: bytes, preloaded: Path
) -> None:
    """For it would be no better afterwards, and the logins that wait would be cut off."""
    disk = SlowDisk(preloaded, place.folder, place.folder.with_name("hangs"))
    systemd.start(WATCHDOG_USEC="200000", **disk.env)
    with Client(systemd.worker.socket) as client:
        client.send(packet)
        client.until_prompt()
        with disk.hangs():
            client.send(side.answer(code_now()))
            systemd.worker.log.wait_for("pam_totp(worker): event=error", "a disk is slow")
            before = pings(systemd)
            side.wait_until(lambda: pings(systemd) > before + 5)
        assert side.PAM_SUCCESS == client.answers().code


def test_an_upgrade_cuts_off_nobody_who_is_quick(systemd: Systemd, place: Place) -> None:
    """One service ends, the next one begins: at the same socket, as systemd restarts it."""
    names = [f"user{number}" for number in range(16)]
    for name in names:
        place.enrol(name)

    def packet_of(name: str) -> bytes:
        arguments = side.of_place(place.config_path, b"attempts=1")
        return side.request(name.encode(), arguments=arguments)

    process = systemd.start()
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(systemd.worker.socket)) for _ in names]
        for client, name in zip(clients, names, strict=True):
            client.send(packet_of(name))
            client.until_prompt()
        process.send_signal(signal.SIGTERM)
        systemd.hears("STOPPING=1")
        # A module of root that is refused starts a worker of its own.
        meanwhile = systemd.worker.log_in(packet_of(names[0]))
        assert (side.WAS_REFUSED, ["this worker is about to end"]) == meanwhile[:2]
        code = code_now()
        for client in clients:
            client.send(side.answer(code))
        assert [side.PAM_SUCCESS] * 16 == [client.answers().code for client in clients]
    assert 0 == process.wait(side.TIMEOUT)
    with Client(systemd.worker.socket) as between:  # it waits in systemd's queue
        between.send(packet_of(names[0]))
        systemd.start()
        assert side.PAM_AUTH_ERR == between.answers(code).code
    for name in names:
        assert side.PAM_SUCCESS == systemd.worker.log_in(packet_of(name), code_now(1)).code


def test_an_abstract_address_is_heard_too(systemd: Systemd) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(f"\0pam_totp-test-{os.getpid()}")
        hears.settimeout(side.TIMEOUT)
        process = systemd.start(NOTIFY_SOCKET=f"@pam_totp-test-{os.getpid()}")
        assert b"READY=1" == hears.recv(100)
        assert 0 == side.end(process)


def test_a_manager_that_does_not_listen_holds_nothing_up(systemd: Systemd, packet: bytes) -> None:
    """Its queue is full after a few."""
    process = systemd.start(WATCHDOG_USEC="20000")
    time.sleep(0.5)
    assert side.PAM_SUCCESS == systemd.worker.log_in(packet, code_now()).code
    assert 0 == side.end(process)


def test_nobody_who_hears_changes_nothing(systemd: Systemd, packet: bytes) -> None:
    systemd.start(NOTIFY_SOCKET=str(systemd.worker.folder / "nobody"))
    assert side.PAM_SUCCESS == systemd.worker.log_in(packet, code_now()).code


def test_told_to_stop_it_lets_who_is_quick_log_in(systemd: Systemd, packet: bytes) -> None:
    process = systemd.start()
    with Client(systemd.worker.socket) as client:
        client.send(packet)
        client.until_prompt()
        process.send_signal(signal.SIGTERM)
        systemd.hears("STOPPING=1")
        client.send(side.answer(code_now()))
        assert side.PAM_SUCCESS == client.answers().code
    assert 0 == process.wait(side.TIMEOUT)


@pytest.mark.parametrize(
    "env", [{"LISTEN_PID": "1"}, {"LISTEN_PID": "x"}, {"LISTEN_FDS": "0"}, {"LISTEN_FDS": "2"}]
)
def test_a_socket_that_is_for_somebody_else_is_not_taken(
    systemd: Systemd, env: dict[str, str]
) -> None:
    process = systemd.start(**env)
    _, complaint = process.communicate(timeout=side.TIMEOUT)
    assert 1 == process.returncode
    assert "worker: error: systemd: handed over no socket\n" == complaint
    systemd.worker.log.wait_for("pam_totp(worker): event=error", "handed over no socket")


def test_started_by_hand_it_says_so(systemd: Systemd) -> None:
    process = systemd.worker.start("--activated")
    _, complaint = process.communicate(timeout=side.TIMEOUT)
    assert (1, True) == (process.returncode, "handed over no socket" in complaint)


def test_a_service_that_is_killed_is_followed_by_the_next(
    systemd: Systemd, packet: bytes, place: Place
) -> None:
    process = systemd.start()
    systemd.hears("READY=1")
    with Client(systemd.worker.socket) as client:
        client.send(packet)
        client.until_prompt()
        assert -signal.SIGKILL == side.end(process, signal.SIGKILL)
        assert side.NONE_CAME == client.answers().code
        with Client(systemd.worker.socket) as waiting:
            waiting.send(packet)
            systemd.start()
            assert side.PAM_SUCCESS == waiting.answers(code_now()).code
    assert Path(place.store_path).exists()
