"""Run all checks, and list what they find, what is wrong first."""

from __future__ import annotations

from ..host.sshd import ask_once
from . import (
    changes,
    clock,
    fleet,
    modules,
    ownership,
    pam,
    passwords,
    people,
    records,
    schedule,
    self_service,
    service,
    sshd,
    store,
    sudo,
)
from .facts import Facts
from .finding import LEVELS, Check, Finding

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
    *fleet.CHECKS,
    *people.CHECKS,
    *records.CHECKS,
    *service.CHECKS,
    *self_service.CHECKS,
    *schedule.CHECKS,
)


def examine(facts: Facts) -> list[Finding]:
    """Return what all checks find, what is wrong first; never raises.

    A problem that several checks report in the same words is listed once, with the worst level:
    a note must never stand for a fault. Of equals the first one stays, so the order of the checks
    decides nothing but that.
    """
    found: dict[str, Finding] = {}
    with ask_once():
        for finding in (finding for check in CHECKS for finding in check.findings(facts)):
            known = found.setdefault(finding.problem, finding)
            if LEVELS.index(finding.level) < LEVELS.index(known.level):
                found[finding.problem] = finding
    return sorted(found.values(), key=lambda finding: LEVELS.index(finding.level))
