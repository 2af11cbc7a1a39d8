"""Recovery codes are hashed one after the other, and only those that will be looked at."""

from __future__ import annotations

import threading
import time

import pytest

from pam_totp.core import recovery, verifier
from pam_totp.core.users import UserRecord
from pam_totp.core.verifier import Answer, Policy
from pam_totp.login import hashing
from pam_totp.login.hashing import HashingSlot
from pam_totp.system.errors import Unavailable
from tests.support.place import Place
from tests.unit.judging import judged

POLICY = Policy()
USERS = [("alice", False), ("nobody", True)]  # and whether it is a decoy


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The codes that were hashed."""
    codes: list[str] = []
    real = recovery.digest

    def digest(code: str, salt: bytes) -> bytes:
        codes.append(code)
        return real(code, salt)

    monkeypatch.setattr(recovery, "digest", digest)
    return codes


def answer(place: Place, name: str, code: str, *, decoy: bool) -> str:
    """Give a recovery code as ``name``; return what came of it."""
    given = Answer(verifier.RECOVERY_CODE, code)
    return judged(place, name, given, is_decoy=decoy).outcome


def count_failures(place: Place, failures: int, until: int = 0) -> None:
    change(place, lambda record: record._replace(failures=failures, throttled_until=until))


def change(place: Place, how) -> None:
    with place.open() as store:
        with store.transaction("alice") as transaction:
            transaction.save(how(transaction.record))
        with store.decoy_transaction("nobody") as transaction:
            transaction.save(how(transaction.record))


@pytest.mark.parametrize(("name", "decoy"), USERS)
def test_code_of_who_is_throttled_is_not_hashed(
    place: Place, hashed: list[str], name: str, decoy: bool
) -> None:
    """Or one user with many prompts could hold up the recovery codes of all others."""
    place.enrol("alice")
    outcomes = [answer(place, name, f"WRONG{n}", decoy=decoy) for n in range(8)]
    assert [verifier.REJECTED] * 5 + [verifier.THROTTLED] * 3 == outcomes
    assert [f"WRONG{n}" for n in range(5)] == hashed


@pytest.mark.parametrize(("name", "decoy"), USERS)
def test_code_of_who_is_locked_is_not_hashed(
    place: Place, hashed: list[str], name: str, decoy: bool
) -> None:
    place.enrol("alice")
    count_failures(place, POLICY.max_failures)
    assert verifier.LOCKED == answer(place, name, "WRONG", decoy=decoy)
    assert [] == hashed


@pytest.mark.parametrize(("name", "decoy"), USERS)
def test_wait_that_ends_meanwhile_makes_no_right_code_wrong(
    place: Place,
    hashed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    decoy: bool,
) -> None:
    """It was not hashed, as nobody was to look at it; now somebody is."""
    place.enrol("alice")
    code = "A" * 16
    salt = bytes(recovery.SALT_BYTES)
    digests = frozenset([recovery.digest(code, salt)])
    hashed.clear()
    keep = {} if decoy else {"recovery_salt": salt, "recovery_digests": digests}
    change(place, lambda r: r._replace(failures=5, throttled_until=10**9 + 30))
    with place.open() as store, store.transaction("alice") as transaction:
        transaction.save(transaction.record._replace(**keep))
    clock = iter([10**9 + 29, *[10**9 + 31] * 9])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    expected = verifier.REJECTED if decoy else verifier.RECOVERY_USED
    assert expected == answer(place, name, code, decoy=decoy)
    assert [code] == hashed


def test_answer_whose_turn_does_not_come_is_not_used_up(
    place: Place, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.enrol("alice")
    before = place.record("alice")
    monkeypatch.setattr(hashing, "PATIENCE", 0.01)
    with HashingSlot(), pytest.raises(Unavailable, match="too many logins"):
        answer(place, "alice", "WRONG", decoy=False)
    assert ([], before) == (hashed, place.record("alice"))
    assert verifier.REJECTED == answer(place, "alice", "WRONG", decoy=False)


def test_turns_are_one_after_the_other(
    place: Place, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.enrol("alice")
    at_once: list[int] = []
    real = recovery.digest

    def digest(code: str, salt: bytes) -> bytes:
        at_once.append(threading.active_count())
        assert not hashing._slot.acquire(blocking=False)
        time.sleep(0.01)
        return real(code, salt)

    monkeypatch.setattr(recovery, "digest", digest)
    threads = [
        threading.Thread(target=answer, args=(place, "alice", f"WRONG{n}"), kwargs={"decoy": False})
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert 4 == len(at_once)
    assert 4 == place.record("alice").failures


def test_patience_is_less_than_that_of_the_module() -> None:
    from tests.support.place import ROOT

    header = (ROOT / "pam_totp/native/login.h").read_text("utf-8")
    patience = int(header.partition("#define PAM_TOTP_PATIENCE ")[2].split()[0])
    assert hashing.PATIENCE <= patience - 10


def test_record_that_is_gone_is_rejected(place: Place) -> None:
    place.enrol("alice")
    with place.open() as store, store.transaction("alice") as transaction:
        transaction.save(UserRecord("alice"))
    assert verifier.REJECTED == answer(place, "alice", "WRONG", decoy=False)
