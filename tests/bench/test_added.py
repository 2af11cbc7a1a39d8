"""What a module adds to a login, and the interval of a ratio."""

from __future__ import annotations

import math
import random

import pytest

from tests.bench.added import added, interval


def test_added_compares_logins_of_the_same_round() -> None:
    rounds = [{"bare": 1.0, "ours": 1.5, "rare": 3.0}, {"bare": 5.0, "ours": 5.25}]
    assert added(rounds, "ours", "bare") == [0.5, 0.25]
    assert added(rounds, "rare", "bare") == [2.0]


def test_interval_is_narrow_where_rounds_agree_and_has_the_ratio_in_it() -> None:
    chance = random.Random(7)
    theirs = [4 + chance.gauss(0, 1) for _ in range(200)]
    ours = [6 + chance.gauss(0, 1) for _ in range(200)]
    lowest, highest = interval(ours, theirs)
    assert lowest < 1.5 < highest
    assert highest - lowest < 0.3
    few_lowest, few_highest = interval(ours[:20], theirs[:20])
    assert few_highest - few_lowest > highest - lowest
    assert interval([3.0] * 9, [2.0] * 9) == pytest.approx((1.5, 1.5))


def test_interval_has_no_end_where_theirs_may_be_nothing() -> None:
    assert interval([1.0] * 3, [-1.0] * 3) == (math.inf, math.inf)
