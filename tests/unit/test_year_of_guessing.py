"""What a year of guessing comes to, with the real verifier: for strangers, and for the owner."""

from __future__ import annotations

import heapq
import itertools
import random
import re
from typing import NamedTuple

import pytest

from pam_totp.core import otp
from pam_totp.core.users import UserRecord
from pam_totp.core.verifier import (
    ACCEPTED,
    LOCKED,
    RECOVERY_USED,
    REJECTED,
    REPLAYED,
    THROTTLED,
    Answer,
    guesses_spent,
    locked_from,
    standing,
    verify,
)
from tests.support import thorough
from tests.support.place import ROOT
from tests.unit.alice import (
    ALICE,
    DIGESTS,
    NOW,
    PHONE,
    POLICY,
    SALT,
    SECRET,
    WRONG,
    code,
    recovery_code,
)

DAY = 86_400
YEAR = (365 if thorough.NIGHTLY else 90) * DAY  # by day, a quarter: three times the slow period
INTERVAL = 30 * DAY // 100
IN_A_YEAR = 100 + YEAR // INTERVAL
SPENT = ALICE._replace(guesses_until=NOW + 30 * DAY)
NOBODYS = WRONG._replace(code="0000000")  # of seven digits, which no device here shows


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
        if verdict.codes_only:
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
    assert IN_A_YEAR * 0.9 <= guesses or row * logins_a_day * YEAR < IN_A_YEAR * 1.2 * DAY


def test_nobody_gets_more_who_never_lets_a_row_grow_long() -> None:
    """Without any login of the owner: the lock at the eightieth comes first."""
    record, guesses = ALICE, 0
    for now in range(NOW, NOW + YEAR, 900):
        verdict, record = verify(record, wrong(now), now, POLICY)
        guesses += verdict.outcome == REJECTED
    assert (80, LOCKED) == (guesses, verdict.outcome)


# A year with an owner who logs in, and with people who guess as often as they are let.


class Year(NamedTuple):
    """What came of it. ``guesses``: wrong answers that were looked at, of the owner as well."""

    guesses: int
    longest_row: int
    refused: int  # of the owner's logins
    logins: int


def a_year(
    attackers: list[str], own: list[str], logins_a_day: int, mistakes: float = 0.1, seed: int = 1
) -> Year:
    """Let everybody act in the order of time; attackers come again when their wait is over.

    ``own``: from where the owner logs in, in turn, with a mistake of that probability before.
    """
    chance = random.Random(seed)
    record, row = ALICE, 0
    for place in own:  # where the owner was before it began
        record = record.accepted(NOW, place)
    counts = dict.fromkeys(Year._fields, 0)
    turns = [(NOW + n, True, place) for n, place in enumerate(attackers)]
    turns.append((NOW + DAY // 2, False, ""))
    heapq.heapify(turns)
    while turns[0][0] < NOW + YEAR:
        now, attacks, place = heapq.heappop(turns)
        if attacks:
            verdict, record = verify(record, wrong(now), now, POLICY, place=place)
            pause = verdict.wait or (3600 if verdict.outcome == LOCKED else 1)
        else:
            place, pause = own[counts["logins"] % len(own)], DAY // logins_a_day
            if chance.random() < mistakes:
                verdict, record = verify(record, wrong(now), now, POLICY, place=place)
                counts["guesses"] += verdict.outcome == REJECTED
                row += verdict.outcome == REJECTED
            verdict, record = verify(record, code(now // 30), now, POLICY, place=place)
            assert REPLAYED != verdict.outcome
            counts["logins"] += 1
            counts["refused"] += verdict.outcome != ACCEPTED
        row = 0 if verdict.outcome == ACCEPTED else row + (attacks and verdict.outcome == REJECTED)
        counts["guesses"] += attacks and verdict.outcome == REJECTED
        counts["longest_row"] = max(counts["longest_row"], row)
        heapq.heappush(turns, (now + pause, attacks, place))
    return Year(**counts)


STRANGERS = ["198.51.100.1", "198.51.100.2", "by mallory", ""]
HOME, OFFICE = "192.0.2.7", "by alice"


@pytest.mark.parametrize("logins_a_day", [1, 20])
def test_strangers_keep_nobody_out_of_a_known_place(logins_a_day: int) -> None:
    year = a_year(STRANGERS, [HOME, OFFICE], logins_a_day)
    assert 0 == year.refused
    assert 0.98 * logins_a_day * YEAR // DAY <= year.logins
    assert year.guesses <= IN_A_YEAR
    assert year.longest_row <= 80 + 1


def test_strangers_kept_them_out_of_any_place_that_is_not_known() -> None:
    """Whoever breaks what known places have finds this year there."""
    year = a_year(STRANGERS, [""], 4)
    assert year.refused > year.logins * 0.9


def test_who_shares_one_place_with_the_owner_keeps_them_out_of_no_other() -> None:
    year = a_year([*STRANGERS, HOME], [OFFICE], 4)
    assert 0 == year.refused
    assert year.guesses <= IN_A_YEAR
    assert year.longest_row <= 90 + 1


@pytest.mark.parametrize(
    "attackers",
    [[HOME], [*STRANGERS, HOME, OFFICE], [*STRANGERS, *map(str, range(8))]],
    ids=["one", "all and elsewhere", "all of eight, and elsewhere"],
)
def test_wherever_they_guess_from_they_have_no_more_guesses(attackers: list[str]) -> None:
    """NIST SP 800-63B-4, 3.2.2: no more than 100 in a row. And a year has the budget's number."""
    own = [place for place in attackers if place not in STRANGERS]
    year = a_year(attackers, own, 20)
    assert year.guesses <= IN_A_YEAR
    assert year.longest_row <= 100


# All that is allowed for the owner's sake, at once: places, clocks that drift, counters, recovery
# codes, and one field, whose refusals tell nothing, so that attackers come again each minute.


TOKEN = PHONE._replace(id="3", label="token", kind=otp.HOTP)
DRIFTING = 300  # seconds that the drifting phone is ahead
HELD = {
    "a clock": ((PHONE,), 3),
    "a clock that drifts": ((PHONE._replace(learned=DRIFTING),), 3),
    "a counter": ((TOKEN,), POLICY.look_ahead),
    "both": ((PHONE._replace(learned=-DRIFTING), TOKEN), 3 + POLICY.look_ahead),
}


def good_codes(record: UserRecord, now: int) -> int:
    """Return how many codes would be accepted."""
    return sum(
        a.current_step(now) + offset > a.last_accepted_step
        for a in record.authenticators
        for offset in a.accepted_offsets(now, POLICY.window, POLICY.look_ahead)
    )


def code_of_the_owner(record: UserRecord, now: int) -> Answer:
    """Return what the first device shows, whose clock never comes right."""
    device = record.authenticators[0]
    return code(device.current_step(now))


@pytest.mark.parametrize(
    ("who", "unlocks"), thorough.some([*itertools.product(HELD, (False, True))], 5)
)
def test_all_allowances_together_give_no_more_chances_than_the_page_says(
    who: str, unlocks: bool
) -> None:
    chance, policy = random.Random(1), POLICY._replace(recovery_unlocks=unlocks)
    held, most = HELD[who]
    record = ALICE._replace(authenticators=held, recovery_salt=SALT)
    places = [*STRANGERS, HOME, OFFICE, *(f"192.0.2.{n}" for n in range(20, 30))]
    guesses = chances = row = longest_row = logins = 0
    for now in range(NOW, NOW + YEAR, 3600):
        if now % DAY < 4 * 3600:  # the owner, who travels: some new place pushes out an old one
            place = chance.choice(places)
            record = record._replace(recovery_digests=frozenset(DIGESTS))
            verdict, record = verify(
                record, code_of_the_owner(record, now), now, policy, place=place
            )
            if verdict.codes_only:
                verdict, record = verify(
                    record, recovery_code(DIGESTS[0]), now, policy, place=place
                )
            logins += verdict.outcome in (ACCEPTED, RECOVERY_USED)
            row = 0 if verdict.outcome in (ACCEPTED, RECOVERY_USED) else row
        for minute in (1, 9):
            then = now + 60 * minute
            for place in places:
                before = record
                verdict, record = verify(record, NOBODYS, then, policy, place=place)
                if verdict.outcome == REJECTED:
                    guesses, row = guesses + 1, row + 1
                    chances += good_codes(before, then)
                    longest_row = max(longest_row, row)
    assert logins > 100
    assert IN_A_YEAR * 0.9 < guesses <= IN_A_YEAR
    assert chances <= most * guesses
    assert longest_row <= 100


def test_who_shares_all_places_of_an_owner_who_is_away_is_locked_at_the_hundredth() -> None:
    record = ALICE.accepted(NOW, HOME).accepted(NOW, OFFICE)
    guesses = 0
    for number, place in enumerate((*STRANGERS, HOME, OFFICE)):
        begin = NOW + number * 2 * DAY
        for now in range(begin, begin + 2 * DAY, 900):
            verdict, record = verify(record, wrong(now), now, POLICY, place=place)
            guesses += verdict.outcome == REJECTED
    assert (100, 100) == (guesses, record.failures)
    for place in (*STRANGERS, HOME, OFFICE):
        assert LOCKED == verify(record, code(now // 30), now, POLICY, place=place)[0].outcome


def test_the_page_has_the_number() -> None:
    in_a_year = 100 + 365 * DAY // INTERVAL
    page = (ROOT / "docs/explanation/verification-policy.md").read_text("utf-8")
    assert f"{in_a_year:,} in a year" in page
    cells = r" ?(\d*) \|" * 4
    table = re.findall(rf"^\|{cells} (\d+) \| 1 in (\d+) \|$", page, re.M)
    assert 11 == len(table)
    for *given, chance, one_in in table:
        clocks, window, counters, look_ahead = (int(number or 0) for number in given)
        good = (2 * window + 1) * clocks + look_ahead * counters
        miss = (1 - good / 1e6) ** in_a_year
        assert (good, round(1 / (1 - miss))) == (int(chance), int(one_in))


def test_eighty_wrong_codes_spend_the_budget_and_right_ones_give_nothing_back() -> None:
    """The last fifth of a hundred is for known places."""
    record, now = ALICE, NOW
    for _ in range(20):
        for _ in range(4):
            verdict, record = verify(record, wrong(now), now, POLICY)
            assert REJECTED == verdict.outcome
        now += 60
        if now < NOW + 20 * 60:
            verdict, record = verify(record, code(now // 30), now, POLICY)
            assert ACCEPTED == verdict.outcome
    assert locked_from(100) == guesses_spent(record, now, POLICY)
    verdict, record = verify(record, code(now // 30), now, POLICY)
    assert (THROTTLED, True) == (verdict.outcome, verdict.codes_only)
    assert INTERVAL - 20 * 60 == verdict.wait
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
