"""The blocking driver: nothing is held, open or blocked while a person is asked or told."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from pam_totp.login import hashing
from pam_totp.store.sqlite.database import Database
from pam_totp.store.sqlite.store import SQLiteStore
from tests.support.place import code_now, wrong_code
from tests.unit.door import Door
from tests.unit.fake_pam import CONSTANTS, FakePam, Message, Response
from tests.unit.front_door import FrontDoor, Person

RECOVERY_CODE = "0123-4567-89AB-CDEF"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was held at any moment at which somebody was asked or told something."""
    found: list[str] = []
    is_open: list[object] = []
    over, close, conversation = SQLiteStore.over, Database.close, FakePam.conversation

    def opened(database: Database, sealer: object) -> SQLiteStore:
        is_open.append(database)
        return over(database, sealer)  # type: ignore[arg-type]

    def closed(self: Database) -> None:
        if self in is_open:
            is_open.remove(self)
        close(self)

    def watched(self: FakePam, message: Message) -> Response:
        if is_open:
            found.append("a store")
        if hashing._slot.locked():
            found.append("the turn to hash")
        if signal.pthread_sigmask(signal.SIG_BLOCK, []):
            found.append("signals")
        return conversation(self, message)

    monkeypatch.setattr(SQLiteStore, "over", opened)
    monkeypatch.setattr(Database, "close", closed)
    monkeypatch.setattr(FakePam, "conversation", watched)
    return found


def in_a_login(door: Door) -> str:
    return door.login(wrong_code(), "junk", code_now()).result


def with_a_recovery_code(door: Door) -> str:
    door.place.enrol("carol", recovery_codes=(RECOVERY_CODE,))
    return door.login(wrong_code(), RECOVERY_CODE, user="carol").result


def under_silence(door: Door) -> str:
    door.login(*[wrong_code()] * 5, argv=["attempts=5"])
    door.clock.advance(60)
    return door.login(code_now(), flags=CONSTANTS["PAM_SILENT"]).result


def skipped(door: Door) -> str:
    until = ["unenrolled=skip", "unenrolled_until=2099-01-01"]
    assert "PAM_IGNORE" == door.login(user="bob", argv=until).result
    return "PAM_SUCCESS"


@pytest.mark.parametrize("go", [in_a_login, with_a_recovery_code, under_silence, skipped])
def test_nothing_is_held_while_somebody_is_asked_or_told(
    door: Door, held: list[str], go: Callable[[Door], str]
) -> None:
    assert ("PAM_SUCCESS", []) == (go(door), held)


def test_nothing_is_held_while_somebody_enrolls(
    front: FrontDoor, bob: Person, held: list[str]
) -> None:
    assert "PAM_SUCCESS" == front.log_in(bob.types_the_code, "").result
    assert [] == held
