"""HOTP: each counter once, only forwards, and with the work of a clock (RFC 4226)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.core import clock_skew, otp
from pam_totp.core.users import SUSPENDED, UserRecord
from pam_totp.core.verifier import ACCEPTED, REJECTED, REPLAYED, Answer, Policy, Verdict, verify
from pam_totp.login import messages
from tests.support.each import each
from tests.support.place import ROOT
from tests.unit.alice import NOW, PHONE, POLICY, TABLET, WRONG, code

TOKEN = PHONE._replace(id="3", label="token", kind=otp.HOTP)
HOLDER = UserRecord("alice", authenticators=(TOKEN,))
LOOK_AHEAD = POLICY.look_ahead


def token_at(counter: int) -> UserRecord:
    """Return the record of somebody whose next code is that of ``counter``."""
    return HOLDER._replace(authenticators=(TOKEN._replace(last_accepted_step=counter - 1),))


def counter_of(record: UserRecord) -> int | None:
    return record.authenticators[0].counter


def test_the_codes_of_the_rfc_are_accepted_in_their_order_each_once() -> None:
    """RFC 4226 appendix D."""
    vectors = json.loads((ROOT / "tests/vectors/rfc4226_appendix_d.json").read_text("utf-8"))
    secret = bytes.fromhex(vectors["secret_hex"])
    record = HOLDER._replace(authenticators=(TOKEN._replace(secret=secret),))
    for counter, shown in enumerate(vectors["codes"]):
        verdict, record = verify(record, Answer("code", shown), NOW, POLICY)
        assert Verdict(ACCEPTED, "token") == verdict
        assert counter + 1 == counter_of(record)
        again, after = verify(record, Answer("code", shown), NOW, POLICY)
        assert (Verdict(REPLAYED, "token"), record) == (again, after)


@each("look_ahead", [1, 5, 20])
@each("counter", [0, 1, 57, 10**15])
def test_the_look_ahead_ends_after_so_many_codes(look_ahead: int, counter: int) -> None:
    policy = Policy(look_ahead=look_ahead)
    record = token_at(counter)
    for ahead in range(look_ahead):
        verdict, after = verify(record, code(counter + ahead), NOW, policy)
        assert ACCEPTED == verdict.outcome
        assert counter + ahead + 1 == counter_of(after)
    verdict, after = verify(record, code(counter + look_ahead), NOW, policy)
    assert (REJECTED, "token", look_ahead) == (*verdict[:2], verdict.clock_offset)
    assert (counter, 1) == (counter_of(after), after.failures)


def test_codes_that_were_skipped_are_void() -> None:
    _, record = verify(token_at(0), code(3), NOW, POLICY)
    assert [REJECTED] * 3 == [verify(record, code(n), NOW, POLICY)[0].outcome for n in range(3)]


def test_no_counter_before_the_first_has_a_code() -> None:
    """The look at the last accepted counter is one at 2**64 - 1 while there is none."""
    shown = Answer("code", otp.hotp(PHONE.secret or b"", 2**64 - 1))
    assert REJECTED == verify(token_at(0), shown, NOW, POLICY)[0].outcome


@pytest.mark.parametrize("now", [0, NOW, 10**10])
def test_the_time_means_nothing(now: int) -> None:
    verdict, record = verify(token_at(7), code(7), now, POLICY)
    assert (ACCEPTED, 0) == (verdict.outcome, record.authenticators[0].drift)
    assert not verify(record, WRONG, 0, POLICY)[0].clock_is_behind
    assert record == record.unlocked(0, 1)


def test_a_code_of_the_time_is_not_one_of_a_counter() -> None:
    assert REJECTED == verify(token_at(0), code(NOW // 30), NOW, POLICY)[0].outcome
    record = HOLDER._replace(authenticators=(PHONE,))
    assert REJECTED == verify(record, code(0), NOW, POLICY)[0].outcome


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 20), st.integers(0, 3))
def test_no_counter_is_accepted_twice_nor_one_before_it(
    shown: list[int], look_ahead: int, window: int
) -> None:
    policy = Policy(window=window, look_ahead=look_ahead, throttle_after=100)
    record, accepted = token_at(0), [-1]
    for counter in shown:
        verdict, record = verify(record, code(counter), NOW, policy)
        if verdict.outcome == ACCEPTED:
            assert accepted[-1] < counter <= accepted[-1] + look_ahead
            accepted.append(counter)
        else:
            assert (verdict.outcome == REPLAYED) == (counter == accepted[-1])
        assert accepted[-1] + 1 == counter_of(record)


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.integers(0, 10), st.integers(1, 20))
def test_a_rejected_code_is_compared_as_often_for_every_kind(
    kinds: list[bool], window: int, look_ahead: int
) -> None:
    policy = Policy(window=window, look_ahead=look_ahead)
    for record in _holders(kinds):
        assert clock_skew.STEPS_SEARCHED + (2 * window + 1) * len(kinds) == _compared(
            record, policy
        ), record.authenticators


def _holders(kinds: list[bool]) -> Iterator[UserRecord]:
    """Yield the same number of authenticators: some that count, and none; all by turns."""
    for counting in (kinds, [False] * len(kinds)):
        held = tuple(
            (TOKEN if counts else TABLET)._replace(id=str(number))
            for number, counts in enumerate(counting)
        )
        for failures in range(min(len(held), POLICY.throttle_after - 1)):
            yield UserRecord("alice", failures=failures, authenticators=held)
        yield UserRecord("alice", SUSPENDED, authenticators=held)


def _compared(record: UserRecord, policy: Policy) -> int:
    counted = 0

    def watched(authenticator: object, code: str, steps: Iterator[int]) -> list[int]:
        nonlocal counted
        counted += len(list(steps))
        return []

    verify(record, WRONG, NOW, policy, watched)  # type: ignore[arg-type]
    return counted


def test_the_person_is_told_to_press_the_button_again() -> None:
    said = messages.for_verdict(Verdict(REPLAYED, "token"), "alice")
    assert (
        "This code has already been used. Press the button of your token for the next one." == said
    )


def test_how_far_a_counter_is_ahead_is_found_and_noted() -> None:
    verdict, record = verify(token_at(4), code(4 + 50), NOW, POLICY)
    (token,) = record.authenticators
    assert (50, 50, 1) == (verdict.clock_offset, token.clock_offset, token.clock_sightings)
    _, record = verify(record, code(4 + 51), NOW, POLICY)
    (token,) = record.authenticators
    assert (51, 2, 5) == (token.clock_offset, token.clock_sightings, 1 + (token.counter or 0))
    words = clock_skew.of_authenticator(token, token.clock_offset)
    assert "the counter of token is 51 codes ahead" == words
