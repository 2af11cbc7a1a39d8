"""That somebody looks again: doctor's own timer."""

from __future__ import annotations

from collections.abc import Iterator

from ..host import doctor_timer
from .facts import Facts
from .finding import NOTE, Found, check


@check("doctor-timer", NOTE, "an update can remove the code, and nobody would notice")
def timer(facts: Facts) -> Iterator[Found]:
    if facts.modules and doctor_timer.is_off():
        yield f"{doctor_timer.TIMER} is not running", doctor_timer.how_to_start()


CHECKS = (timer,)
