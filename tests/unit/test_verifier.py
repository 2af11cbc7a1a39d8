"""Recovery codes, users who may not log in; what a record shows."""

from __future__ import annotations

import pytest

from pam_totp.core.users import EXEMPT, MUST_ENROLL, SUSPENDED, UserRecord
from pam_totp.core.verifier import (
    ACCEPTED,
    RECOVERY_CODE,
    RECOVERY_USED,
    REJECTED,
    Answer,
    Verdict,
    verify,
)
from tests.support.each import each
from tests.unit.alice import (
    ALICE,
    DIGESTS,
    NOW,
    PHONE,
    POLICY,
    SALT,
    STEP,
    WRONG,
    code,
    recovery_code,
)


def test_a_recovery_code_is_used_up_with_its_acceptance() -> None:
    record = ALICE._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
    verdict, record = verify(record, recovery_code(DIGESTS[1]), NOW, POLICY)
    assert Verdict(RECOVERY_USED, recovery_codes_left=2) == verdict
    assert frozenset((DIGESTS[0], DIGESTS[2])) == record.recovery_digests
    verdict, record = verify(record, recovery_code(DIGESTS[1]), NOW, POLICY)
    assert Verdict(REJECTED) == verdict
    assert 1 == record.failures


def test_the_last_recovery_code_leaves_none() -> None:
    record = ALICE._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS[:1]))
    verdict, record = verify(record, recovery_code(DIGESTS[0]), NOW, POLICY)
    assert Verdict(RECOVERY_USED, recovery_codes_left=0) == verdict
    assert frozenset() == record.recovery_digests


def test_a_recovery_code_leaves_the_authenticators_alone() -> None:
    record = ALICE._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
    _, record = verify(record, recovery_code(DIGESTS[0]), NOW, POLICY)
    assert (PHONE,) == record.authenticators


@pytest.mark.parametrize("salt", [None, b"", bytes(16)])
def test_a_digest_made_with_another_salt_is_refused(salt: bytes | None) -> None:
    """A fresh set of codes was issued between the hashing and the transaction."""
    record = ALICE._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
    verdict, after = verify(record, recovery_code(DIGESTS[0], salt), NOW, POLICY)
    assert Verdict(REJECTED) == verdict
    assert record.recovery_digests == after.recovery_digests


def test_a_user_without_recovery_codes_has_none_accepted() -> None:
    assert REJECTED == verify(ALICE, recovery_code(DIGESTS[0], None), NOW, POLICY)[0].outcome


@each("status", [SUSPENDED, MUST_ENROLL, "unheard of"])
@each(
    "answer",
    [code(STEP), code(STEP - 1), WRONG, recovery_code(DIGESTS[0])],
    ids=["right", "replayed", "wrong", "recovery"],
)
def test_whoever_is_not_active_is_rejected_and_counted_like_a_wrong_code(
    status: str, answer: Answer
) -> None:
    record = ALICE._replace(
        status=status,
        recovery_salt=SALT,
        recovery_digests=frozenset(DIGESTS),
        authenticators=(PHONE._replace(last_accepted_step=STEP - 1),),
    )
    verdict, after = verify(record, answer, NOW, POLICY)
    assert Verdict(REJECTED) == verdict
    debt = 0 if answer.kind == RECOVERY_CODE else 30 * 86_400 // 100
    counted = record._replace(failures=1, updated_at=NOW, untold=1)
    assert counted._replace(guesses_until=NOW + debt if debt else 0) == after


@pytest.mark.parametrize("until", [0, NOW - 1, NOW + 1])
def test_a_good_code_is_accepted_of_whoever_was_exempt(until: int) -> None:
    """An exemption that has ended must not be a lock; nor one that came while they typed."""
    record = ALICE._replace(status=EXEMPT, exempt_until=until, authenticators=(PHONE,))
    assert ACCEPTED == verify(record, code(STEP), NOW, POLICY)[0].outcome
    assert REJECTED == verify(record, WRONG, NOW, POLICY)[0].outcome


def test_right_codes_of_a_suspended_user_are_throttled_as_wrong_ones_are() -> None:
    suspended = UserRecord("alice", SUSPENDED, authenticators=(PHONE,))
    active, now = ALICE, NOW
    for _ in range(30):
        verdict, suspended = verify(suspended, code(now // 30), now, POLICY)
        expected, active = verify(active, WRONG, now, POLICY)
        assert expected == verdict
        assert active._replace(status=SUSPENDED) == suspended
        now += 31


def test_records_do_not_show_their_secrets() -> None:
    record = ALICE._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
    assert "<Authenticator 'phone' SHA1/6/30>" == repr(PHONE) == str(PHONE)
    assert "<UserRecord 'alice' active>" == repr(record) == str(record)
