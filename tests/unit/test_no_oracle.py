"""Whoever guesses learns nothing about whether a user exists, is enrolled or suspended."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pam_totp.core import otp, recovery
from pam_totp.core.admission import GroupRule
from pam_totp.core.places import KnownPlace
from pam_totp.core.users import EXEMPT, MUST_ENROLL, SUSPENDED, Authenticator, UserRecord
from pam_totp.core.verifier import locked_from
from pam_totp.login import identity
from pam_totp.store.sealing import Sealer
from pam_totp.store.sqlite.database import Database
from tests.support import thorough
from tests.support.logs import LogSocket
from tests.support.place import SECRET, Place, code_now, wrong_code
from tests.unit.door import Clock, Door

pytestmark = pytest.mark.usefixtures("accounts")
RECOVERY_CODE = "0123-4567-89AB-CDEF"
MOST = 100 if thorough.NIGHTLY else 8  # wrong codes; by default they are 100
LOCK = locked_from(MOST)


def enrolled(place: Place) -> str:
    place.enrol("alice")
    return "alice"


def enrolled_with_recovery_codes(place: Place) -> str:
    place.enrol("alice", recovery_codes=("FEDC-BA98-7654-3210",))
    return "alice"


def enrolled_with_eight_digits(place: Place) -> str:
    authenticator = Authenticator("long", "phone", SECRET, digits=8)
    with place.open() as store, store.transaction("alice") as transaction:
        transaction.save(UserRecord("alice", authenticators=(authenticator,)))
    return "alice"


def enrolled_with_a_token(place: Place) -> str:
    authenticator = Authenticator("token", "phone", SECRET, kind=otp.HOTP, serial="2600000000001")
    with place.open() as store, store.transaction("alice") as transaction:
        transaction.save(UserRecord("alice", authenticators=(authenticator,)))
    return "alice"


def enrolled_and_known_elsewhere(place: Place) -> str:
    known = tuple(KnownPlace(f"203.0.113.{n}", 1_699_999_200) for n in range(8))
    place.enrol("alice", known_places=known)
    return "alice"


def unenrolled(place: Place) -> str:
    return "bob"


def unknown(place: Place) -> str:
    return "mallory"


def known_to_the_store_alone(place: Place) -> str:
    place.enrol("ghost")
    return "ghost"


def suspended(place: Place) -> str:
    place.enrol("carol", status=SUSPENDED)
    return "carol"


def suspended_without_authenticators(place: Place) -> str:
    with place.open() as store, store.transaction("carol") as transaction:
        transaction.save(UserRecord("carol", SUSPENDED))
    return "carol"


def told_to_enrol(place: Place) -> str:
    place.enrol("dave", status=MUST_ENROLL)
    return "dave"


def in_a_group_that_is_required(place: Place) -> str:
    with place.open() as store:
        store.save_group_rule(GroupRule("staff", "required"))
    return "bob"


def enrolled_under_another_uid(place: Place) -> str:
    """The account counts as local: the file that would tell is not there."""
    place.enrol("dave", uid=1001)
    return "dave"


def exempt_in_former_times(place: Place) -> str:
    place.enrol("carol", status=EXEMPT, exempt_until=1_600_000_000)
    return "carol"


OTHERS = [
    enrolled_with_recovery_codes,
    enrolled_with_eight_digits,
    enrolled_with_a_token,
    enrolled_and_known_elsewhere,
    unenrolled,
    unknown,
    known_to_the_store_alone,
    suspended,
    suspended_without_authenticators,
    told_to_enrol,
    in_a_group_that_is_required,
    exempt_in_former_times,
    enrolled_under_another_uid,
]
Kind = Callable[[Place], str]


@pytest.fixture(autouse=True)
def accounts_are_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "PASSWD_FILE", "/nonexistent")


@pytest.fixture
def open_door(
    tmp_path: Path, log: LogSocket, clock: Clock
) -> Iterator[Callable[[Kind], tuple[Door, str]]]:
    """Make a place of its own for one kind of user, so that no two share a decoy."""
    places = tmp_path / "places"
    places.mkdir()

    def make(kind: Kind) -> tuple[Door, str]:
        folder = places / kind.__name__
        folder.mkdir()
        place = Place(folder, in_use=True)
        place.configure(max_failures=MOST)
        return Door(place, log, clock), kind(place)

    yield make
    shutil.rmtree(places)


def guess(door: Door, user: str, moves: list[tuple[str, float]]) -> list[object]:
    """Return all that a guesser sees who gives each answer three times, then waits."""
    door.clock.now = 1_700_000_010.0
    seen: list[object] = []
    for answer, seconds in moves:
        text = answer or wrong_code()
        entered = door.login(text, text, text, user=user, authtok="hunter2")
        shown = [(style, text.replace(user, "USER")) for style, text in entered.pamh.transcript]
        seen.append((entered.result, shown))
        door.clock.advance(seconds)
    return seen


GUESSES: dict[str, list[tuple[str, float]]] = {
    "wrong codes": [("", 0), ("", 0), ("", 0), ("", 30), ("", 10), ("", 50), ("", 119)],
    "to the lock and beyond": [("", 0), ("", 0)] + [("", 901)] * (LOCK - 3) + [("", 10**6)] * 2,
    "recovery codes": [(RECOVERY_CODE, 0), (RECOVERY_CODE, 0), (RECOVERY_CODE, 0)],
    "junk": [("junk", 0), ("12345", 0), ("", 0), ("", 0), ("junk", 0), ("\ufffd", 0)],
    "the password": [("hunter2", 0), ("", 0), ("", 0), ("hunter2", 0)],
}


@pytest.mark.parametrize("name", GUESSES)
def test_guessing_looks_the_same_for_every_user(
    open_door: Callable[[Kind], tuple[Door, str]], name: str
) -> None:
    expected = guess(*open_door(enrolled), GUESSES[name])
    for kind in OTHERS:
        assert expected == guess(*open_door(kind), GUESSES[name]), kind.__name__


def test_these_guesses_meet_the_wait_and_the_lock(
    open_door: Callable[[Kind], tuple[Door, str]],
) -> None:
    door, user = open_door(enrolled)
    seen = [result for result, _ in guess(door, user, GUESSES["to the lock and beyond"])]
    started = ["PAM_AUTH_ERR", "PAM_AUTH_ERR", "PAM_MAXTRIES"]
    assert started + ["PAM_AUTH_ERR"] * (LOCK - 5) + ["PAM_MAXTRIES"] * 3 == seen
    assert LOCK == door.place.record(user).failures


def test_right_codes_of_the_suspended_look_like_wrong_ones(
    open_door: Callable[[Kind], tuple[Door, str]],
) -> None:
    door, user = open_door(enrolled)
    expected = [door.login(*[wrong_code()] * 3, user=user).pamh.transcript for _ in range(3)]
    door, user = open_door(suspended)
    actual = [door.login(*[code_now()] * 3, user=user).pamh.transcript for _ in range(3)]
    assert expected == actual


@pytest.mark.parametrize("answer", ["", RECOVERY_CODE, "junk"])
def test_the_same_hashes_are_computed_for_every_user(
    open_door: Callable[[Kind], tuple[Door, str]], answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    for module, name in ((otp, "hotps"), (recovery, "digest"), (recovery, "match")):
        original = getattr(module, name)

        def watched(*arguments: Any, name: str = name, original: Callable = original) -> object:
            computed.extend(["hotp"] * len(arguments[1]) if name == "hotps" else [name])
            return original(*arguments)

        monkeypatch.setattr(module, name, watched)

    def work(kind: Kind) -> list[str]:
        door, user = open_door(kind)
        text = answer or wrong_code()
        computed.clear()
        door.login(text, user=user, argv=["attempts=1"])
        return list(computed)

    expected = work(enrolled)
    for kind in OTHERS:
        assert expected == work(kind), kind.__name__


@pytest.fixture
def since_the_prompt(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the store is asked, and how often a secret is opened; in the order in which it was."""
    seen: list[str] = []
    execute, unseal = Database.execute, Sealer.open

    def watched(self: Database, statement: str, parameters: tuple = ()) -> object:
        seen.append(statement)
        return execute(self, statement, parameters)

    def unsealed(self: Sealer, *arguments: object) -> bytes:
        seen.append("unseal")
        return unseal(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "execute", watched)
    monkeypatch.setattr(Sealer, "open", unsealed)
    return seen


@pytest.mark.parametrize("answer", ["junk", "", "hunter2", "\ufffd"])
def test_an_answer_that_is_no_code_costs_no_question_to_the_store(
    open_door: Callable[[Kind], tuple[Door, str]], answer: str, since_the_prompt: list[str]
) -> None:
    """To open the secrets of the enrolled took 13 microseconds, which tells."""
    for kind in (enrolled, *OTHERS):
        door, user = open_door(kind)
        typed = door.meanwhile(answer, since_the_prompt.clear)
        door.login(typed, user=user, authtok="hunter2", argv=["attempts=1"])
        assert [] == since_the_prompt, kind.__name__


@pytest.mark.parametrize("answer", ["", RECOVERY_CODE])
@pytest.mark.parametrize(
    ("failures", "rule"),
    [(0, False), (5, False), (6, False), (0, True)],
    ids=["counted", "throttled", "locked", "counted, with a rule for a group"],
)
def test_the_store_is_asked_the_same_for_every_user(
    open_door: Callable[[Kind], tuple[Door, str]],
    since_the_prompt: list[str],
    answer: str,
    failures: int,
    rule: bool,
) -> None:
    """No fsync hides the difference where nothing is counted: of who has to wait, or is locked."""

    def work(kind: Kind) -> dict[str, int]:
        door, user = open_door(kind)
        door.place.configure(max_failures=6)
        if rule:
            in_a_group_that_is_required(door.place)
        for _ in range(failures):
            door.login(wrong_code(), user=user, argv=["attempts=1"])
            door.clock.advance(0 if failures == 5 else 901)
        typed = door.meanwhile(answer or wrong_code(), since_the_prompt.clear)
        result = door.login(typed, user=user, argv=["attempts=1"]).result
        assert ("PAM_MAXTRIES" if failures else "PAM_AUTH_ERR") == result
        verbs = [statement.split(" WHERE")[0] for statement in since_the_prompt]
        verbs = ["INSERT" if verb.startswith("INSERT") else verb for verb in verbs]
        return {verb: verbs.count(verb) for verb in set(verbs)}

    expected = work(enrolled)
    assert expected["unseal"]
    for kind in OTHERS:
        if rule or kind is not in_a_group_that_is_required:
            assert expected == work(kind), kind.__name__


def test_every_user_costs_one_commit_an_answer(
    open_door: Callable[[Kind], tuple[Door, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    execute = Database.execute

    def watched(self: Database, statement: str, parameters: tuple = ()) -> object:
        if statement in ("BEGIN IMMEDIATE", "COMMIT"):
            statements.append(statement)
        elif statement.startswith("INSERT"):
            statements.append("INSERT")
        return execute(self, statement, parameters)

    def writes(kind: Kind) -> list[str]:
        door, user = open_door(kind)
        statements.clear()
        door.login(wrong_code(), user=user, argv=["attempts=1"])
        return statements[statements.index("BEGIN IMMEDIATE") :]

    monkeypatch.setattr(Database, "execute", watched)
    expected = ["BEGIN IMMEDIATE", "INSERT", "COMMIT"]
    for kind in (enrolled, *OTHERS):
        assert expected == writes(kind), kind.__name__
