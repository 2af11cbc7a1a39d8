"""Answers that are judged together: one that fails, and a commit that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from pam_totp.core.verifier import ACCEPTED, CODE, REJECTED, Answer, Policy
from pam_totp.login.steps import Step
from pam_totp.service import batch
from pam_totp.service.kept import in_use
from pam_totp.store import LoginAttempt
from pam_totp.store.sqlite.database import Database
from pam_totp.system.audit import Source
from pam_totp.system.errors import StoreBusy, StoreCorrupt, StoreUnavailable
from tests.contract.raw import connect
from tests.support.place import Place, code_now, wrong_code

POLICY = Policy()


class Fake:
    """A store in memory that says what was kept, in which transaction."""

    def __init__(self, *broken: str, commit: BaseException | None = None) -> None:
        self.broken = broken
        self.commit = commit
        self.kept: list[list[str]] = []
        self.begun = 0
        self._inside: list[str] = []

    @contextmanager
    def batch(self) -> Iterator[None]:
        self.begun += 1
        self._inside = []
        yield
        if self.commit is not None:
            raise self.commit
        self.kept.append(self._inside)

    def verify(self, name: str) -> str:
        if name in self.broken:
            raise StoreCorrupt(name, "is damaged")
        self._inside.append(name)
        return f"judged {name}"

    def ask(self, question: Callable[[Any], object]) -> object:
        return question(self)


def jobs(*names: str) -> list[tuple[str, Step]]:
    return [(name, Step("verify", (name,), {})) for name in names]


def outcomes(fake: Fake, *names: str) -> list[tuple[str, object, str]]:
    return [
        (key, value, type(error).__name__ if error else "")
        for key, _, value, error in batch.judge(jobs(*names), fake.ask)
    ]


def test_all_are_judged_in_order_in_one_transaction() -> None:
    fake = Fake()
    assert [("a", "judged a", ""), ("b", "judged b", "")] == outcomes(fake, "a", "b")
    assert [["a", "b"]] == fake.kept


def test_one_that_fails_denies_itself_alone() -> None:
    fake = Fake("b")
    assert [("a", "judged a", ""), ("b", None, "StoreCorrupt"), ("c", "judged c", "")] == outcomes(
        fake, "a", "b", "c"
    )
    assert [["a"], ["c"]] == fake.kept


def test_one_alone_that_fails_is_not_tried_twice() -> None:
    fake = Fake("a")
    assert [("a", None, "StoreCorrupt")] == outcomes(fake, "a")
    assert 1 == fake.begun


def test_a_commit_that_fails_denies_all_and_is_not_tried_again() -> None:
    """It may have come to the disk after all; and a disk that is full stays full."""
    fake = Fake(commit=StoreUnavailable("store", "no space left"))
    denied = [("a", None, "StoreUnavailable"), ("b", None, "StoreUnavailable")]
    assert denied == outcomes(fake, "a", "b")
    assert 1 == fake.begun


@pytest.mark.parametrize("error", [StoreBusy("store", "is locked"), in_use("store")])
def test_a_store_where_others_are_is_asked_no_question_for_each(error: BaseException) -> None:
    asked: list[object] = []

    def ask(question: object) -> object:
        asked.append(question)
        raise error

    assert [(None, error)] * 3 == [o[2:] for o in batch.judge(jobs("a", "b", "c"), ask)]
    assert 1 == len(asked)


# With a store


def answer_of(name: str, text: str) -> tuple[str, Step]:
    attempt = LoginAttempt(name, Answer(CODE, text), POLICY, Source("sshd:auth"), is_decoy=False)
    return name, Step("verify", (attempt,), {})


def judged(place: Place, *answers: tuple[str, Step]) -> list[str]:
    def ask(question: Callable[[Any], object]) -> object:
        with place.open() as store:
            return question(store)

    return [
        type(error).__name__ if error else getattr(value, "outcome", "")
        for _, _, value, error in batch.judge(list(answers), ask)
    ]


def test_two_answers_of_one_person_see_each_other(place_in_use: Place) -> None:
    place_in_use.enrol("alice")
    code = code_now()
    right, wrong = answer_of("alice", code), answer_of("alice", wrong_code())
    assert [REJECTED, ACCEPTED, "replayed", REJECTED] == judged(
        place_in_use, wrong, right, right, wrong
    )
    assert 1 == place_in_use.record("alice").failures


def test_a_damaged_secret_denies_its_own_user_alone(place_in_use: Place) -> None:
    for name in ("alice", "bob", "carol"):
        place_in_use.enrol(name)
    damage = "UPDATE authenticators SET sealed_secret = zeroblob(length(sealed_secret))"
    with closing(connect(place_in_use.store_path)) as database:
        database.execute(f"{damage} WHERE user = 'bob'")
    code = code_now()
    found = judged(place_in_use, *(answer_of(name, code) for name in ("alice", "bob", "carol")))
    assert [ACCEPTED, "SealingError", ACCEPTED] == found


def test_a_commit_that_fails_uses_up_no_code(
    place_in_use: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alice", "bob"):
        place_in_use.enrol(name)
    code = code_now()
    both = [answer_of(name, code) for name in ("alice", "bob")]

    def fail(_: Database) -> None:
        raise StoreUnavailable("store", "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "commit", fail)
        assert ["StoreUnavailable"] * 2 == judged(place_in_use, *both)
    assert [ACCEPTED] * 2 == judged(place_in_use, *both)
