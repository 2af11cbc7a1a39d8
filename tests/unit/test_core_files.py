"""No core file can be written during a login, and the limit is as before after it."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from pam_totp.core import verifier
from pam_totp.system import core_files
from tests.support.place import code_now
from tests.unit.door import Door
from tests.unit.fake_pam import PamException


class Limits:
    """Stands in for the resource module, for a process that may write core files."""

    RLIMIT_CORE = 4

    def __init__(self) -> None:
        self.core = (1000, 2000)

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == self.RLIMIT_CORE
        return self.core

    def setrlimit(self, which: int, limits: tuple[int, int]) -> None:
        assert which == self.RLIMIT_CORE
        self.core = limits


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    limits = Limits()
    monkeypatch.setattr(core_files, "resource", limits)
    return limits


def test_no_core_file_can_be_written_while_a_code_is_checked(
    door: Door, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    verify = verifier.verify

    def watched(*arguments: Any, **named: Any) -> object:
        seen.append(limits.core)
        return verify(*arguments, **named)

    monkeypatch.setattr(verifier, "verify", watched)
    slow = door.meanwhile(code_now(), lambda: seen.append(limits.core))
    assert "PAM_SUCCESS" == door.login(slow).result
    assert [(0, 2000)] * 2 == seen
    assert (1000, 2000) == limits.core


def test_a_process_without_core_files_keeps_its_limit_as_it_is(
    door: Door, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a worker, one login must not give another one's back."""
    limits.core = (0, 2000)

    def set_limit(which: int, limits: tuple[int, int]) -> None:
        raise AssertionError("the limit was set")

    monkeypatch.setattr(limits, "setrlimit", set_limit)
    assert "PAM_SUCCESS" == door.login(code_now()).result
    assert (0, 2000) == limits.core


@pytest.mark.parametrize("error", [PamException, ZeroDivisionError, KeyboardInterrupt])
def test_the_limit_is_restored_after_an_error(
    door: Door, limits: Limits, error: type[BaseException]
) -> None:
    try:
        door.login(error())
    except (ZeroDivisionError, KeyboardInterrupt):
        pass
    assert (1000, 2000) == limits.core


def test_the_limit_is_restored_after_a_refusal(door: Door, limits: Limits) -> None:
    door.login("junk", argv=["attempts=1"])
    assert (1000, 2000) == limits.core


def test_the_limit_of_the_real_process_is_restored(door: Door) -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    during: list[int] = []

    def look() -> None:
        during.append(resource.getrlimit(resource.RLIMIT_CORE)[0])

    door.login(door.meanwhile(code_now(), look))
    assert [0] == during
    assert before == resource.getrlimit(resource.RLIMIT_CORE)
