"""kill -9 at every write of the service while it judges the answers of sixteen people at once.

The service is the real one, in a process of its own. It is stopped while all sixteen answer, so
that it finds their answers together; by night it is killed at every call, else at a sample.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pam_totp.core import otp
from tests.faults import tracing
from tests.native import worker_side as side
from tests.native.worker_side import Client, Worker
from tests.support import thorough
from tests.support.place import Place, code_at

PEOPLE = [f"user{number}" for number in range(16)]
# strace is slow, and nobody is to take the lead meanwhile: what is counted is one thread's calls.
PATIENT = ("service/server.py", "STUCK_SECONDS = 0.25", "STUCK_SECONDS = 60.0")
_WRITES = ("pwrite64", "write", "ftruncate", "fallocate", "fsync", "fdatasync")
_SENDS = ("sendto",)
_SYNCS = ("fsync", "fdatasync")


@pytest.fixture
def worker() -> Iterator[Worker]:
    with side.worker_in_a_folder(side.EVERYBODY, side.IN_THE_FILE, PATIENT) as worker:
        yield worker


class Batch:
    """One life of the service, in which all of PEOPLE give their code of ``at``, once, together.

    ``told``: who was told success. ``calls``: what the service did of it, as strace shows it.
    """

    def __init__(self, worker: Worker, place: Place, folder: Path, at: float, *inject: str) -> None:
        trace = folder / "trace"
        self.process = worker.listen()
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(worker.socket)) for _ in PEOPLE]
            for client, name in zip(clients, PEOPLE, strict=True):
                client.send(request_of(place, name))
                client.until_prompt()
            self.process.send_signal(signal.SIGSTOP)
            for client in clients:
                client.send(side.answer(code_at(at)))
            with tracing.attached(self.process.pid, trace, *inject):
                self.process.send_signal(signal.SIGCONT)
                outcomes = [client.answers() for client in clients]
                self.was_killed = side.NONE_CAME in [outcome.code for outcome in outcomes]
                if self.was_killed:
                    self.process.wait(side.TIMEOUT)
        self.codes = dict(zip(PEOPLE, (outcome.code for outcome in outcomes), strict=True))
        self.told = {name for name, code in self.codes.items() if code == side.PAM_SUCCESS}
        calls = list(tracing.calls_in(trace))
        sends = [number for number, (name, _) in enumerate(calls) if name == "sendto"]
        self.calls = calls[: max(sends, default=0) + 1]  # what comes later is nobody's login


def request_of(place: Place, name: str) -> bytes:
    arguments = side.of_place(place.config_path, b"attempts=1")
    return side.request(name.encode(), arguments=arguments)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    inside = tmp_path / "inside"
    inside.mkdir()
    place = Place(inside, in_use=True)
    for name in PEOPLE:
        place.enrol(name)
    return place


def all_try(worker: Worker, place: Place, at: float) -> dict[str, int]:
    code = code_at(at)
    outcomes = side.many(
        len(PEOPLE), lambda number: worker.log_in(request_of(place, PEOPLE[number]), code)
    )
    return dict(zip(PEOPLE, (outcome.code for outcome in outcomes), strict=True))


def used_up(place: Place, at: float) -> set[str]:
    step = otp.time_step(int(at), 30)
    return {n for n in PEOPLE if place.record(n).authenticators[0].last_accepted_step == step}


def test_whoever_was_told_success_has_used_up_their_code_wherever_the_service_was_killed(
    worker: Worker, place: Place, tmp_path: Path
) -> None:
    original, folder = tmp_path / "original", place.store_path.parent
    shutil.copytree(folder, original)
    unharmed = Batch(worker, place, tmp_path, time.time())
    assert {side.PAM_SUCCESS} == set(unharmed.codes.values())
    assert 1 <= sum(name in _SYNCS for name, _ in unharmed.calls) < len(PEOPLE) // 4
    assert 0 == side.end(unharmed.process)
    outlived = 0
    kills = _kills(unharmed.calls)
    for name, which in kills:
        shutil.rmtree(folder)
        shutil.copytree(original, folder)
        at = time.time()
        killed = Batch(worker, place, tmp_path, at, f"{name}:signal=KILL:when={which}")
        if not killed.was_killed:  # it made fewer calls: a full log has its lines sent elsewhere
            outlived += 1
            assert set(PEOPLE) == killed.told == used_up(place, at)
            assert 0 == side.end(killed.process)
            continue
        assert -signal.SIGKILL == killed.process.returncode
        used = used_up(place, at)
        assert killed.told <= used, (name, which)
        assert used in (set(), set(PEOPLE)), (name, which)
        assert_all_is_well(worker, place, at, used)
    assert outlived <= len(kills) // 2


def test_a_sync_that_fails_denies_all_of_them(worker: Worker, place: Place, tmp_path: Path) -> None:
    """Nobody knows what is on the disk then: either nothing is used up, or all of it."""
    at = time.time()
    failed = Batch(worker, place, tmp_path, at, "fdatasync:error=EIO:when=1")
    assert {side.PAM_AUTHINFO_UNAVAIL} == set(failed.codes.values())
    worker.log.wait_for("event=error", "cannot be read or written")
    assert None is failed.process.poll()
    used = used_up(place, at)
    assert used in (set(), set(PEOPLE))
    again = all_try(worker, place, at)
    assert {side.PAM_AUTH_ERR if used else side.PAM_SUCCESS} == set(again.values())
    assert {side.PAM_SUCCESS} == set(all_try(worker, place, at + 30).values())
    assert 0 == side.end(failed.process)


def _kills(calls: list[tuple[str, str]]) -> list[tuple[str, int]]:
    steps = tracing.schedule(calls)
    if thorough.NIGHTLY:
        return steps
    writes = [step for step in steps if step[0] in _WRITES]
    sends = [step for step in steps if step[0] in _SENDS]
    return [*thorough.some(writes, 4), *thorough.some(sends, 11)]


def assert_all_is_well(worker: Worker, place: Place, at: float, used: set[str]) -> None:
    """After a kill: no code works twice, unused ones still work, and so do the next."""
    with place.open() as store:
        assert [] == store.check()
    process = worker.listen()
    again = all_try(worker, place, at)
    expected = {n: side.PAM_AUTH_ERR if n in used else side.PAM_SUCCESS for n in PEOPLE}
    assert expected == again
    assert dict.fromkeys(PEOPLE, side.PAM_SUCCESS) == all_try(worker, place, at + 30)
    assert 0 == side.end(process)
