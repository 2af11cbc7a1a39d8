"""What doctor looks at: every way in which two-factor logins are broken or bypassed.

    finding.py        what a check is, and what it reports
    facts.py          what they look at, each read once
    store_room.py     whether the store's files have the room that logins will need
    service_state.py  whether a service asks for a code, in a word
    spelling.py       our module's name, mistyped

    The checks: pam.py, modules.py, ownership.py, passwords.py, changes.py, sshd.py, sudo.py,
    store.py, clock.py, people.py, records.py, service.py, schedule.py

docs/reference/doctor.md describes each of them.
"""

from __future__ import annotations

from . import (
    changes,
    clock,
    modules,
    ownership,
    pam,
    passwords,
    people,
    records,
    schedule,
    service,
    sshd,
    store,
    sudo,
)
from .facts import Facts
from .finding import LEVELS, NOTE, WRONG, Check, Finding

__all__ = ["CHECKS", "NOTE", "WRONG", "Facts", "Finding", "examine"]

CHECKS: tuple[Check, ...] = (
    *pam.CHECKS,
    *modules.CHECKS,
    *ownership.CHECKS,
    *passwords.CHECKS,
    *changes.CHECKS,
    *sshd.CHECKS,
    *sudo.CHECKS,
    *store.CHECKS,
    *clock.CHECKS,
    *people.CHECKS,
    *records.CHECKS,
    *service.CHECKS,
    *schedule.CHECKS,
)


def examine(facts: Facts) -> list[Finding]:
    """Return what all checks find, what is wrong first; never raises.

    A problem that several checks report in the same words is listed once, with the worst level:
    a note must never stand for a fault. Of equals the first one stays, so the order of the checks
    decides nothing but that.
    """
    found: dict[str, Finding] = {}
    for check in CHECKS:
        for finding in check.findings(facts):
            known = found.setdefault(finding.problem, finding)
            if LEVELS.index(finding.level) < LEVELS.index(known.level):
                found[finding.problem] = finding
    return sorted(found.values(), key=lambda finding: LEVELS.index(finding.level))
