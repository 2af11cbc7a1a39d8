"""That somebody looks again: doctor's own timer."""

from __future__ import annotations

from collections.abc import Iterator

from ..host import daily_doctor
from .facts import Facts
from .finding import NOTE, Found, check


@check("doctor-timer", NOTE, "an update can take the code away, and nobody would notice")
def doctor_timer(facts: Facts) -> Iterator[Found]:
    if facts.hosts and daily_doctor.is_off():
        yield f"{daily_doctor.TIMER} does not run", daily_doctor.switch_on()


CHECKS = (doctor_timer,)
