"""Known places: a right answer makes one, and strangers do not shut it out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pam_totp.core import verifier
from pam_totp.core.places import KnownPlace
from pam_totp.core.verifier import Answer, Policy
from pam_totp.store import LoginAttempt
from pam_totp.system.audit import Source
from tests.contract.questions import ACCOUNT, WRONG, code, ready
from tests.contract.sample_records import NOW

if TYPE_CHECKING:
    from pam_totp.core.users import UserRecord
    from pam_totp.core.verifier import Verdict
    from pam_totp.store import LoginStore
    from tests.contract.backend import Backend

HOME = Source("sshd:auth", "alice", "::ffff:192.0.2.7", "ssh")
SUDO = Source("sudo:auth", "alice", tty="/dev/pts/1", ruser="alice")
ELSEWHERE = Source("sshd:auth", "alice", "198.51.100.9", "ssh")
BY_NAME = Source("sshd:auth", "alice", "home.example", "ssh")
HOUR = NOW - NOW % 3600
RECOVERY = Answer(verifier.RECOVERY_CODE, "0" * 16)
POLICY = Policy()


def answered(store: LoginStore, answer: Answer, source: Source) -> Verdict | None:
    return store.verify(
        LoginAttempt("alice", answer, POLICY, is_decoy=False, account=ACCOUNT, source=source)
    )


def outcome(store: LoginStore, answer: Answer, source: Source) -> str:
    verdict = answered(store, answer, source)
    assert verdict is not None
    return verdict.outcome


class KeepsKnownPlaces:
    @pytest.fixture(autouse=True)
    def _no_time_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: NOW + 0.9)

    def known(self, backend: Backend) -> tuple[KnownPlace, ...]:
        record = backend.load("alice")
        assert record is not None
        return record.known_places

    def saved(self, backend: Backend, **fields: object) -> UserRecord:
        """Save alice, who is known at home and by sudo, and throttled by others."""
        names = (backend.place_name(HOME.place), backend.place_name(SUDO.place))
        known = tuple(KnownPlace(name, HOUR) for name in names)
        record = ready()._replace(
            **{
                "known_places": known,
                "failures": 9,
                "throttled_until": NOW + 100,
                "created_at": 1,
                **fields,
            }
        )
        backend.save(record)
        return record

    @pytest.mark.parametrize("source", [HOME, SUDO])
    def test_a_right_answer_makes_its_place_known(self, backend: Backend, source: Source) -> None:
        backend.save(ready())
        with backend.open() as store:
            assert verifier.ACCEPTED == outcome(store, code(), source)
        assert (KnownPlace(backend.place_name(source.place), HOUR),) == self.known(backend)

    @pytest.mark.parametrize("source", [BY_NAME, Source("x:auth", "alice")])
    def test_nowhere_is_no_place(self, backend: Backend, source: Source) -> None:
        backend.save(ready())
        with backend.open() as store:
            assert verifier.ACCEPTED == outcome(store, code(), source)
        assert () == self.known(backend)

    def test_a_wait_of_strangers_is_not_that_of_known_places(self, backend: Backend) -> None:
        for source in (HOME, SUDO):
            self.saved(backend)
            with backend.open() as store:
                assert verifier.THROTTLED == outcome(store, code(), ELSEWHERE)
                assert verifier.THROTTLED == outcome(store, code(), BY_NAME)
                assert verifier.ACCEPTED == outcome(store, code(), source)
            record = backend.load("alice")
            assert record is not None
            assert (0, 0) == (record.failures, record.throttled_until)

    def test_nor_is_a_lock_of_theirs(self, backend: Backend) -> None:
        self.saved(backend, failures=80, throttled_until=0)
        with backend.open() as store:
            assert verifier.LOCKED == outcome(store, code(), ELSEWHERE)
            assert verifier.ACCEPTED == outcome(store, code(), HOME)

    def test_wrong_answers_are_counted_for_their_place_and_for_all(self, backend: Backend) -> None:
        before = self.saved(backend)
        with backend.open() as store:
            assert verifier.REJECTED == outcome(store, WRONG, HOME)
        home, sudo = self.known(backend)
        interval = POLICY.slow_period // POLICY.slow_guesses
        assert before.known_places[0]._replace(failures=1, guesses_until=NOW + interval) == home
        assert before.known_places[1] == sudo
        record = backend.load("alice")
        assert record is not None
        assert (10, NOW + 900) == (record.failures, record.throttled_until)

    def test_what_is_told_before_the_prompt_is_of_that_place(self, backend: Backend) -> None:
        self.saved(backend)
        with backend.open() as store:
            for source, expected in ((HOME, None), (SUDO, None), (ELSEWHERE, 100), (BY_NAME, 100)):
                record = store.admission("alice", source.place).record
                assert record is not None
                standing = verifier.standing(record, NOW, POLICY, place=source.place)
                assert expected == (standing and standing.wait)

    def test_a_recovery_code_is_hashed_where_it_is_looked_at(self, backend: Backend) -> None:
        self.saved(backend)
        with backend.open() as store:
            assert verifier.THROTTLED == outcome(store, RECOVERY, ELSEWHERE)
            assert answered(store, RECOVERY, HOME) is None
            hashed = RECOVERY._replace(salt=bytes(16), digest=bytes(32))
            assert verifier.RECOVERY_USED == outcome(store, hashed, HOME)

    def test_no_place_of_a_decoy_is_known(self, backend: Backend) -> None:
        self.saved(backend)
        with backend.open() as store:
            for _ in range(5):
                verdict = store.verify(
                    LoginAttempt(
                        "alice", WRONG, POLICY, is_decoy=True, account=ACCOUNT, source=HOME
                    )
                )
            assert verdict is not None
            assert 30 == verdict.wait
            verdict = store.verify(
                LoginAttempt("alice", WRONG, POLICY, is_decoy=True, account=ACCOUNT, source=SUDO)
            )
        assert verdict is not None
        assert (verifier.THROTTLED, 30) == (verdict.outcome, verdict.wait)
