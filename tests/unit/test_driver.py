"""The blocking driver: nothing is held, open or blocked while a person is asked or told."""

from __future__ import annotations

import pwd
import re
import signal
from collections.abc import Callable

import pytest

from pam_totp.core.users import Account
from pam_totp.login import driver, hashing
from pam_totp.login.steps import AccountEntry, Reply
from pam_totp.service import wire
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


def test_a_store_that_is_back_by_now_is_not_called_missing(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members of an exempt group get in without a store, and only then."""
    door.place.configure(exempt_groups="root")
    monkeypatch.setattr(driver, "is_missing", lambda _url: False)
    door.place.store_path.unlink()
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(code_now(), user="root").result


@pytest.mark.parametrize("info", [UnicodeDecodeError("utf-8", b"\xfc", 0, 1, ""), None, 7])
def test_what_a_key_says_in_no_encoding_denies_nobody(door: Door, info: object) -> None:
    class Environment(dict[str, str]):
        def get(self, _name: str, _default: object = None) -> object:  # type: ignore[override]
            if isinstance(info, Exception):
                raise info
            return info

    login = door.login(code_now(), env=Environment({"SSH_AUTH_INFO_0": ""}))
    assert "PAM_SUCCESS" == login.result


def test_nothing_secret_is_in_what_a_traceback_may_show() -> None:
    passwd = pwd.struct_passwd(("alice", "$y$hash", 1, 1, "", "/", "/bin/sh"))
    shown = [
        AccountEntry("alice", Account(1, is_local=True), passwd),
        wire.AnswerPacket(wire.TEXT, b"123456"),
    ]
    shown += [Reply("123456", 0)]
    assert not re.search("hash|123456", repr(shown))
