"""A directory that answers a lookup after a minute: others do not wait for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from pam_totp.service.loop import MAX_HELPERS
from tests.native import worker_side as side
from tests.native.worker_side import Client, Worker
from tests.support.place import Place, code_now

# alice and skipped are in /etc/passwd; near is known to the directory, which does not know far.
FILE = side.in_the_file('name in ("alice", "skipped")')
SLOW = (
    "login/identity.py",
    side.EVERYBODY[1],
    'if user.startswith("far"):\n'
    '            __import__("time").sleep(60)\n'
    "            return None\n"
    f"        {side.EVERYBODY[2]}",
)


@pytest.fixture
def worker() -> Iterator[Worker]:
    with side.worker_in_a_folder(FILE, SLOW) as worker:
        worker.listen()
        yield worker


def packet_of(place: Place, name: str, *arguments: bytes) -> bytes:
    found = side.of_place(place.config_path, b"attempts=1", *arguments)
    return side.request(name.encode(), arguments=found)


@contextmanager
def hanging(worker: Worker, place: Place, count: int) -> Iterator[list[Client]]:
    """Have lookups of so many people hang."""
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(worker.socket)) for _ in range(count)]
        for number, client in enumerate(clients):
            client.send(packet_of(place, f"far{number}"))
        yield clients


def test_a_lookup_that_hangs_delays_nobody_else_of_the_directory(
    worker: Worker, place: Place
) -> None:
    place.enrol("near")
    begun = time.monotonic()
    with hanging(worker, place, 10):
        for step in (-1, 0, 1):
            assert side.PAM_SUCCESS == worker.log_in(packet_of(place, "near"), code_now(step)).code
        assert time.monotonic() - begun < 60  # they did not come after it
        assert 0 == side.end(worker.processes[0])  # nor does the service, to end


def test_more_lookups_than_there_are_helpers_delay_nobody_whom_the_files_name(
    worker: Worker, place: Place
) -> None:
    """Not even those for whom a helper has something else to do."""
    place.enrol("alice")
    begun = time.monotonic()
    with hanging(worker, place, MAX_HELPERS + 6):
        for step in (-1, 0, 1):
            assert side.PAM_SUCCESS == worker.log_in(packet_of(place, "alice"), code_now(step)).code
        skipped = packet_of(place, "skipped", b"unenrolled=skip")  # the store is checked for that
        assert side.PAM_IGNORE == worker.log_in(skipped).code
        assert side.threads_of(worker.processes[0].pid) <= 2 * MAX_HELPERS
        assert time.monotonic() - begun < 60


def test_whoever_gives_up_on_a_lookup_is_no_trouble(worker: Worker, place: Place) -> None:
    place.enrol("alice")
    with hanging(worker, place, 10) as clients:
        for client in clients[:5]:
            client.socket.close()
        for client in clients[5:]:
            client.send(side.answer("123456"))
        busy = side.cpu_seconds(worker.processes[0].pid)
        time.sleep(1)
        assert side.cpu_seconds(worker.processes[0].pid) - busy < 0.3
        assert side.PAM_SUCCESS == worker.log_in(packet_of(place, "alice"), code_now()).code
    assert not [line for line in worker.log.lines() if "Error" in line]
