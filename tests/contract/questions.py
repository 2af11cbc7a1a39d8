"""The questions of a login: each is answered in one step, and durably."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from pam_totp.core import otp, verifier
from pam_totp.core.admission import REQUIRED, GroupRule
from pam_totp.core.enrollment import Enrollment
from pam_totp.core.users import ACTIVE, MUST_ENROLL, SUSPENDED, Account, UserRecord
from pam_totp.core.verifier import Answer, Policy
from pam_totp.store import LoginAttempt
from pam_totp.system.audit import Source
from tests.contract.backend import Backend
from tests.contract.sample_records import (
    NOW,
    ODD_NAMES,
    full_record,
    phone,
    tablet,
    without_secrets,
)

if TYPE_CHECKING:
    from pam_totp.core.verifier import Verdict
    from pam_totp.store import LoginStore
    from tests.contract.backend import BothFaces

ACCOUNT = Account(1000, is_local=True)
SOURCE = Source("sshd:auth", "alice", "198.51.100.7")
ENROLLMENT = Enrollment(phone(), bytes(16), frozenset((bytes(32), b"\1" * 32)), ACCOUNT)
RULE = GroupRule("staff", REQUIRED)
WRONG = Answer(verifier.CODE, "nobody")


def code() -> Answer:
    authenticator = phone()
    assert authenticator.secret is not None
    step = otp.time_step(NOW, authenticator.period) + authenticator.drift
    digits = otp.hotp(authenticator.secret, step, authenticator.algorithm, authenticator.digits)
    return Answer(verifier.CODE, digits)


def ready() -> UserRecord:
    """A user whose phone shows code() now, and who has one recovery code, of digest 0."""
    authenticator = phone()._replace(last_accepted_step=-1)
    return UserRecord(
        "alice",
        recovery_salt=bytes(16),
        recovery_digests=frozenset((bytes(32),)),
        authenticators=(authenticator,),
    )


def of_counter(counter: int) -> Answer:
    secret = phone().secret
    assert secret is not None
    return Answer(verifier.CODE, otp.hotp(secret, counter))


def holder(counter: int = 0) -> UserRecord:
    """A user with a token whose next code is that of ``counter``."""
    token = phone("id of the token", "token", kind=otp.HOTP, last_accepted_step=counter - 1)
    return ready()._replace(authenticators=(token,))


def at_once(backend: Backend, answers: list[Answer]) -> list[str]:
    """Return the outcome of each answer, all given at the same moment."""
    outcomes = [""] * len(answers)
    start = threading.Barrier(len(answers))

    def log_in(number: int) -> None:
        with backend.open() as store:
            start.wait()
            verdict = judged(store, answers[number])
        assert verdict is not None
        outcomes[number] = verdict.outcome

    threads = [threading.Thread(target=log_in, args=(number,)) for number in range(len(answers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


def judged(
    store: LoginStore,
    answer: Answer,
    name: str = "alice",
    *,
    is_decoy: bool = False,
    account: Account | None = ACCOUNT,
) -> Verdict | None:
    return store.verify(
        LoginAttempt(name, answer, Policy(), is_decoy=is_decoy, account=account, source=SOURCE)
    )


class AnswersLogins:
    @pytest.fixture(autouse=True)
    def _time_stands_still(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: NOW + 0.9)

    # admission

    def test_what_is_known_of_a_name_is_told_in_one_answer(self, backend: Backend) -> None:
        backend.save(full_record())
        with backend.open() as store:
            store.save_group_rule(RULE)
            known = store.admission("alice")
            assert (backend.as_told(full_record()), (RULE,), NOW) == (
                known.record,
                known.rules,
                known.at,
            )

    def test_of_a_name_that_is_not_known_the_same_is_told(self, store: BothFaces) -> None:
        for name in (*ODD_NAMES, "", "not utf-8 \udcff"):
            known = store.admission(name)
            assert (None, ()) == (known.record, known.rules)
            assert known.decoy.recovery_salt is not None

    def test_a_name_that_no_store_holds_is_not_taken_for_another(self, backend: Backend) -> None:
        backend.save(ready()._replace(name="al?ce"))
        with backend.open() as store:
            assert store.admission("al\udcffce").record is None

    # verify

    def test_an_accepted_code_is_used_up_when_it_is_told(self, backend: Backend) -> None:
        backend.save(ready())
        with backend.open() as store:
            verdict = judged(store, code())
            assert verdict is not None
            assert verifier.ACCEPTED == verdict.outcome
            record = backend.load("alice")  # by somebody else
            assert record is not None
            (authenticator,) = record.authenticators
            assert NOW == authenticator.last_used_at
            again = judged(store, code())
        assert again is not None
        assert verifier.REPLAYED == again.outcome

    def test_of_many_at_once_one_is_accepted(self, backend: Backend) -> None:
        for record, answer in ((ready(), code()), (holder(7), of_counter(7))):
            backend.save(record)
            outcomes = at_once(backend, [answer] * 8)
            assert [verifier.ACCEPTED] + [verifier.REPLAYED] * 7 == sorted(outcomes)

    def test_of_codes_of_a_counter_at_once_none_is_accepted_after_a_later_one(
        self, backend: Backend
    ) -> None:
        backend.save(holder())
        counters = [0, 2, 1, 2]
        outcomes = at_once(backend, [of_counter(counter) for counter in counters])
        accepted = [
            n for n, outcome in zip(counters, outcomes, strict=True) if outcome == "accepted"
        ]
        assert 2 in accepted
        assert sorted(set(accepted)) == sorted(accepted)
        record = backend.load("alice")
        assert record is not None
        assert 3 == record.authenticators[0].counter
        with backend.open() as store:
            again = [judged(store, of_counter(counter)) for counter in (0, 1, 2)]
        assert ["rejected", "rejected", "replayed"] == [v.outcome for v in again if v]

    def test_of_codes_that_share_a_transaction_each_sees_those_before(
        self, backend: Backend
    ) -> None:
        backend.save(holder())
        with backend.open() as store:
            with store.batch():
                verdicts = [judged(store, of_counter(counter)) for counter in (1, 1, 0, 2, 2)]
            outcomes = [verdict.outcome for verdict in verdicts if verdict is not None]
        assert ["accepted", "replayed", "rejected", "accepted", "replayed"] == outcomes
        record = backend.load("alice")
        assert record is not None
        assert 3 == record.authenticators[0].counter

    def test_a_wrong_code_is_counted_when_it_is_told(self, backend: Backend) -> None:
        backend.save(ready())
        with backend.open() as store:
            verdict = judged(store, Answer(verifier.CODE, "nobody"))
        assert verdict is not None
        assert verifier.REJECTED == verdict.outcome
        record = backend.load("alice")
        assert record is not None
        assert (1, 1, None) == (record.failures, record.untold, record.uid)

    def test_a_decoy_is_judged_and_counted_and_never_accepted(self, backend: Backend) -> None:
        backend.save(ready())
        with backend.open() as store:
            for name in ("alice", "mallory"):
                verdict = judged(store, code(), name, is_decoy=True)
                assert verdict is not None
                assert verifier.REJECTED == verdict.outcome
                assert 1 == store.admission(name).decoy.failures
        assert without_secrets(ready()) == backend.load("alice")

    def test_a_user_who_is_gone_is_rejected(self, backend: Backend) -> None:
        backend.save(UserRecord("bob"))
        with backend.open() as store:
            for name in ("bob", "trent"):
                verdict = judged(store, code(), name)
                assert verdict is not None
                assert verifier.REJECTED == verdict.outcome
            assert store.load("trent") is None

    def test_a_recovery_code_without_its_digest_is_judged_only_where_it_is_not_looked_at(
        self, backend: Backend
    ) -> None:
        backend.save(ready())
        given = Answer(verifier.RECOVERY_CODE, "0" * 16)
        hashed = given._replace(salt=bytes(16), digest=bytes(32))
        with backend.open() as store:
            assert judged(store, given) is None
            assert without_secrets(ready()) == backend.load("alice")
            verdict = judged(store, hashed)
            assert verdict is not None
            assert (verifier.RECOVERY_USED, 0) == (verdict.outcome, verdict.recovery_codes_left)
        backend.save(ready()._replace(failures=100))
        with backend.open() as store:
            verdict = judged(store, given)
        assert verdict is not None
        assert verifier.LOCKED == verdict.outcome

    # enroll_first

    @pytest.mark.parametrize("before", [None, UserRecord("alice", MUST_ENROLL, created_at=5)])
    def test_a_first_enrollment_is_kept_whole(
        self, backend: Backend, before: UserRecord | None
    ) -> None:
        if before is not None:
            backend.save(before)
        with backend.open() as store:
            assert store.enroll_first("alice", ENROLLMENT, before)
        made = UserRecord(
            "alice",
            ACTIVE,
            recovery_salt=bytes(16),
            recovery_digests=ENROLLMENT.digests,
            authenticators=(phone(),),
            created_at=NOW if before is None else 5,
            updated_at=NOW,
            uid=1000,
            bound_at=NOW,
        )
        kept = backend.load_with_secrets("alice")
        assert kept is not None
        assert backend.as_kept(made) == backend.as_kept(kept)

    @pytest.mark.parametrize(
        "meanwhile", [UserRecord("alice", SUSPENDED), UserRecord("alice", MUST_ENROLL, failures=1)]
    )
    def test_whoever_was_faster_is_not_overruled(
        self, backend: Backend, meanwhile: UserRecord
    ) -> None:
        backend.save(meanwhile)
        with backend.open() as store:
            assert not store.enroll_first("alice", ENROLLMENT, None)
            assert not store.enroll_first("alice", ENROLLMENT, UserRecord("alice", MUST_ENROLL))
        assert meanwhile == backend.load_with_secrets("alice")

    def test_of_two_first_enrollments_one_is_kept(self, backend: Backend) -> None:
        other = ENROLLMENT._replace(authenticator=tablet())
        with backend.open() as one, backend.open() as two:
            kept = [
                one.enroll_first("alice", ENROLLMENT, None),
                two.enroll_first("alice", other, None),
            ]
        assert [True, False] == kept
        record = backend.load_with_secrets("alice")
        assert record is not None
        assert ["phone"] == [a.label for a in record.authenticators]

    # what is only noted

    @pytest.mark.parametrize(("told", "left"), [(0, 3), (2, 1), (3, 0), (7, 0)])
    def test_wrong_codes_that_were_told_are_told_no_more(
        self, backend: Backend, told: int, left: int
    ) -> None:
        backend.save(ready()._replace(untold=3))
        with backend.open() as store:
            store.have_told("alice", told)
            store.have_told("mallory", told)
            assert store.load("mallory") is None
        record = backend.load("alice")
        assert record is not None
        assert left == record.untold
