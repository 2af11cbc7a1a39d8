"""A store on disk hands out the decoy of a name as the record that this program judges.

Where an engine judges, nobody sees a decoy: there, tests/contract/decoys.py says all of it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pam_totp.core import otp, verifier
from pam_totp.core.verifier import Answer, Policy
from tests.contract.backend import BackendOnDisk
from tests.contract.sample_records import NOW, ODD_NAMES, full_record

if TYPE_CHECKING:
    from pam_totp.store import Store


class HandsOutDecoys:
    def test_the_record_of_a_decoy_is_what_a_login_is_told(self, backend: BackendOnDisk) -> None:
        backend.save(full_record())
        with backend.open() as store:
            for name in ("alice", *ODD_NAMES, "", "not utf-8 \udcff"):
                with store.decoy_transaction(name) as decoy:
                    assert decoy.record == store.admission(name).decoy

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
