"""What a module adds to an ssh login, and how sure that is."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

SAMPLES = 2000
_OUTSIDE = SAMPLES // 40  # of them on either side of the 95 % interval

Round = dict[str, float]  # seconds of each login of one round, by name


def added(rounds: Sequence[Round], name: str, bare: str) -> list[float]:
    """Return the seconds that ``name`` took longer than ``bare``, in each round with both: whatever
    the machine did meanwhile met both of them."""
    return [round_[name] - round_[bare] for round_ in rounds if name in round_]


def interval(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the ratio of both medians, by bootstrap: rounds are drawn with
    replacement, each with what both took in it (B. Efron, 1979)."""
    chance = random.Random(1)
    pairs = list(zip(ours, theirs, strict=True))
    ratios = sorted(_ratio(chance.choices(pairs, k=len(pairs))) for _ in range(SAMPLES))
    return ratios[_OUTSIDE], ratios[-1 - _OUTSIDE]


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    theirs = statistics.median([their for _, their in pairs])
    return statistics.median([our for our, _ in pairs]) / theirs if theirs > 0 else math.inf
