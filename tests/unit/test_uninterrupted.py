"""Signals of the terminal wait while a login is at the store, and only then."""

from __future__ import annotations

import os
import signal

import pytest

from pam_totp.core import verifier
from pam_totp.system.uninterrupted import Uninterrupted
from tests.support.logs import LogSocket
from tests.support.place import Place, code_now
from tests.unit.door import Clock, Door

OF_A_TERMINAL = {signal.SIGTSTP, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTTOU}


def blocked() -> set[signal.Signals]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, []))


def test_signals_are_blocked_inside_and_as_before_outside() -> None:
    before = blocked()
    with Uninterrupted():
        assert OF_A_TERMINAL <= blocked()
    assert before == blocked()


def test_an_exception_leaves_mask_and_user_ids_as_they_were() -> None:
    before = blocked(), os.getresuid()
    with pytest.raises(KeyError), Uninterrupted():
        raise KeyError
    assert before == (blocked(), os.getresuid())


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ((1000, 0, 0), [(0, 0, 0), (1000, 0, 0)]),  # sudo: the caller could send signals
        ((1000, 0, 1000), [(0, 0, 0), (1000, 0, 1000)]),
        ((0, 0, 0), []),  # nothing to change, and the call would stop every thread
        ((1000, 1000, 1000), []),
        ((0, 1000, 0), []),
    ],
)
def test_the_real_user_is_root_inside_where_the_caller_is_not(
    monkeypatch: pytest.MonkeyPatch, ids: tuple[int, int, int], expected: list[tuple[int, ...]]
) -> None:
    became: list[tuple[int, ...]] = []
    monkeypatch.setattr(os, "getresuid", lambda: ids)
    monkeypatch.setattr(os, "setresuid", lambda *new: became.append(new))
    with Uninterrupted():
        assert expected[:1] == became
    assert expected == became


@pytest.mark.usefixtures("accounts")
def test_a_code_is_judged_with_signals_blocked_and_asked_for_without(
    place: Place, log: LogSocket, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.enrol("alice")
    door, seen, verify = Door(place, log, clock), [], verifier.verify

    def watched(*arguments: object, **place: object) -> object:
        seen.append(OF_A_TERMINAL <= blocked())
        return verify(*arguments, **place)  # type: ignore[arg-type]

    monkeypatch.setattr(verifier, "verify", watched)
    answer = door.meanwhile(code_now(), lambda: seen.append(OF_A_TERMINAL <= blocked()))
    assert "PAM_SUCCESS" == door.login(answer).result
    assert [False, True] == seen
