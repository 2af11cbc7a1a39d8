"""Hundreds at their prompts: each one is served, and costs little."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pam_totp.core.users import Authenticator, UserRecord
from tests.native import worker_side as side
from tests.native.worker_side import Client, Outcome, Worker
from tests.support import thorough
from tests.support.place import SECRET, Place, code_now, wrong_code

PENDING = 500
ROUNDS = 5 if thorough.NIGHTLY else 3
KIB_A_LOGIN = 100
HOLES_KIB = 8192  # what malloc may hold on to of a crowd, the first time and again
CROWD = 1900
LOGINS = 100_000 if thorough.NIGHTLY else 1500
BYTES_A_LOGIN = 500  # that go missing for good: less than any object that could be forgotten


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """This process is at the other end of every connection."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def place() -> Iterator[Place]:
    """A store in memory: these tests are about many, not about disks."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Place(Path(folder))


def name_of(number: int) -> str:
    return f"user{number}"


def enrol(place: Place, count: int) -> None:
    """Add many users. ``window`` 10: codes of many steps, one after the other, are good."""
    place.configure(window=10, attempts=1)
    with place.open() as store:
        store.database.execute("PRAGMA synchronous = OFF")  # type: ignore[attr-defined]
        for number in range(count):
            with store.transaction(name_of(number)) as transaction:
                phone = Authenticator(os.urandom(16).hex(), "phone", SECRET)
                transaction.save(UserRecord(name_of(number), authenticators=(phone,)))


@contextmanager
def at_their_prompts(worker: Worker, place: Place, count: int) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        clients = []
        for number in range(count):
            client = stack.enter_context(Client(worker.socket))
            client.send(packet_of(place, number))
            client.until_prompt()
            clients.append(client)
        yield clients


def packet_of(place: Place, number: int) -> bytes:
    return side.request(name_of(number).encode(), arguments=side.of_place(place.config_path))


def all_succeed(clients: list[Client], code: str) -> bool:
    def answer(number: int) -> Outcome:
        clients[number].send(side.answer(code))
        return clients[number].answers()

    outcomes = []
    for first in range(0, len(clients), 50):  # 50 at the same moment
        wave = range(first, min(first + 50, len(clients)))
        outcomes += side.many(len(wave), lambda number, first=first: answer(first + number))
    return [side.PAM_SUCCESS] * len(clients) == [outcome.code for outcome in outcomes]


def test_five_hundred_wait_at_little_cost_and_all_log_in_and_none_is_remembered(
    place: Place,
) -> None:
    enrol(place, PENDING + 1)
    with side.worker_in_a_folder(side.EVERYBODY) as worker:
        pid = worker.listen().pid
        assert side.PAM_SUCCESS == worker.log_in(packet_of(place, PENDING), code_now(-9)).code
        before = side.private_kib(pid)
        after = []
        for round_number in range(ROUNDS):
            offset = round_number - 8
            with at_their_prompts(worker, place, PENDING) as clients:
                pending = side.private_kib(pid)
                one_more = worker.log_in(packet_of(place, PENDING), code_now(offset))
                assert side.PAM_SUCCESS == one_more.code
                assert all_succeed(clients, code_now(offset))
            if round_number == 0:
                assert (pending - before) / PENDING <= KIB_A_LOGIN
            side.wait_until(lambda: side.threads_of(pid) < 20)
            after.append(side.private_kib(pid))
        assert after[-1] <= after[1] + HOLES_KIB


@pytest.mark.night  # by day the one of many logins below shows what is left, in larger steps
def test_logins_one_after_the_other_cost_nothing_for_good(place: Place) -> None:
    enrol(place, 200)
    place.configure(throttle_after=100, attempts=1)
    wrong = wrong_code()
    with side.worker_in_a_folder(side.EVERYBODY) as worker:
        pid = worker.listen().pid

        def log_in_often(number: int) -> Outcome:
            for again in range(500):
                user = (number * 50 + again) % 200
                outcome = worker.log_in(packet_of(place, user), wrong)
                assert side.PAM_AUTH_ERR == outcome.code
            return outcome

        after = []
        for _ in range(2):
            side.many(4, log_in_often)
            after.append(side.private_kib(pid))
        assert (after[1] - after[0]) * 1024 / 2000 <= BYTES_A_LOGIN


def test_two_thousand_of_all_kinds_keep_nobody_from_logging_in(place: Place) -> None:
    """Silent, at their prompts, not reading, gone, and those who say what is no request."""
    enrol(place, CROWD // 5 + 20)
    with side.worker_in_a_folder(side.EVERYBODY, side.IN_THE_FILE) as worker:
        pid = worker.listen().pid
        worker.log_in(b"x")
        files = len(os.listdir(f"/proc/{pid}/fd"))
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(worker.socket)) for _ in range(CROWD)]
            for number, client in enumerate(clients):
                if number % 5 == 1:
                    client.send(packet_of(place, number // 5))
                elif number % 5 == 2:
                    client.send(packet_of(place, number // 5)[:20])
                elif number % 5 == 3:
                    client.send(b"GET / HTTP/1.1")
                elif number % 5 == 4:
                    client.send(packet_of(place, number // 5))
                    client.socket.shutdown(socket.SHUT_RD if number % 2 else socket.SHUT_WR)
            code = code_now()
            for number in range(CROWD // 5, CROWD // 5 + 20):
                assert side.PAM_SUCCESS == worker.log_in(packet_of(place, number), code).code
            for client in clients[1::5]:
                client.until_prompt()
            for client in clients[2::5]:
                assert side.REFUSED == client.receive()[3]
            assert all_succeed(clients[1::5], code)
            assert side.threads_of(pid) <= 3  # one of them for a logger that is slow to read
        side.wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= files + 5)
        assert side.PAM_AUTH_ERR == worker.log_in(packet_of(place, CROWD // 5), code).code


def test_many_logins_leave_no_thread_no_file_and_no_memory(place: Place) -> None:
    """Of people whom the files name, and of those of a directory, in turn."""
    people = 200 + LOGINS // 80  # so that nobody is locked
    enrol(place, people)
    place.configure(throttle_after=100, max_failures=100, attempts=1)
    some_local = side.in_the_file("int(name[4:]) % 8 != 0")
    wrong = wrong_code()
    soon = ("service/helpers.py", "IDLE_SECONDS = 5.0", "IDLE_SECONDS = 0.5")
    with side.worker_in_a_folder(side.EVERYBODY, some_local, soon) as worker:
        pid = worker.listen().pid

        def log_in_often(count: int) -> None:
            def log_in(number: int) -> Outcome:
                for again in range(count // 4):
                    outcome = worker.log_in(packet_of(place, (number * 50 + again) % people), wrong)
                return outcome

            slowest = side.TIMEOUT + count / 20  # by night the machine has other things to do, too
            ended = side.many(4, log_in, seconds=slowest)
            assert [side.PAM_AUTH_ERR] * 4 == [done.code for done in ended]

        def left() -> tuple[int, int]:
            side.wait_until(lambda: side.threads_of(pid) <= 2)  # helpers go when nobody needs them
            return side.threads_of(pid), len(os.listdir(f"/proc/{pid}/fd"))

        log_in_often(LOGINS // 3)
        before, memory = left(), side.private_kib(pid)
        log_in_often(LOGINS)
        assert before == left()
        assert side.private_kib(pid) <= memory * 1.2


def test_one_connection_too_many_is_refused_and_the_next_one_served(place: Place) -> None:
    few = ("service/crowd.py", "MAX_CONNECTIONS = 2000", "MAX_CONNECTIONS = 20")
    enrol(place, 22)
    with side.worker_in_a_folder(side.EVERYBODY, few) as worker:
        worker.listen()
        with at_their_prompts(worker, place, 20) as clients:
            for _ in range(3):
                refused = worker.log_in(packet_of(place, 20), code_now())
                assert (side.WAS_REFUSED, ["too many connections"]) == refused[:2]
            worker.log.wait_for("pam_totp(worker): event=error", "too many connections")
            assert all_succeed(clients[:1], code_now())
            side.wait_until(lambda: worker.log_in(packet_of(place, 20), code_now())[0] == 0)
            assert all_succeed(clients[1:], code_now())


def test_a_login_for_which_no_thread_can_be_started_is_refused(place: Place) -> None:
    """Then a module of root starts a worker of its own. Those who need no thread are served."""
    enrol(place, 10)
    none = place.folder / "no threads"
    local = side.in_the_file('name != "user9"')
    start = "threading.Thread(target=self._serve, name=self._name, daemon=True).start()"
    fails = (
        "service/helpers.py",
        start,
        f"if self._name == 'directory' and __import__('os').path.exists({str(none)!r}):\n"
        "                raise RuntimeError\n"
        f"            {start}",
    )
    with side.worker_in_a_folder(side.EVERYBODY, local, fails) as worker:
        worker.listen()
        none.touch()
        with at_their_prompts(worker, place, 4) as clients:
            refused = worker.log_in(packet_of(place, 9), code_now())
            reason = "service: no thread could be started"
            assert (side.WAS_REFUSED, [reason]) == refused[:2]
            worker.log.wait_for("pam_totp(worker): event=error", "no thread could be started")
            assert all_succeed(clients, code_now())
        none.unlink()
        assert side.PAM_SUCCESS == worker.log_in(packet_of(place, 9), code_now()).code
