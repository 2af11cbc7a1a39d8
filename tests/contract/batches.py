"""What is asked in a batch is kept together, by one sync, or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pam_totp.core import verifier
from pam_totp.core.users import UserRecord
from pam_totp.core.verifier import Answer
from pam_totp.system.errors import SealingError, StoreUnavailable
from tests.contract.backend import BackendOnDisk
from tests.contract.questions import ENROLLMENT, WRONG, code, judged, ready
from tests.contract.sample_records import NOW, phone

if TYPE_CHECKING:
    from pam_totp.core.verifier import Verdict
    from pam_totp.store import Store

RECOVERY_CODE = Answer(verifier.RECOVERY_CODE, "0" * 16, bytes(16), bytes(32))
PEOPLE = ("alice", "bob", "carol", "dave")


def save_people(backend: BackendOnDisk) -> None:
    """Save PEOPLE, whose phones all show code(), and whose recovery code is RECOVERY_CODE."""
    for name in PEOPLE:
        own = phone(f"id of {name}")._replace(last_accepted_step=-1)
        backend.save(ready()._replace(name=name, authenticators=(own,), untold=3))


def everything(backend: BackendOnDisk) -> list[object]:
    """Return what the store holds of people, and of the decoy of mallory."""
    with backend.open() as store:
        return [*store.records(), store.admission("mallory").decoy]


def outcome(verdict: Verdict | None) -> str:
    assert verdict is not None
    return verdict.outcome


def in_a_batch(store: Store, *asked: Callable[[Store], object]) -> None:
    with store.batch():
        for ask in asked:
            ask(store)


def judge_alice(store: Store) -> object:
    return judged(store, code(), "alice")


def judge_mallory(store: Store) -> object:
    return judged(store, WRONG, "mallory", is_decoy=True)


def ask_everything(store: Store) -> None:
    """Ask each question, in a way that changes something."""
    assert verifier.ACCEPTED == outcome(judged(store, code(), "alice"))
    assert verifier.RECOVERY_USED == outcome(judged(store, RECOVERY_CODE, "bob"))
    assert verifier.REJECTED == outcome(judged(store, WRONG, "carol"))
    store.have_told("dave", 2)
    assert verifier.REJECTED == outcome(judged(store, WRONG, "mallory", is_decoy=True))
    assert store.enroll_first("erin", ENROLLMENT, None)


def fail_by_damage(store: Store) -> None:
    """Ask about bob, whose secret does not open."""
    judged(store, code(), "bob")


def damage_bob(backend: BackendOnDisk) -> None:
    backend.tamper("UPDATE authenticators SET period = 31 WHERE \"user\" = 'bob'")


def fail_by_what_cannot_be_kept(store: Store) -> None:
    """Enroll with an authenticator that has no secret, after its user was written."""
    bare = ENROLLMENT._replace(authenticator=phone("another id", secret=None))
    store.enroll_first("frank", bare, None)


class KeepsBatches:
    @pytest.fixture(autouse=True)
    def _time_stands_still(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: NOW + 0.9)

    # Kept

    def test_what_a_batch_was_asked_is_kept_when_it_is_left(self, backend: BackendOnDisk) -> None:
        save_people(backend)
        before = everything(backend)
        with backend.open() as store:
            with store.batch():
                ask_everything(store)
                assert before == everything(backend), "somebody else sees it before it is kept"
            for name in ("alice", "bob", "carol", "dave", "erin"):
                assert store.load(name) == backend.load(name)
        alice, bob, carol, dave, erin, decoy = everything(backend)
        for record, changes in (
            (alice, {"failures": 0, "untold": 3, "uid": 1000}),
            (bob, {"recovery_digests": frozenset()}),
            (carol, {"failures": 1, "untold": 4}),
            (dave, {"failures": 0, "untold": 1}),
            (erin, {"uid": 1000, "recovery_digests": ENROLLMENT.digests}),
            (decoy, {"failures": 1}),
        ):
            assert isinstance(record, UserRecord)
            assert changes == {name: getattr(record, name) for name in changes}
        with backend.open() as store:
            assert verifier.REPLAYED == outcome(judged(store, code(), "alice"))
            assert [] == store.check()

    def test_a_question_reads_what_the_earlier_ones_changed(self, backend: BackendOnDisk) -> None:
        save_people(backend)
        with backend.open() as store, store.batch():
            outcomes = [outcome(judged(store, code(), "alice")) for _ in range(3)]
            assert [verifier.ACCEPTED, verifier.REPLAYED, verifier.REPLAYED] == outcomes
            outcomes = [outcome(judged(store, RECOVERY_CODE, "bob")) for _ in range(2)]
            assert [verifier.RECOVERY_USED, verifier.REJECTED] == outcomes
            for number in range(1, 7):
                judged(store, WRONG, "mallory", is_decoy=True)
                judged(store, WRONG, "carol")
                known = store.admission("carol")
                assert known.record is not None
                assert min(number, 5) == known.record.failures
                assert min(number, 5) == store.admission("mallory").decoy.failures
            assert verifier.THROTTLED == outcome(judged(store, code(), "carol"))
            assert store.admission("erin").record is None
            assert store.enroll_first("erin", ENROLLMENT, None)
            assert not store.enroll_first("erin", ENROLLMENT, None)
            assert store.admission("erin").record is not None
            store.confirm_absence()

    def test_one_batch_follows_the_other_and_questions_on_their_own(
        self, backend: BackendOnDisk
    ) -> None:
        save_people(backend)
        with backend.open() as store:
            for number in range(3):
                with store.batch():
                    judged(store, WRONG)
                assert 2 * number + 1 == self.failures(backend)
                judged(store, WRONG._replace(code="nobody either"))
                assert min(2 * number + 2, 5) == self.failures(backend)
            with store.batch():
                pass

    def failures(self, backend: BackendOnDisk) -> int:
        record = backend.load("alice")
        assert record is not None
        return record.failures

    def test_nobody_else_writes_before_a_batch_is_left(self, backend: BackendOnDisk) -> None:
        save_people(backend)
        outcomes: list[str] = []

        def log_in() -> None:
            with backend.open() as store:
                outcomes.append(outcome(judged(store, code(), "alice")))

        with backend.open() as store:
            other = threading.Thread(target=log_in)
            with store.batch():
                other.start()
                other.join(0.2)
                assert [] == outcomes
                outcomes.append(outcome(judged(store, code(), "alice")))
            other.join(60)
        assert [verifier.ACCEPTED, verifier.REPLAYED] == outcomes

    # Not kept

    def test_a_batch_that_is_left_by_an_exception_keeps_nothing(
        self, backend: BackendOnDisk
    ) -> None:
        save_people(backend)
        before = everything(backend)
        with backend.open() as store:
            for error in (ZeroDivisionError, KeyboardInterrupt):

                def fail(_: Store, error: type[BaseException] = error) -> None:
                    raise error

                with pytest.raises(error):
                    in_a_batch(store, ask_everything, fail)
                assert before == everything(backend)
            with store.batch():
                ask_everything(store)
        assert before != everything(backend)

    @pytest.mark.parametrize(
        ("fail", "kind"),
        [(fail_by_damage, SealingError), (fail_by_what_cannot_be_kept, ValueError)],
    )
    def test_a_question_that_fails_leaves_nothing_of_its_batch(
        self, backend: BackendOnDisk, fail: Callable[[Store], None], kind: type[Exception]
    ) -> None:
        save_people(backend)
        damage_bob(backend)
        before = everything(backend)
        with backend.open() as store:
            with pytest.raises(kind):
                in_a_batch(store, judge_alice, judge_mallory, fail)
            assert before == everything(backend)
            # Each on its own: nobody but the one whom it concerns is denied.
            judge_mallory(store)
            assert verifier.ACCEPTED == outcome(judged(store, code(), "alice"))
            with pytest.raises(kind):
                fail(store)
            assert verifier.ACCEPTED == outcome(judged(store, code(), "carol"))

    @pytest.mark.parametrize(
        ("fail", "kind"),
        [(fail_by_damage, SealingError), (fail_by_what_cannot_be_kept, ValueError)],
    )
    def test_a_failure_that_was_caught_inside_a_batch_is_not_forgotten(
        self, backend: BackendOnDisk, fail: Callable[[Store], None], kind: type[Exception]
    ) -> None:
        save_people(backend)
        damage_bob(backend)
        before = everything(backend)

        def fail_and_go_on(store: Store) -> None:
            for ask in (
                fail,
                lambda store: judged(store, code(), "carol"),
                judge_mallory,
                lambda store: store.have_told("dave", 1),
                lambda store: store.enroll_first("erin", ENROLLMENT, None),
                lambda store: store.admission("alice"),
            ):
                with pytest.raises(kind):
                    ask(store)

        with backend.open() as store:
            with pytest.raises(kind):
                in_a_batch(store, judge_alice, fail_and_go_on)
            assert before == everything(backend)
            assert verifier.ACCEPTED == outcome(judged(store, code(), "alice"))

    def test_a_commit_that_fails_is_told_and_keeps_nothing(self, backend: BackendOnDisk) -> None:
        save_people(backend)
        before = everything(backend)
        with backend.open() as store:
            with backend.failing_commits(), pytest.raises(StoreUnavailable):
                in_a_batch(store, ask_everything)
            assert before == everything(backend)
            with store.batch():
                ask_everything(store)
        assert before != everything(backend)

    def test_a_batch_holds_no_other(self, backend: BackendOnDisk) -> None:
        save_people(backend)
        before = everything(backend)
        with backend.open() as store:
            with pytest.raises(ValueError, match="transaction"):
                in_a_batch(store, judge_alice, in_a_batch)
            assert before == everything(backend)
            with store.batch():
                assert verifier.ACCEPTED == outcome(judged(store, code(), "alice"))
