"""Tell a wrong clock from a wrong code: search further than a login does."""

from __future__ import annotations

from pam_totp import otp
from pam_totp.verifier import Authenticator

SEARCHED_STEPS = 120  # either way: an hour at 30 s


def nearest_offset(authenticator: Authenticator, code: str, at: int) -> int | None:
    """Return how many steps ahead of unix time ``at`` the code is; None: not within the search."""
    assert authenticator.secret is not None
    current = otp.time_step(at, authenticator.period) + authenticator.drift
    steps = otp.matching_steps(
        code,
        authenticator.secret,
        range(current - SEARCHED_STEPS, current + SEARCHED_STEPS + 1),
        authenticator.algorithm,
        authenticator.digits,
    )
    return min((step - current for step in steps), key=abs, default=None)


def explain(authenticator: Authenticator, offset: int) -> str:
    """Say what an offset beyond the window means."""
    seconds = abs(offset) * authenticator.period
    side = "ahead of" if offset > 0 else "behind"
    return f"the clock of {authenticator.label} is about {seconds} s {side} this machine's"
