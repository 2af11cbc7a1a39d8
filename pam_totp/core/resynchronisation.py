"""Find a clock or counter that was lost, by two codes in a row (RFC 4226 section 7.4).

Pure. One code in a thousand would be right by chance somewhere in so long a search; of two, one in
a billion. A login does nothing of this: it would widen what is accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .users import Authenticator

MOST_DRIFT = 31 * 86400  # seconds either way: a clock that is more wrong needs its battery replaced
COUNTERS_SEARCHED = 1000


def second_step(authenticator: Authenticator, first: str, second: str, now: int) -> int | None:
    """Return the step of ``second``, which the device shows at unix time ``now`` after ``first``.

    The one next to where the device was expected; None: within the bounds, these are no two
    codes in a row. Whether they were used is not looked at.
    """
    expected = authenticator.current_step(now)
    if authenticator.counts:
        last = authenticator.last_accepted_step
        searched = range(max(last, 0), last + COUNTERS_SEARCHED)
    else:
        reach = MOST_DRIFT // authenticator.period
        clock = expected - authenticator.drift
        searched = range(clock - reach - 1, clock + reach)
    steps = [step + 1 for step in authenticator.matching_steps(first, searched)]
    found = authenticator.matching_steps(second, steps)
    return min(found, key=lambda step: abs(step - expected), default=None)
