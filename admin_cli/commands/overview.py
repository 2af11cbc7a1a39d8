"""What status shows: the services, the people and the policy, as one document.

The text and ``--json`` say the same: status.py words what is found here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pam_totp.core import admission, dates, users, verifier
from pam_totp.stack.pam_lines import NotUnderstood
from pam_totp.system import config_values
from pam_totp.system.errors import PamTotpError

from ..doctor.facts import CannotTell, Facts
from ..doctor.service_state import OFF, ON, state_of
from ..enable import planning, trial_record
from ..errors import CheckSaysNo
from ..host import key_only, pam_file
from ..host.services import PamService
from ..session import Session
from .outcome import ALWAYS


def document(session: Session, services: Sequence[str]) -> dict[str, Any]:
    """Return what is on, and for whom. Raises CommandFailed for what is no service."""
    facts = Facts(session)
    for name in services:
        if name not in (*facts.remembered, *ALWAYS):
            with suppress(NotUnderstood):  # it is there, and shown as unclear
                planning.check_service(name)
    return {
        "services": [_service(facts, name) for name in services or _services(facts)],
        "people": _people(facts),
        "policy": _policy(facts),
        "key_only": _key_only(),
    }


def check_on(services: Sequence[dict[str, Any]]) -> None:
    """Raise CheckSaysNo unless each of the document's ``services`` asks for a code."""
    not_on = [entry for entry in services if entry["state"] != ON]
    if not_on:
        names = [entry["service"] for entry in not_on]
        simply_off = all((entry["state"], entry["trouble"]) == (OFF, None) for entry in not_on)
        hint = f"run: totpctl enable {' '.join(names)}" if simply_off else "see: totpctl doctor"
        raise CheckSaysNo(f"not on: {', '.join(names)}", hint)


def _services(facts: Facts) -> list[str]:
    asking = [service.name for service, _ in facts.judged]
    return sorted({*asking, *facts.remembered, *ALWAYS})


def _service(facts: Facts, name: str) -> dict[str, object]:
    service = facts.service(name)
    found = state_of(facts, service)
    return {
        "service": name,
        "state": found.state,
        "managed": _is_managed(facts, service),
        "modules": list(service.modules),
        "keys": found.keys,
        "one_prompt": found.one_prompt,
        "unconfirmed_seconds": _seconds_left(name),
        "trouble": found.trouble,
    }


def _is_managed(facts: Facts, service: PamService) -> bool:
    """Return whether enable wrote what asks; it may stand in a file that this one includes."""
    if pam_file.is_managed(service.text):
        return True
    asking = {line.file for line in service.lines}
    return bool(asking) and all(pam_file.is_managed(facts.service(f).text) for f in asking)


def _seconds_left(name: str) -> int | None:
    try:
        pending = trial_record.pending()
    except PamTotpError:
        return None
    if pending is None or name not in pending.services:
        return None
    return 0 if trial_record.undo_has_begun(pending) else max(1, int(pending.seconds_left()))


def _people(facts: Facts) -> dict[str, Any] | None:
    """Return who is what, by name; None without a store. ``enrolled`` is a number."""
    try:
        records = facts.records
        enrolled = {record.name for record in records if record.authenticators}
        by_kind = {name: facts.admission(name) for name in facts.people if name not in enrolled}
    except CannotTell:
        return None
    status_of = {record.name: record.status for record in records}
    unenrolled = [name for name, admitted in by_kind.items() if not _is_exempt(admitted)]
    exempt = [record.name for record in records if record.is_exempt(facts.now)]
    exempt += [name for name, admitted in by_kind.items() if _is_exempt(admitted)]
    return {
        "enrolled": len(enrolled),
        "unenrolled": unenrolled,
        "exempt": sorted(set(exempt)),
        "suspended": [n for n, status in status_of.items() if status == users.SUSPENDED],
        "locked": [r.name for r in records if verifier.is_locked(r, facts.login_policy)],
        "must_enroll": [n for n, status in status_of.items() if status == users.MUST_ENROLL],
    }


def _is_exempt(admitted: admission.Admission) -> bool:
    return admitted.reason in (admission.EXEMPT_USER, admission.EXEMPT_GROUP)


def _key_only() -> list[dict[str, Any]] | None:
    """Return whom sshd lets in by a key alone, and from where; None where that cannot be told."""
    accounts = key_only.accounts()
    if accounts is None:
        return None
    return [{"user": account.name, "from": list(account.sources)} for account in accounts]


def _policy(facts: Facts) -> dict[str, Any] | None:
    """Return the rules for unenrolled users and for groups; None without a configuration."""
    try:
        until = facts.config.unenrolled_until
        rules = facts.group_rules
    except CannotTell:
        return None
    return {
        "unenrolled": facts.config.unenrolled,
        "unenrolled_until": dates.last_day(until) if until else None,
        "exempt_groups": list(facts.config.exempt_groups),
        "skip_from": list(facts.config.skip_from),
        "remember": config_values.time_as_text(facts.config.remember),
        "group_rules": [
            {
                "group": rule.name,
                "rule": rule.rule,
                "until": dates.last_day(rule.until) if rule.until else None,
            }
            for rule in rules
        ],
    }
