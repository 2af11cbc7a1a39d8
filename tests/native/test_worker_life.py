"""How a service begins and ends: sockets in its way, signals, and a kill in the middle."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.store.sqlite import lasting_files
from tests.native import worker_side as side
from tests.native.worker_side import Client, Worker
from tests.support.place import Place, code_now

SHORT_GRACE = ("service/loop.py", "GRACE_SECONDS = 5.0", "GRACE_SECONDS = 1.0")


@pytest.fixture
def worker() -> Iterator[Worker]:
    with side.worker_in_a_folder(side.EVERYBODY, SHORT_GRACE) as worker:
        yield worker


@pytest.fixture
def packet(place: Place) -> bytes:
    place.enrol("alice")
    return side.request(arguments=side.of_place(place.config_path, b"attempts=1"))


def failure_of(process: subprocess.Popen[str]) -> str:
    _, complaint = process.communicate(timeout=side.TIMEOUT)
    assert 1 == process.returncode
    return complaint


# In the way


def test_a_second_service_on_the_same_path_says_so_and_harms_nobody(
    worker: Worker, packet: bytes
) -> None:
    first = worker.listen()
    second = worker.start("--listen", str(worker.socket))
    assert f"worker: error: {worker.socket}: is served already\n" == failure_of(second)
    worker.log.wait_for("pam_totp(worker): event=error", "is served already")
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now()).code
    assert 0 == side.end(first)


def test_of_services_that_start_at_once_one_serves(worker: Worker, packet: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
        stale.bind(str(worker.socket))
    processes = [worker.start("--listen", str(worker.socket)) for _ in range(6)]
    side.wait_until(lambda: sum(process.poll() is None for process in processes) == 1)
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now()).code
    (serving,) = [process for process in processes if process.poll() is None]
    assert 0 == side.end(serving)
    assert not worker.socket.exists()


def test_the_socket_of_a_service_that_was_killed_is_replaced(worker: Worker, packet: bytes) -> None:
    assert -signal.SIGKILL == side.end(worker.listen(), signal.SIGKILL)
    assert worker.socket.is_socket()
    process = worker.listen()
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now()).code
    assert 0 == side.end(process)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(worker: Worker, kind: str) -> None:
    if kind == "file":
        worker.socket.write_text("precious", encoding="ascii")
    elif kind == "folder":
        worker.socket.mkdir()
    else:
        worker.socket.symlink_to(worker.folder / "log")
    complaint = failure_of(worker.start("--listen", str(worker.socket)))
    assert f"worker: error: {worker.socket}: is there, and is no socket\n" == complaint
    assert not worker.socket.is_socket() or kind == "link"
    assert worker.socket.is_symlink() == (kind == "link")


def test_a_path_that_cannot_be_listened_at_is_told(worker: Worker) -> None:
    for path in ("/nonexistent/folder/socket", str(worker.folder / ("x" * 120))):
        assert failure_of(worker.start("--listen", path)).startswith("worker: error: ")


def test_the_folder_of_the_socket_is_made_for_all_to_pass(worker: Worker) -> None:
    path = worker.folder / "run" / "socket"
    process = worker.listen(path)
    assert (0o755, 0o700) == (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777)
    assert 0 == side.end(process)
    assert ["socket.lock"] == [left.name for left in path.parent.iterdir()]


def test_nobody_without_root_can_keep_a_service_from_starting(
    worker: Worker, packet: bytes
) -> None:
    """Whoever can read a file or a folder can lock it."""
    folder = os.open(worker.socket.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        process = worker.listen()
    finally:
        os.close(folder)
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now()).code
    assert 0o600 == Path(f"{worker.socket}.lock").stat().st_mode & 0o777
    assert 0 == side.end(process)


def test_a_core_of_a_service_would_be_empty(worker: Worker) -> None:
    """Where core_pattern is a pipe, the limit of zero bytes does not hold: core(5)."""
    process = worker.listen()
    assert 0 == int(Path(f"/proc/{process.pid}/coredump_filter").read_text("ascii"), 16)
    assert 0 == side.end(process)


def test_the_socket_of_somebody_else_is_not_removed_at_the_end(worker: Worker) -> None:
    process = worker.listen()
    worker.socket.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(str(worker.socket))
        assert 0 == side.end(process)
        assert worker.socket.is_socket()


def test_a_socket_that_somebody_removed_does_not_spoil_the_end(worker: Worker) -> None:
    process = worker.listen()
    worker.socket.unlink()
    assert 0 == side.end(process)


def test_a_service_has_room_for_as_many_files_as_it_may(worker: Worker) -> None:
    def few_at_first() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))

    process = worker.listen(before=few_at_first)
    limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="ascii").splitlines()
    files = next(line for line in limits if line.startswith("Max open files"))
    assert ["4096", "4096"] == files.split()[3:5]


# Told to end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_service_ends_at_once_and_leaves_nothing_in_the_log(
    worker: Worker, place: Place, packet: bytes, number: int
) -> None:
    process = worker.listen()
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now()).code
    assert 0 == side.end(process, number)
    assert not worker.socket.exists()
    left = sorted(path.name for path in place.store_path.parent.iterdir())
    assert ["store.db", "store.db-shm", "store.db-wal"] == left
    assert not lasting_files.has_content(f"{place.store_path}-wal")


def test_who_is_quick_still_logs_in_and_who_types_has_to_come_again(
    worker: Worker, packet: bytes
) -> None:
    process = worker.listen()
    with Client(worker.socket) as quick, Client(worker.socket) as slow:
        for client in (quick, slow):
            client.send(packet)
            client.until_prompt()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        quick.send(side.answer(code_now()))
        assert side.PAM_SUCCESS == quick.answers().code
        assert side.NONE_CAME == slow.answers().code
    assert 0 == process.wait(side.TIMEOUT)
    assert not worker.socket.exists()


def test_whoever_types_does_not_keep_it_from_ending(worker: Worker, packet: bytes) -> None:
    process = worker.listen()
    with Client(worker.socket) as client:
        client.send(packet)
        client.until_prompt()
        assert 0 == side.end(process)
        assert side.NONE_CAME == client.answers().code


def test_a_second_signal_does_not_cut_the_grace_short(worker: Worker, packet: bytes) -> None:
    process = worker.listen()
    with Client(worker.socket) as client:
        client.send(packet)
        client.until_prompt()
        for _ in range(3):
            process.send_signal(signal.SIGTERM)
        client.send(side.answer(code_now()))
        assert side.PAM_SUCCESS == client.answers().code
    assert 0 == process.wait(side.TIMEOUT)


def lock_store(place: Place) -> sqlite3.Connection:
    """Keep everybody else from writing, as another process in its transaction does."""
    connection = sqlite3.connect(place.store_path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_a_transaction_under_way_is_waited_for(worker: Worker, place: Place, packet: bytes) -> None:
    """Longer than those who type: the answer it makes is heard, or denied and used up."""
    process = worker.listen()
    other = lock_store(place)
    with Client(worker.socket) as client:
        client.send(packet)
        client.until_prompt()
        client.send(side.answer(code_now()))
        time.sleep(0.1)  # at the store's door
        process.send_signal(signal.SIGTERM)
        time.sleep(1.3)  # beyond the grace
        assert None is process.poll()
        other.execute("ROLLBACK")
        other.close()
        heard = client.answers().code
    assert 0 == process.wait(side.TIMEOUT)
    used = bool(place.record("alice").authenticators[0].last_accepted_step)
    assert (heard, used) in ((side.PAM_SUCCESS, True), (side.NONE_CAME, True))


# Killed


def test_a_kill_in_the_middle_of_logins_harms_no_store_and_no_code_counts_twice(
    worker: Worker, place: Place
) -> None:
    names = [f"user{number}" for number in range(12)]
    for name in names:
        place.enrol(name)
    place.configure(attempts=1)
    heard: dict[str, list[int]] = {name: [] for name in names}
    code = code_now()

    def log_in(name: str) -> None:
        packet = side.request(name.encode(), arguments=side.of_place(place.config_path))
        try:
            heard[name].append(worker.log_in(packet, code).code)
        except OSError:  # nobody listens any more
            heard[name].append(side.NONE_CAME)

    for round_number in range(4):
        process = worker.listen()
        threads = [threading.Thread(target=log_in, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        time.sleep(0.004 + 0.006 * round_number)
        side.end(process, signal.SIGKILL)
        for thread in threads:
            thread.join(side.TIMEOUT)
    process = worker.listen()
    for name in names:
        log_in(name)
    assert 0 == side.end(process)
    accepted = [codes.count(side.PAM_SUCCESS) for codes in heard.values()]
    assert max(accepted) <= 1
    assert all(place.record(name).authenticators[0].last_accepted_step for name in names)
    with place.open() as store:
        assert [] == store.check()
