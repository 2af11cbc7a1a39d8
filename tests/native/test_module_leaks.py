"""A process that logs people in for years stays as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.native.fake_worker import Script, Worker, message, packet, result, says
from tests.native.module_side import (
    PAM_AUTH_ERR,
    PAM_SERVICE_ERR,
    PAM_SUCCESS,
    TEXT_INFO,
    Outcome,
    Side,
)
from tests.support import thorough

Serve = Callable[[Script], Worker]

# By day valgrind and gcc's sanitizers show in a few logins what is not given back.
EARLY, LATE = (200, 2000) if thorough.NIGHTLY else (200, 800)
MAX_GROWTH = 1024  # kB


def options(early: int = EARLY, late: int = LATE) -> tuple[str, ...]:
    return ("-n", str(late), "-m", str(early), "-m", str(late))


def assert_nothing_is_kept(outcome: Outcome) -> None:
    (_, early, files_before), (count, late, files_after) = outcome.memory
    assert count == len(outcome.codes)
    assert files_before == files_after
    assert abs(late - early) <= MAX_GROWTH


ENDS = {
    "right": (result(PAM_SUCCESS), PAM_SUCCESS),
    "wrong": (result(PAM_AUTH_ERR), PAM_AUTH_ERR),
    "not understood": (packet(18, b"\0", version=2), PAM_SERVICE_ERR),
}


@pytest.mark.parametrize(("end", "code"), ENDS.values(), ids=ENDS)
def test_many_logins_leave_neither_memory_nor_files(
    side: Side, serve: Serve, end: bytes, code: int
):
    words = (message(b"Hello", TEXT_INFO), message(b"Code: "), end)
    serve(says(*words))
    outcome = side.log_in("123456", options=options())
    assert [code] * LATE == outcome.codes
    assert_nothing_is_kept(outcome)


def test_many_logins_without_a_service_leave_neither_memory_nor_files(side: Side):
    assert_nothing_is_kept(side.log_in(options=options()))


@pytest.mark.root
def test_hundreds_of_workers_leave_neither_memory_nor_files_nor_children(side: Side):
    """Their script is missing, so each is gone after some milliseconds."""
    outcome = side.log_in(options=options(early=100, late=300), as_root=True)
    assert_nothing_is_kept(outcome)
    assert outcome.saw_no_child()
