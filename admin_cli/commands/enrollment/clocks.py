"""Distinguish a wrong clock from a wrong code: search further than a login does."""

from __future__ import annotations

from pam_totp.core import clock_skew, otp
from pam_totp.core.users import Authenticator

SEARCHED_STEPS = 120  # either way: an hour at 30 s


def nearest_offset(authenticator: Authenticator, code: str, at: int) -> int | None:
    """Return how many steps ahead of unix time ``at`` the code is; None: not within the search.

    Every step of SEARCHED_STEPS either way, and the time zones of the world.
    """
    assert authenticator.secret is not None
    current = otp.time_step(at, authenticator.period) + authenticator.drift
    searched = set(range(-SEARCHED_STEPS, SEARCHED_STEPS + 1))
    searched.update(clock_skew.offsets(authenticator.period))
    steps = otp.matching_steps(
        code,
        authenticator.secret,
        [current + offset for offset in searched],
        authenticator.algorithm,
        authenticator.digits,
    )
    return min((step - current for step in steps), key=abs, default=None)


def explain(authenticator: Authenticator, offset: int) -> str:
    """Say what an offset beyond the window means."""
    return clock_skew.in_words(authenticator.label, offset, authenticator.period)
