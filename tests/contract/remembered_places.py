"""Remembered places: a right code makes one, and whatever counts against its user ends all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pam_totp.core import verifier
from pam_totp.core.remembering import ADDRESS, AT_MOST, LOGIN, Remembered, Wish
from pam_totp.core.users import MUST_ENROLL, UserRecord
from pam_totp.core.verifier import Answer, Policy
from pam_totp.store import LoginAttempt
from pam_totp.system.audit import Source
from tests.contract.questions import ACCOUNT, ENROLLMENT, WRONG, code, ready
from tests.contract.sample_records import NOW

if TYPE_CHECKING:
    from pam_totp.store import LoginStore
    from tests.contract.backend import Backend

SOURCE = Source("sshd:auth", "alice", "192.0.2.7", "ssh")
HOME, SESSION = (ADDRESS, "192.0.2.7"), (LOGIN, "51e6369c:700:9000")
WISH = Wish("sshd", (HOME, SESSION), 3600, "20000.0a1b2c3d")
RECOVERY = Answer(verifier.RECOVERY_CODE, "0" * 16, salt=bytes(16), digest=bytes(32))
EARLIER = Remembered("sudo", ADDRESS, "192.0.2.8", NOW - 60, NOW + 60, "-")


def answered(store: LoginStore, answer: Answer, *, is_decoy: bool = False) -> str:
    verdict = store.verify(
        LoginAttempt(
            "alice",
            answer,
            Policy(),
            is_decoy=is_decoy,
            account=ACCOUNT,
            source=SOURCE,
            remember=WISH,
        )
    )
    assert verdict is not None
    return verdict.outcome


class KeepsRememberedPlaces:
    @pytest.fixture(autouse=True)
    def _time_stands_still(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: NOW + 0.9)

    def of_this_host(self, backend: Backend, store: LoginStore) -> tuple[Remembered, ...]:
        """Return what a login hears, which is what is kept: but for the name of the host."""
        record, kept = store.admission("alice", "").record, backend.load("alice")
        assert record is not None
        assert kept is not None
        assert record.remembered == tuple(one._replace(host="") for one in kept.remembered)
        return record.remembered

    def test_a_right_code_is_remembered_by_each_note(self, backend: Backend) -> None:
        backend.save(ready())
        with backend.open() as store:
            assert verifier.ACCEPTED == answered(store, code())
            expected = [
                Remembered("sshd", *note, NOW, NOW + 3600, WISH.password) for note in WISH.notes
            ]
            assert expected == list(self.of_this_host(backend, store))

    @pytest.mark.parametrize("answer", [WRONG, RECOVERY], ids=["a wrong one", "a recovery code"])
    def test_any_other_answer_ends_all(self, backend: Backend, answer: Answer) -> None:
        backend.save(ready())
        with backend.open() as store:
            answered(store, code())
            assert self.of_this_host(backend, store)
            assert verifier.ACCEPTED != answered(store, answer)
            assert () == self.of_this_host(backend, store)

    def test_a_code_that_was_used_changes_nothing(self, backend: Backend) -> None:
        backend.save(ready())
        with backend.open() as store:
            answered(store, code())
            before = self.of_this_host(backend, store)
            assert verifier.REPLAYED == answered(store, code())
            assert before == self.of_this_host(backend, store)

    def test_a_decoy_neither_earns_nor_ends_it(self, backend: Backend) -> None:
        backend.save(ready())
        with backend.open() as store:
            answered(store, code())
            before = self.of_this_host(backend, store)
            assert verifier.REJECTED == answered(store, WRONG, is_decoy=True)
            assert before == self.of_this_host(backend, store)

    def test_what_an_administrator_saves_is_kept_and_can_be_taken_away(
        self, backend: Backend
    ) -> None:
        backend.save(ready()._replace(remembered=(EARLIER,)))
        record = backend.load("alice")
        assert record is not None
        assert (EARLIER,) == record.remembered
        backend.save(ready())
        record = backend.load("alice")
        assert record is not None
        assert () == record.remembered

    def test_a_first_enrollment_ends_all(self, backend: Backend) -> None:
        waiting = UserRecord("alice", MUST_ENROLL)
        backend.save(waiting._replace(remembered=backend.as_of_a_login((EARLIER,))))
        with backend.open() as store:
            assert (EARLIER,) == self.of_this_host(backend, store)
            before = store.admission("alice", "").record
            assert store.enroll_first("alice", ENROLLMENT, before)
            assert () == self.of_this_host(backend, store)

    def test_the_table_of_a_user_does_not_grow(self, backend: Backend) -> None:
        many = tuple(EARLIER._replace(place=f"192.0.2.{n}") for n in range(100, 100 + AT_MOST))
        backend.save(ready()._replace(remembered=backend.as_of_a_login(many)))
        with backend.open() as store:
            answered(store, code())
            kept = self.of_this_host(backend, store)
        assert [one.place for one in many[2:]] == [one.place for one in kept[:-2]]
        assert [note[1] for note in WISH.notes] == [one.place for one in kept[-2:]]

    def test_what_is_over_or_of_the_future_makes_way(self, backend: Backend) -> None:
        over = EARLIER._replace(until=NOW)
        future = EARLIER._replace(place="192.0.2.9", since=NOW + 1, until=NOW + 9)
        backend.save(ready()._replace(remembered=backend.as_of_a_login((over, future))))
        with backend.open() as store:
            answered(store, code())
            assert len(WISH.notes) == len(self.of_this_host(backend, store))
