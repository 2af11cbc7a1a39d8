"""Unknown names are counted as users are, and never get in."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pam_totp.core import otp, verifier
from pam_totp.core.verifier import Answer, Policy
from tests.contract.backend import Backend
from tests.contract.sample_records import NOW, ODD_NAMES

if TYPE_CHECKING:
    from pam_totp.store import Store


class KeepsDecoys:
    def test_a_decoy_counts_failures_for_its_name_alone(self, backend: Backend) -> None:
        policy = Policy()
        with backend.open() as store:
            for number in range(1, 4):
                with store.decoy_transaction("mallory") as transaction:
                    verdict, changed = verifier.verify(
                        transaction.record, Answer(verifier.CODE, "nobody"), NOW, policy
                    )
                    transaction.save(changed)
                assert verifier.REJECTED == verdict.outcome
                assert number == store.admission("mallory").decoy.failures
            assert 0 == store.admission("trent").decoy.failures
        with backend.open() as store:
            assert 3 == store.admission("mallory").decoy.failures
            assert store.load("mallory") is None
            assert [] == list(store.records())

    def test_a_decoy_is_throttled_as_a_user_is(self, store: Store) -> None:
        policy, outcomes = Policy(throttle_after=3), []
        for _ in range(4):
            with store.decoy_transaction("mallory") as transaction:
                answer = Answer(verifier.CODE, "nobody")
                verdict, changed = verifier.verify(transaction.record, answer, NOW, policy)
                transaction.save(changed)
            outcomes.append(verdict.outcome)
        assert [verifier.REJECTED] * 3 + [verifier.THROTTLED] == outcomes
        assert NOW + 30 == store.admission("mallory").decoy.throttled_until

    def test_a_decoy_never_accepts_not_even_the_code_it_waits_for(self, store: Store) -> None:
        with store.decoy_transaction("mallory") as transaction:
            decoy = transaction.record
        (authenticator,) = decoy.authenticators
        assert authenticator.secret is not None
        code = otp.hotp(authenticator.secret, otp.time_step(NOW, authenticator.period))
        (digest,) = decoy.recovery_digests
        for answer in (
            Answer(verifier.CODE, code),
            Answer(verifier.RECOVERY_CODE, "", decoy.recovery_salt, digest),
        ):
            verdict, _ = verifier.verify(decoy, answer, NOW, Policy())
            assert verifier.REJECTED == verdict.outcome

    def test_a_decoy_is_the_same_for_the_same_name_and_differs_between_names(
        self, backend: Backend
    ) -> None:
        with backend.open() as one, backend.open() as other:
            assert one.admission("mallory").decoy == other.admission("mallory").decoy
            decoys = [one.admission(name).decoy for name in ODD_NAMES]
            seen = {(decoy.recovery_salt, decoy.recovery_digests) for decoy in decoys}
        assert len(ODD_NAMES) == len(seen)

    def test_a_decoy_holds_as_many_bytes_of_salt_and_digest_as_a_user(self, store: Store) -> None:
        decoy = store.admission("mallory").decoy
        assert decoy.recovery_salt is not None
        assert 16 == len(decoy.recovery_salt)
        assert {32} == {len(digest) for digest in decoy.recovery_digests}

    def test_an_exception_in_the_transaction_of_a_decoy_writes_nothing(self, store: Store) -> None:
        with suppress(ZeroDivisionError), store.decoy_transaction("mallory") as transaction:
            transaction.save(transaction.record._replace(failures=5))
            raise ZeroDivisionError
        assert 0 == store.admission("mallory").decoy.failures

    def test_a_decoy_cannot_be_removed(self, store: Store) -> None:
        with pytest.raises(ValueError, match="decoy"), store.decoy_transaction("x") as transaction:
            transaction.save(None)

    def test_decoys_of_any_name_can_be_had(self, store: Store) -> None:
        for name in (*ODD_NAMES, "", "not utf-8 \udcff"):
            with store.decoy_transaction(name) as transaction:
                transaction.save(transaction.record._replace(failures=1))
            assert 1 <= store.admission(name).decoy.failures
