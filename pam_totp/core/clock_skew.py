"""Which wrong clock a wrong code belongs to: minutes off, or the wrong time zone.

Or which counter: a token whose button was pressed more often than the look-ahead allows.

Pure. Nothing found here is ever accepted: it is told to administrators, and to the person only
while enrolling. A login searches as many steps for everybody, decoys too: STEPS_SEARCHED for one
authenticator, some 0.25 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .users import Authenticator, MatchingSteps

_NEAR = 20  # steps either way
_HALF_HOURS = 28  # either way: time zones reach from 12 hours behind to 14 ahead
_HALF_HOUR = 1800  # seconds
_AROUND = (-1, 0, 1)  # steps: the hands are seldom set to the second
STEPS_SEARCHED = 2 * _NEAR + 1 + 2 * _HALF_HOURS * len(_AROUND)


def offsets(authenticator: Authenticator, look_ahead: int, count: int) -> list[int]:
    """Return ``count`` offsets, in steps, that it is most often wrong by.

    Of HOTP those that come after the look-ahead; of TOTP the nearest of clock_offsets(), and where
    these are too few, some more ahead.
    """
    if authenticator.counts:
        return list(range(look_ahead, look_ahead + count))
    nearest = sorted(clock_offsets(authenticator.period), key=_distance)
    return nearest[: max(count, 0)] + list(range(_NEAR + 1, _NEAR + 1 + count - STEPS_SEARCHED))


def clock_offsets(period: int) -> list[int]:
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
    authenticator: Authenticator,
    code: str,
    now: int,
    searched: Iterable[int],
    matching_steps: MatchingSteps,
) -> int | None:
    """Return how many steps ahead of unix time ``now`` the code is, of the offsets ``searched``.

    The smallest one of several; None: of none of them.
    """
    current = authenticator.current_step(now)
    found = matching_steps(authenticator, code, [current + offset for offset in searched])
    return min((step - current for step in found), key=abs, default=None)


def _distance(offset: int) -> tuple[int, int]:
    return abs(offset), offset


def of_authenticator(authenticator: Authenticator, offset: int) -> str:
    """Say what is wrong with its clock or counter, whose code was ``offset`` steps ahead."""
    if authenticator.counts:
        return counter_in_words(authenticator.label, offset)
    a = authenticator
    return in_words(a.label, (offset + a.drift) * a.period + a.followed, a.period)


def counter_in_words(label: str, offset: int) -> str:
    """Say that the button of ``label`` was pressed for ``offset`` codes that no login has seen."""
    if offset < 0:
        return f"the counter of {label} has passed this code"
    return f"the counter of {label} is {offset} codes ahead"


def of_clock(ahead: int, period: int) -> tuple[int, int]:
    """Return how far a clock is off that is ``ahead`` seconds ahead: in half hours, or in seconds.

    Both without a sign. Half hours are those of a wrong time zone; else 0. (0, 0): it is right.
    """
    seconds = abs(ahead)
    if seconds < period:
        return 0, 0
    half_hours = (seconds + _HALF_HOUR // 2) // _HALF_HOUR
    if abs(seconds - half_hours * _HALF_HOUR) > 2 * period:
        half_hours = 0
    return half_hours, seconds


def in_words(label: str, ahead: int, period: int) -> str:
    """Say what is wrong with the clock of ``label``, which is ``ahead`` seconds ahead."""
    half_hours, seconds = of_clock(ahead, period)
    if not seconds:
        return f"the clock of {label} agrees with this machine's, but not with what is known of it"
    side = "ahead of" if ahead > 0 else "behind"
    if half_hours:
        hours = f"{half_hours // 2}.5" if half_hours % 2 else f"{half_hours // 2}"
        return (
            f"the clock of {label} is about {hours} h {side} this machine's: "
            "is its time zone right?"
        )
    return f"the clock of {label} is about {seconds} s {side} this machine's"
