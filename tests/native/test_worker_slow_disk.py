"""A disk that hangs for ten seconds: who needs it waits and then goes on, and all others go on."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.native import worker_side as side
from tests.native.slow_disk import SlowDisk
from tests.native.worker_side import Client, Worker
from tests.support import thorough
from tests.support.place import Place, code_now

SECONDS = 10.0 if thorough.NIGHTLY else 2.0
PEOPLE = 10


@pytest.fixture
def slow(tmp_path: Path) -> Place:
    """The place on the disk that hangs."""
    return with_people(tmp_path / "slow")


@pytest.fixture
def quick(tmp_path: Path) -> Place:
    return with_people(tmp_path / "quick")


def with_people(folder: Path) -> Place:
    folder.mkdir()
    place = Place(folder, in_use=True)
    for number in range(PEOPLE):
        place.enrol(name_of(number))
    return place


@pytest.fixture
def disk(slow: Place, preloaded: Path, tmp_path: Path) -> SlowDisk:
    return SlowDisk(preloaded, slow.folder, tmp_path / "hangs")


@pytest.fixture
def serve(disk: SlowDisk) -> Iterator[Callable[..., Worker]]:
    """Start a service that has the disk; arguments are changes of its copy of the tree."""
    with ExitStack() as stack:

        def start(*changes: side.Change) -> Worker:
            changed = (side.EVERYBODY, side.IN_THE_FILE, *changes)
            worker = stack.enter_context(side.worker_in_a_folder(*changed))
            worker.listen(env=disk.env)
            return worker

        yield start


def name_of(number: int) -> str:
    return f"user{number}"


def packet_of(place: Place, number: int) -> bytes:
    arguments = side.of_place(place.config_path, b"attempts=1")
    return side.request(name_of(number).encode(), arguments=arguments)


@pytest.fixture
def prompted() -> Iterator[Callable[[Worker, Place, int], Client]]:
    """Connect somebody, up to the prompt."""
    with ExitStack() as stack:

        def connect(worker: Worker, place: Place, number: int) -> Client:
            client = stack.enter_context(Client(worker.socket))
            client.send(packet_of(place, number))
            client.until_prompt()
            return client

        yield connect


def has_heard(clients: list[Client]) -> bool:
    """Tell whether there is something for one of them."""
    poll = select.poll()
    for client in clients:
        poll.register(client.socket, select.POLLIN)
    return bool(poll.poll(0))


def test_nobody_waits_for_a_disk_but_those_who_need_it_and_they_go_on_afterwards(
    serve: Callable[..., Worker],
    disk: SlowDisk,
    slow: Place,
    quick: Place,
    prompted: Callable[[Worker, Place, int], Client],
) -> None:
    worker = serve()
    pid = worker.processes[0].pid
    code = code_now()
    waiting = [prompted(worker, slow, number) for number in range(PEOPLE)]
    others = [prompted(worker, quick, number) for number in range(PEOPLE // 2)]
    with disk.hangs():
        for client in waiting[:-2]:
            client.send(side.answer(code))
        worker.log.wait_for("pam_totp(worker): event=error", "a disk is slow")
        for client in waiting[-2:]:  # when somebody else leads already
            client.send(side.answer(code))
        for client in others:
            client.send(side.answer(code))
        assert [side.PAM_SUCCESS] * len(others) == [client.answers().code for client in others]
        for number in range(len(others), PEOPLE):
            assert side.PAM_SUCCESS == worker.log_in(packet_of(quick, number), code).code
        time.sleep(1.2)  # by now what is done in a quiet moment is due
        busy = side.cpu_seconds(pid)
        time.sleep(SECONDS)
        assert side.cpu_seconds(pid) - busy < SECONDS / 4  # it waits, and does not go round idly
        assert not has_heard(waiting)
    assert [side.PAM_SUCCESS] * PEOPLE == [client.answers().code for client in waiting]
    for place in (slow, quick):
        for number in range(PEOPLE):
            assert side.PAM_AUTH_ERR == worker.log_in(packet_of(place, number), code).code
    side.wait_until(lambda: side.threads_of(pid) <= 2 + 1)  # who leads, who looks on; the log's
    assert 0 == side.end(worker.processes[0])
    for place in (slow, quick):
        with place.open() as store:
            assert [] == store.check()


def test_whoever_gives_up_meanwhile_is_no_trouble_to_others(
    serve: Callable[..., Worker],
    disk: SlowDisk,
    slow: Place,
    quick: Place,
    prompted: Callable[[Worker, Place, int], Client],
) -> None:
    """Their answers are with the thread that the disk holds up."""
    worker = serve()
    code = code_now()
    waiting = [prompted(worker, slow, number) for number in range(PEOPLE)]
    with disk.hangs():
        for client in waiting:
            client.send(side.answer(code))
        worker.log.wait_for("pam_totp(worker): event=error", "a disk is slow")
        for client in waiting[:3]:
            client.socket.close()
        for client in waiting[3:6]:
            client.send(side.answer("123456"))  # too early
        for number in range(PEOPLE):
            assert side.PAM_SUCCESS == worker.log_in(packet_of(quick, number), code).code
        assert not has_heard(waiting[3:])
    assert [side.PAM_SUCCESS] * 4 == [client.answers().code for client in waiting[6:]]
    for client in waiting[3:6]:  # what nobody read may overtake what they are told
        assert client.answers().code in (side.PAM_SUCCESS, side.NONE_CAME)
    worker.log.wait_for("the application was gone before it heard that the code was right")
    assert not [line for line in worker.log.lines() if "Error" in line]
    # Whoever was gone before the round began was not judged: that code is still good.
    again = [worker.log_in(packet_of(slow, number), code).code for number in range(PEOPLE)]
    assert {side.PAM_AUTH_ERR, side.PAM_SUCCESS} >= {*again[:3]}
    assert {side.PAM_AUTH_ERR} == {*again[3:]}


def test_a_disk_that_does_not_come_back_denies_and_uses_up_nothing_that_was_not_judged(
    serve: Callable[..., Worker],
    disk: SlowDisk,
    slow: Place,
    prompted: Callable[[Worker, Place, int], Client],
) -> None:
    worker = serve(("service/loop.py", "PATIENCE = 20.0", "PATIENCE = 1.0"))
    code = code_now()
    first, *later = [prompted(worker, slow, number) for number in range(3)]
    with disk.hangs():
        first.send(side.answer(code))
        worker.log.wait_for("pam_totp(worker): event=error", "a disk is slow")
        for client in later:
            client.send(side.answer(code))
        for client in later:
            assert side.PAM_AUTHINFO_UNAVAIL == client.answers().code
        assert side.PAM_AUTHINFO_UNAVAIL == worker.log_in(packet_of(slow, 5)).code
        worker.log.wait_for("event=error", "does not answer", "dmesg")
        assert not has_heard([first])
    assert side.PAM_SUCCESS == first.answers().code
    for number in range(1, 3):
        assert side.PAM_SUCCESS == worker.log_in(packet_of(slow, number), code).code


def test_a_service_that_a_disk_holds_up_ends_when_it_is_told_to(
    serve: Callable[..., Worker],
    disk: SlowDisk,
    slow: Place,
    prompted: Callable[[Worker, Place, int], Client],
) -> None:
    worker = serve(
        ("service/loop.py", "GRACE_SECONDS = 5.0", "GRACE_SECONDS = 0.5"),
        ("service/loop.py", "BUSY_SECONDS = 5.0", "BUSY_SECONDS = 0.5"),
    )
    client = prompted(worker, slow, 0)
    with disk.hangs():
        client.send(side.answer(code_now()))
        worker.log.wait_for("pam_totp(worker): event=error", "a disk is slow")
        assert 0 == side.end(worker.processes[0])
        assert side.NONE_CAME == client.answers().code
