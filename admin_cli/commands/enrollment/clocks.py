"""Distinguish a wrong clock or counter from a wrong code: search further than a login does."""

from __future__ import annotations

from pam_totp.core import clock_skew, resynchronisation
from pam_totp.core.users import Authenticator

SEARCHED_STEPS = 120  # either way: an hour at 30 s


def nearest_offset(authenticator: Authenticator, code: str, at: int) -> int | None:
    """Return how many steps ahead of unix time ``at`` the code is; None: not within the search.

    Every step of SEARCHED_STEPS either way, and the time zones of the world. Of HOTP the last
    accepted counter, and as many further ones as totpctl resync would find.
    """
    if authenticator.counts:
        searched = set(range(-1, resynchronisation.COUNTERS_SEARCHED))
    else:
        searched = set(range(-SEARCHED_STEPS, SEARCHED_STEPS + 1))
        searched.update(clock_skew.clock_offsets(authenticator.period))
    return clock_skew.offset_of(authenticator, code, at, searched, Authenticator.matching_steps)


def explain(authenticator: Authenticator, offset: int) -> str:
    """Say what an offset beyond the window means."""
    return clock_skew.of_authenticator(authenticator, offset)
