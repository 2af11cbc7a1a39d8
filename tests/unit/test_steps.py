"""Which steps are accepted, of which authenticators."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core import otp
from pam_totp.core.users import ACTIVE, SUSPENDED, Authenticator, UserRecord
from pam_totp.core.verifier import ACCEPTED, CODE, REJECTED, Answer, Policy, Verdict, verify
from tests.support.each import each
from tests.unit.alice import (
    ALICE,
    NOW,
    OTHER_SECRET,
    PHONE,
    POLICY,
    SECRET,
    STEP,
    TABLET,
    WRONG,
    code,
)


def test_the_codes_of_these_tests_are_no_others_by_chance() -> None:
    for secret in (SECRET, OTHER_SECRET):
        assert [] == otp.matching_steps(WRONG.code, secret, range(STEP - 8000, STEP + 8000))
        assert 201 == len({otp.hotp(secret, step) for step in range(STEP - 100, STEP + 101)})


def test_the_code_of_now_is_accepted() -> None:
    verdict, record = verify(ALICE, code(STEP), NOW, POLICY)
    assert Verdict(ACCEPTED, "phone") == verdict
    used = PHONE._replace(last_accepted_step=STEP, last_used_at=NOW, learned=5)
    assert ALICE._replace(authenticators=(used,)) == record


@each("window", range(11))
@each("second", [0, 29])
def test_exactly_the_steps_of_the_window_are_accepted(window: int, second: int) -> None:
    policy = Policy(window=window)
    accepted = [
        offset
        for offset in range(-13, 14)
        if verify(ALICE, code(STEP + offset), NOW + second, policy)[0].outcome == ACCEPTED
    ]
    assert list(range(-window, window + 1)) == accepted


@pytest.mark.parametrize("drift", [-100, -3, 2, 100])
def test_drift_shifts_the_window(drift: int) -> None:
    record = ALICE._replace(authenticators=(PHONE._replace(drift=drift),))
    accepted = [
        offset
        for offset in range(drift - 5, drift + 6)
        if verify(record, code(STEP + offset), NOW, POLICY)[0].outcome == ACCEPTED
    ]
    assert [drift - 1, drift, drift + 1] == accepted


@each(("algorithm", "size"), [("SHA1", 20), ("SHA256", 32), ("SHA512", 64)])
@each("digits", [6, 8])
@each("period", [30, 60])
def test_every_kind_of_authenticator_is_verified(
    algorithm: str, size: int, digits: int, period: int
) -> None:
    secret = (b"1234567890" * 7)[:size]
    authenticator = Authenticator("1", "phone", secret, algorithm, digits, period)
    record = UserRecord("alice", authenticators=(authenticator,))
    right = code(NOW // period, secret, algorithm, digits)
    assert ACCEPTED == verify(record, right, NOW, POLICY)[0].outcome
    for other in {"SHA1", "SHA256", "SHA512"} - {algorithm}:
        wrong = code(NOW // period, secret, other, digits)
        assert REJECTED == verify(record, wrong, NOW, POLICY)[0].outcome


def test_the_last_digits_of_a_longer_code_are_not_that_code() -> None:
    record = ALICE._replace(authenticators=(PHONE._replace(digits=8),))
    assert REJECTED == verify(record, code(STEP), NOW, POLICY)[0].outcome


def test_every_authenticator_of_the_user_is_computed_whichever_matches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed: list[bytes] = []
    matching_steps = otp.matching_steps

    def watched(given: str, secret: bytes, steps: range, *parameters: object) -> list[int]:
        computed.extend(secret for _ in steps)
        return matching_steps(given, secret, steps, *parameters)

    monkeypatch.setattr(otp, "matching_steps", watched)
    record = ALICE._replace(authenticators=(PHONE, TABLET))
    for answer in (code(STEP), code(STEP, OTHER_SECRET), WRONG, Answer(CODE, "12345678")):
        computed.clear()
        verify(record, answer, NOW, POLICY)
        assert [SECRET] * 3 + [OTHER_SECRET] * 3 == computed[:6]
        assert {SECRET} >= set(computed[6:])  # for the log: one of them, whose turn it is


def without_sightings(record: UserRecord) -> UserRecord:
    return record._replace(
        authenticators=tuple(
            a._replace(clock_offset=0, clock_sightings=0) for a in record.authenticators
        )
    )


@given(
    st.permutations(range(4)),
    st.integers(0, 3),
    st.integers(-3, 3),
    st.integers(-1, 2),
    st.sampled_from((ACTIVE, SUSPENDED)),
)
def test_the_verdict_does_not_depend_on_which_authenticator_holds_the_code_or_on_their_order(
    order: list[int], holder: int, offset: int, already_accepted: int, status: str
) -> None:
    authenticators = [
        Authenticator(str(n), f"app {n}", bytes([n]) * 20, last_accepted_step=STEP - 5)
        for n in range(4)
    ]
    if already_accepted >= 0:
        authenticators[holder] = authenticators[holder]._replace(
            last_accepted_step=STEP + already_accepted - 1
        )
    record = UserRecord("alice", status, authenticators=tuple(authenticators[n] for n in order))
    answer = code(STEP + offset, bytes([holder]) * 20)
    verdict, after = verify(record, answer, NOW, POLICY)

    alone = UserRecord("alice", status, authenticators=(authenticators[holder],))
    expected, expected_after = verify(alone, answer, NOW, POLICY)
    if verdict.outcome == REJECTED:  # whose turn it is to be looked at for the log may differ
        expected, verdict = (
            v._replace(authenticator="", clock_offset=0) for v in (expected, verdict)
        )
        expected_after, after = without_sightings(expected_after), without_sightings(after)
    assert expected == verdict
    assert expected_after.failures == after.failures
    unchanged = {a for a in record.authenticators if a.id != str(holder)}
    assert unchanged | set(expected_after.authenticators) == set(after.authenticators)
    assert [a.id for a in record.authenticators] == [a.id for a in after.authenticators]


def test_a_code_that_is_fresh_for_one_and_used_for_another_authenticator_is_accepted() -> None:
    used = Authenticator("1", "old phone", SECRET, last_accepted_step=STEP)
    record = ALICE._replace(authenticators=(used, Authenticator("2", "new phone", SECRET)))
    assert Verdict(ACCEPTED, "new phone") == verify(record, code(STEP), NOW, POLICY)[0]


def test_a_record_without_its_secrets_cannot_be_verified() -> None:
    record = ALICE._replace(authenticators=(PHONE._replace(secret=None),))
    with pytest.raises(ValueError, match="without its secrets"):
        verify(record, WRONG, NOW, POLICY)


def test_nothing_is_accepted_of_a_user_without_authenticators() -> None:
    assert REJECTED == verify(UserRecord("alice"), code(STEP), NOW, POLICY)[0].outcome
