"""Which wrong clock a wrong code belongs to: minutes off, or the wrong time zone.

Pure. Nothing found here is ever accepted: it is told to administrators, and to the person only
while enrolling. A login searches as many steps for everybody, decoys too: STEPS_SEARCHED for one
authenticator, some 0.25 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .users import Authenticator, MatchingSteps

_NEAR = 20  # steps either way
_HALF_HOURS = 28  # either way: time zones reach from 12 hours behind to 14 ahead
_HALF_HOUR = 1800  # seconds
_AROUND = (-1, 0, 1)  # steps: the hands are seldom set to the second
STEPS_SEARCHED = 2 * _NEAR + 1 + 2 * _HALF_HOURS * len(_AROUND)


def offsets(period: int) -> list[int]:
    """Return the STEPS_SEARCHED offsets, in steps, that a clock is most often wrong by."""
    near = list(range(-_NEAR, _NEAR + 1))
    zones = [
        number * _HALF_HOUR // period + around
        for number in range(-_HALF_HOURS, _HALF_HOURS + 1)
        if number != 0
        for around in _AROUND
    ]
    return near + zones


def offset_of(
    authenticator: Authenticator, code: str, now: int, matching_steps: MatchingSteps
) -> int | None:
    """Return how many steps ahead of unix time ``now`` the code is; None: none that is searched.

    The smallest one of several.
    """
    current = authenticator.current_step(now)
    searched = [current + offset for offset in offsets(authenticator.period)]
    found = matching_steps(authenticator, code, searched)
    return min((step - current for step in found), key=abs, default=None)


def in_words(label: str, offset: int, period: int) -> str:
    """Say what is wrong with the clock of ``label``, which is ``offset`` steps ahead."""
    seconds = abs(offset) * period
    side = "ahead of" if offset > 0 else "behind"
    half_hours = (seconds + _HALF_HOUR // 2) // _HALF_HOUR
    if half_hours and abs(seconds - half_hours * _HALF_HOUR) <= 2 * period:
        hours = f"{half_hours // 2}.5" if half_hours % 2 else f"{half_hours // 2}"
        return (
            f"the clock of {label} is about {hours} h {side} this machine's: "
            "is its time zone right?"
        )
    return f"the clock of {label} is about {seconds} s {side} this machine's"
