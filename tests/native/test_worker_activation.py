"""The service under systemd, as sd_listen_fds(3) and sd_notify(3) say, played by a test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.native import worker_side as side
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
    systemd: Systemd, packet: bytes
) -> None:
    with Client(systemd.worker.socket) as early:
        early.send(packet)
        process = systemd.start()
        assert side.PAM_SUCCESS == early.answers(code_now()).code
    assert 0 == process.wait(side.TIMEOUT)
    assert ["READY=1", "STOPPING=1"] == [s for s in systemd.listen() if s != "WATCHDOG=1"]
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
