"""Threads for what may take long: as many as are needed, and no more than so many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from pam_totp.service import helpers
from pam_totp.service.helpers import Helpers
from tests.native.worker_side import TIMEOUT, wait_until


class Jobs:
    """Work that waits until it may end."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.begun: list[str] = []
        self.ended: list[str] = []

    def job(self, name: str) -> Callable[[], None]:
        def work() -> None:
            self.begun.append(name)
            assert self.may_end.wait(TIMEOUT)
            self.ended.append(name)

        return work


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setattr(helpers, "IDLE_SECONDS", 0.05)
    jobs = Jobs()
    yield jobs
    jobs.may_end.set()
    wait_until(lambda: not named("of-the-test"))


def named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_nothing_waits_for_another_one_while_there_is_a_thread_for_it(jobs: Jobs) -> None:
    some = Helpers("of-the-test", 3)
    for name in ("a", "b", "c"):
        some.do(jobs.job(name))
    wait_until(lambda: len(jobs.begun) == 3)
    assert {"a", "b", "c"} == set(jobs.begun)


def test_there_are_no_more_than_so_many_and_the_rest_waits_in_line(jobs: Jobs) -> None:
    some = Helpers("of-the-test", 2)
    for name in "abcdefgh":
        some.do(jobs.job(name))
    wait_until(lambda: len(jobs.begun) == 2)
    assert 2 == len(named("of-the-test"))
    jobs.may_end.set()
    wait_until(lambda: len(jobs.ended) == 8)
    assert set("abcdefgh") == set(jobs.ended)


def test_one_of_them_does_one_thing_after_the_other_in_order(jobs: Jobs) -> None:
    jobs.may_end.set()
    one = Helpers("of-the-test", 1)
    for name in "abcdefgh":
        one.do(jobs.job(name))
    wait_until(lambda: len(jobs.ended) == 8)
    assert list("abcdefgh") == jobs.ended


def test_one_thread_does_what_comes_in_turn(jobs: Jobs) -> None:
    """None is started for each thing."""
    jobs.may_end.set()
    some = Helpers("of-the-test", 8)
    for number in range(5):
        some.do(jobs.job("a"))
        wait_until(lambda number=number: len(jobs.ended) == number + 1)
        wait_until(lambda: not some._unserved)
    assert 1 == some._threads


def test_whoever_has_nothing_to_do_ends_and_others_come_again(jobs: Jobs) -> None:
    jobs.may_end.set()
    some = Helpers("of-the-test", 2)
    for round_ in (1, 2):
        some.do(jobs.job("a"))
        wait_until(lambda round_=round_: len(jobs.ended) == round_)
        wait_until(lambda: not named("of-the-test"))
        assert (0, 0) == (some._threads, some._unserved)


def test_what_comes_while_a_thread_is_about_to_end_is_done(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helpers, "IDLE_SECONDS", 0.0005)
    jobs.may_end.set()
    some = Helpers("of-the-test", 2)
    for number in range(300):
        some.do(jobs.job("a"))
        wait_until(lambda number=number: len(jobs.ended) == number + 1)


def test_without_a_thread_it_is_told_and_with_one_the_rest_waits_for_it(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    some = Helpers("of-the-test", 4)
    with monkeypatch.context() as patched:
        patched.setattr(helpers.threading.Thread, "start", none)
        with pytest.raises(RuntimeError, match="no thread could be started"):
            some.do(jobs.job("a"))
    some.do(jobs.job("b"))
    with monkeypatch.context() as patched:
        patched.setattr(helpers.threading.Thread, "start", none)
        some.do(jobs.job("c"))
    jobs.may_end.set()
    wait_until(lambda: len(jobs.ended) == 2)
    assert ["b", "c"] == jobs.ended
