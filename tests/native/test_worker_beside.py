"""Others at the store while people log in: totpctl, and a rotation of the sealing key."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pam_totp.core import verifier
from pam_totp.core.users import Authenticator, UserRecord
from tests.cli.command import ME, Totpctl
from tests.faults import rotating
from tests.native import worker_side as side
from tests.native.worker_side import Outcome, Worker
from tests.support import thorough
from tests.support.place import SECRET, Place, code_now, wrong_code

LOCKED = verifier.locked_from(verifier.Policy().max_failures)

CLIENTS = 64
STEPS = range(-9, 10)  # whose codes are good one after the other: see enrol()
ROUNDS = 5 if thorough.NIGHTLY else 2


@pytest.fixture
def worker() -> Iterator[Worker]:
    with side.worker_in_a_folder(side.EVERYBODY, side.IN_THE_FILE) as worker:
        worker.listen()
        yield worker


@pytest.fixture
def place(tmp_path: Path) -> Place:
    inside = tmp_path / "inside"
    inside.mkdir()
    place = Place(inside, in_use=True)
    place.configure(window=10, attempts=1)
    with place.open() as store:
        for number in range(CLIENTS):
            name = f"user{number}"
            with store.transaction(name) as transaction:
                phone = Authenticator(name, "phone", SECRET, created_at=int(time.time()))
                transaction.save(UserRecord(name, authenticators=(phone,)))
    return place


def log_in(worker: Worker, place: Place, name: str, code: str) -> Outcome:
    packet = side.request(name.encode(), arguments=side.of_place(place.config_path))
    return worker.log_in(packet, code)


def forget_drift(place: Place) -> None:
    """Codes that go from late to early look like a clock that goes wrong, and are followed."""
    with place.open() as store:
        for number in range(CLIENTS):
            with store.transaction(f"user{number}") as transaction:
                assert transaction.record is not None
                (phone,) = transaction.record.authenticators
                transaction.save(transaction.record.with_changed(phone._replace(learned=0)))


@contextmanager
def logging_in(worker: Worker, place: Place, count: int) -> Iterator[list[int]]:
    """Have so many log in, each with one code after the other; give what they come to."""
    over, codes, started = threading.Event(), list[int](), time.time()

    def keep_logging_in(number: int) -> Outcome:
        for step in STEPS:
            code = code_now(step - int((time.time() - started) // 30))
            outcome = log_in(worker, place, f"user{number}", code)
            codes.append(outcome.code)
            if over.is_set():
                break
        return outcome

    everybody = threading.Thread(target=side.many, args=(count, keep_logging_in))
    everybody.start()
    try:
        yield codes
    finally:
        over.set()
        everybody.join(side.TIMEOUT)
    assert len(codes) >= count


def test_forty_people_at_once_are_all_let_in_and_each_code_once(
    worker: Worker, place: Place
) -> None:
    code = code_now()
    for expected in (side.PAM_SUCCESS, side.PAM_AUTH_ERR):
        outcomes = side.many(40, lambda number: log_in(worker, place, f"user{number}", code))
        assert [expected] * 40 == [outcome.code for outcome in outcomes]


def test_while_the_key_is_rotated_nobody_is_denied(worker: Worker, place: Place) -> None:
    key = place.key_path.read_bytes()
    with logging_in(worker, place, CLIENTS) as codes:
        side.wait_until(lambda: codes)
        rotations, before = [rotating.rotate(place) for _ in range(ROUNDS)], len(codes)
        side.wait_until(lambda: len(codes) > before)  # and some came with the new key
    assert ["done"] * ROUNDS == rotations
    assert {side.PAM_SUCCESS} == set(codes)
    assert key != place.key_path.read_bytes()
    assert place.sealer().others == ()
    forget_drift(place)
    last = code_now(10)
    for expected in (side.PAM_SUCCESS, side.PAM_AUTH_ERR):
        outcomes = side.many(8, lambda number: log_in(worker, place, f"user{number}", last))
        assert [expected] * 8 == [outcome.code for outcome in outcomes]
    with place.open() as store:
        assert [] == store.check()


@pytest.fixture
def totpctl(place: Place, tmp_path: Path) -> Callable[..., str]:
    run = Totpctl(place, tmp_path / "no log")

    def totpctl(*arguments: str) -> str:
        result = run(*arguments)
        assert 0 == result.code, result
        return result.out

    return totpctl


def test_totpctl_writes_beside_sixteen_who_log_in(
    worker: Worker, place: Place, totpctl: Callable[..., str]
) -> None:
    """Each hears of the other: whoever is unlocked, enrolled or removed is so at the next login."""
    wrong = wrong_code()
    with place.open() as store, store.transaction("user63") as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(failures=LOCKED - 1))
    assert side.PAM_AUTH_ERR == log_in(worker, place, "user63", wrong).code
    with logging_in(worker, place, 16) as codes:
        assert side.PAM_MAXTRIES == log_in(worker, place, "user63", code_now()).code
        totpctl("unlock", "user63")
        assert side.PAM_SUCCESS == log_in(worker, place, "user63", code_now()).code
        totpctl("enroll", ME, "--no-confirm")
        assert ME in totpctl("list")
        with place.open() as store, store.transaction(ME) as transaction:
            assert transaction.record is not None
            secret = transaction.record.authenticators[0].secret
        assert secret is not None
        assert side.PAM_SUCCESS == log_in(worker, place, ME, code_now(0, secret)).code
        totpctl("reset", ME, "--yes", "--no-confirm")
        assert side.PAM_AUTH_ERR == log_in(worker, place, ME, code_now(1, secret)).code
    assert {side.PAM_SUCCESS} == set(codes)
    with place.open() as store:
        assert [] == store.check()
