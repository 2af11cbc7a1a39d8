"""The slow budget: what a year of guessing comes to, with the real verifier."""

from __future__ import annotations

import pytest

from pam_totp.core import otp
from pam_totp.core.users import UserRecord
from pam_totp.core.verifier import (
    ACCEPTED,
    LOCKED,
    RECOVERY_USED,
    REJECTED,
    THROTTLED,
    guesses_spent,
    standing,
    verify,
)
from tests.support import thorough
from tests.support.place import ROOT
from tests.unit.alice import ALICE, DIGESTS, NOW, POLICY, SALT, SECRET, WRONG, code, recovery_code

YEAR, DAY = 365 * 86_400, 86_400
INTERVAL = 30 * DAY // 100
IN_A_YEAR = 100 + YEAR // INTERVAL
SPENT = ALICE._replace(guesses_until=NOW + 30 * DAY)


def wrong(now: int) -> object:
    """Return a code that is none of the window's."""
    good = {otp.hotp(SECRET, now // 30 + offset) for offset in (-1, 0, 1)}
    return WRONG if WRONG.code not in good else WRONG._replace(code="111111")


def guess_for_a_year(logins_a_day: int, row: int) -> tuple[int, UserRecord]:
    """Guess ``row`` times after each login of the owner; return how many were looked at.

    The owner takes a recovery code whenever the budget is spent, and always has another.
    """
    record, guesses, pause = ALICE, 0, DAY // logins_a_day
    for now in range(NOW, NOW + YEAR, pause):
        verdict, record = verify(record, code(now // 30), now, POLICY)
        if verdict.budget_spent:
            record = record._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
            verdict, record = verify(record, recovery_code(DIGESTS[0]), now, POLICY)
        assert verdict.outcome in (ACCEPTED, RECOVERY_USED)
        for second in range(1, row + 1):
            verdict, record = verify(record, wrong(now + second), now + second, POLICY)
            guesses += verdict.outcome == REJECTED
    return guesses, record


@pytest.mark.parametrize(("logins_a_day", "row"), thorough.some([(10, 4), (100, 4), (1, 4)], 2))
def test_no_habit_of_the_owner_gives_more_than_the_budget(logins_a_day: int, row: int) -> None:
    guesses, _ = guess_for_a_year(logins_a_day, row)
    assert guesses <= IN_A_YEAR
    assert IN_A_YEAR * 0.98 <= guesses or row * logins_a_day * 365 < IN_A_YEAR * 1.2


def test_nobody_gets_more_who_never_lets_a_row_grow_long() -> None:
    """Without any login of the owner: the lock at the hundredth comes first."""
    record, guesses = ALICE, 0
    for now in range(NOW, NOW + YEAR, 900):
        verdict, record = verify(record, wrong(now), now, POLICY)
        guesses += verdict.outcome == REJECTED
    assert (100, LOCKED) == (guesses, verdict.outcome)


def test_the_page_has_the_number() -> None:
    page = (ROOT / "docs/explanation/verification-policy.md").read_text("utf-8")
    assert f"{IN_A_YEAR:,} in a year" in page
    for authenticators, window in ((1, 0), (1, 1), (2, 1), (3, 1), (1, 5), (3, 5), (1, 10)):
        chance = (2 * window + 1) * authenticators
        miss = (1 - chance / 1e6) ** IN_A_YEAR
        row = f"| {authenticators} | {window} | {chance} | 1 in {1 / (1 - miss):.0f} |"
        assert row in page, row


def test_a_hundred_wrong_codes_spend_the_budget_and_right_ones_give_nothing_back() -> None:
    record, now = ALICE, NOW
    for _ in range(25):
        for _ in range(4):
            verdict, record = verify(record, wrong(now), now, POLICY)
            assert REJECTED == verdict.outcome
        now += 60
        if now < NOW + 25 * 60:
            verdict, record = verify(record, code(now // 30), now, POLICY)
            assert ACCEPTED == verdict.outcome
    assert 100 == guesses_spent(record, now, POLICY)
    verdict, record = verify(record, code(now // 30), now, POLICY)
    assert (THROTTLED, True) == (verdict.outcome, verdict.budget_spent)
    assert INTERVAL - 25 * 60 == verdict.wait
    verdict, _ = verify(record, code((now + verdict.wait) // 30), now + verdict.wait, POLICY)
    assert ACCEPTED == verdict.outcome


def test_a_recovery_code_is_good_while_the_budget_is_spent_and_a_wrong_one_takes_nothing() -> None:
    spent = SPENT._replace(recovery_salt=SALT, recovery_digests=frozenset(DIGESTS))
    assert THROTTLED == verify(spent, code(NOW // 30), NOW, POLICY)[0].outcome
    _, after = verify(spent, recovery_code(b"x" * 32), NOW, POLICY)
    assert (1, spent.guesses_until) == (after.failures, after.guesses_until)
    verdict, after = verify(after, recovery_code(DIGESTS[0]), NOW, POLICY)
    assert RECOVERY_USED == verdict.outcome
    assert spent.guesses_until == after.guesses_until


def test_a_budget_that_only_a_clock_set_back_explains_is_whole() -> None:
    far = SPENT._replace(guesses_until=NOW + 10 * YEAR)
    assert (0, None) == (guesses_spent(far, NOW, POLICY), standing(far, NOW, POLICY))
    _, record = verify(far, wrong(NOW), NOW, POLICY)
    assert NOW + INTERVAL == record.guesses_until
    assert THROTTLED == verify(SPENT, WRONG, NOW, POLICY)[0].outcome
