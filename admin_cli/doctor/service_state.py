"""Whether a service asks for a code, in a word: for status, and for what a failed command says.

One judgement of the PAM file and, for sshd, of its settings: they decide whether PAM is asked about
people with a key at all.
"""

from __future__ import annotations

from typing import NamedTuple

from pam_totp.stack import pam_ways

from ..host import pam_blocks
from ..host.services import PamService
from . import sshd
from .facts import SSHD, Facts
from .finding import Finding

ON, OFF, BYPASSED, UNCLEAR = "on", "off", "bypassed", "unclear"


class ServiceState(NamedTuple):
    """``trouble``: what is wrong in a word, which doctor says more of. ``keys``: for an sshd that
    asks for a code, what keys are worth, as sshd.keys_now() says it. ``one_prompt``: password and
    code come in one answer.
    """

    state: str
    trouble: str | None
    keys: str | None
    one_prompt: bool


def state_of(facts: Facts, service: PamService) -> ServiceState:
    is_sshd = service.name == SSHD and service.asks
    wrong = sshd.faults(facts) if is_sshd else []
    return ServiceState(
        _state(facts, service, wrong),
        _trouble(facts, service, wrong),
        sshd.keys_now(facts) if is_sshd else None,
        service.asks and any(map(pam_ways.takes_both, service.lines)),
    )


def _state(facts: Facts, service: PamService, wrong: list[Finding]) -> str:
    """``wrong`` is what doctor finds in the settings of sshd."""
    if service.problem is not None:
        return UNCLEAR
    if service.judgement is None or not service.judgement.asks:
        return OFF
    if service.judgement.bypasses:
        return BYPASSED
    if wrong and not sshd.uses_pam(facts):
        return OFF
    return BYPASSED if wrong else ON


def _trouble(facts: Facts, service: PamService, wrong: list[Finding]) -> str | None:
    judgement = service.judgement
    if service.problem is not None:
        return str(service.problem)
    if judgement is not None and judgement.nobody_gets_in:
        return "nobody gets in"
    if pam_blocks.lets_keys_in(service.text):
        return "being disabled; to finish, see: totpctl doctor"
    if judgement is not None and judgement.key_lines_alone:
        return "its only pam_totp line has first_factor=key"
    if judgement is None or not judgement.asks:
        return "was enabled" if service.name in facts.remembered else None
    if judgement.bypasses:
        return "one of its lines lets users in without a code"
    if judgement.too_late or judgement.asks_again:
        return "password and code cannot be told apart"
    if judgement.bad_jumps:
        return "a jump past the last line denies logins"
    if judgement.needs_other_code:
        return "another module also asks for a code"
    return wrong[0].problem if wrong else None
