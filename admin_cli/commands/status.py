"""status: which services ask for a code, and the state of their users."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import click

from pam_totp.core import admission, dates, users
from pam_totp.stack.pam_lines import NotUnderstood
from pam_totp.system.errors import PamTotpError

from .. import output
from ..completion import candidates
from ..doctor.facts import CannotTell, Facts
from ..doctor.service_state import OFF, ON, state_of
from ..enable import planning, trial_record
from ..errors import CheckSaysNo, need_root
from ..host import directory, pam_file
from ..host.services import PamService
from ..session import Session, pass_session
from .arguments import json_option
from .outcome import ALWAYS

SHOWN_NAMES = 8
_KEYS = {
    "code": "code",
    "password+code": "password+code",
    "skip": "no code",
    "none": "do not log in",
}


@click.command()
@click.argument("service", nargs=-1, metavar="[SERVICE...]", shell_complete=candidates.services)
@json_option
@pass_session
def status(session: Session, service: tuple[str, ...], as_json: bool) -> None:
    """Show which services ask for a code, and the state of their users.

    Without SERVICE, shows every service that asks for a code or was enabled, and sshd and sudo.
    Exits with 6 if a named service is not on, and with 1 if it does not exist.
    """
    need_root("read what status shows")
    facts = Facts(session)
    for name in service:
        if name not in (*facts.remembered, *ALWAYS):
            with suppress(NotUnderstood):  # it is there, and shown as unclear
                planning.check_service(name)
    document: dict[str, Any] = {
        "services": [_service(facts, name) for name in service or _services(facts)],
        "people": _people(facts),
        "policy": _policy(facts),
    }
    if as_json:
        output.result_json(document)
    else:
        _show(document, facts.now)
    not_on = [entry for entry in document["services"] if entry["state"] != ON]
    if service and not_on:
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
    most = facts.config.max_failures
    status_of = {record.name: record.status for record in records}
    unenrolled = [name for name, admitted in by_kind.items() if not _is_exempt(admitted)]
    exempt = [record.name for record in records if record.is_exempt(facts.now)]
    exempt += [name for name, admitted in by_kind.items() if _is_exempt(admitted)]
    return {
        "enrolled": len(enrolled),
        "unenrolled": unenrolled,
        "exempt": sorted(set(exempt)),
        "suspended": [n for n, status in status_of.items() if status == users.SUSPENDED],
        "locked": [record.name for record in records if record.failures >= most],
        "must_enroll": [n for n, status in status_of.items() if status == users.MUST_ENROLL],
    }


def _is_exempt(admitted: admission.Admission) -> bool:
    return admitted.reason in (admission.EXEMPT_USER, admission.EXEMPT_GROUP)


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
        "group_rules": [
            {
                "group": rule.name,
                "rule": rule.rule,
                "until": dates.last_day(rule.until) if rule.until else None,
            }
            for rule in rules
        ],
    }


def _show(document: dict[str, Any], now: int) -> None:
    headings = ("SERVICE", "CODE", "SET UP", "MODULE", "KEYS", "")
    output.result_table(headings, [_row(entry) for entry in document["services"]])
    people, policy = document["people"], document["policy"]
    if directory.problem():
        output.warning(f"{directory.problem()}: only local users and groups are counted")
    if people is None or policy is None:
        output.warning("the store, its key or the configuration is not usable; see: totpctl doctor")
        return
    output.result()
    output.result(f"enrolled     {people['enrolled']}")
    for kind in ("unenrolled", "exempt", "suspended", "locked", "must_enroll"):
        output.result(f"{kind.replace('_', ' '):13}{_count(people[kind])}")
    output.result(f"unenrolled = {policy['unenrolled']}{_until(policy['unenrolled_until'], now)}")
    for rule in policy["group_rules"]:
        output.result(f"group {rule['group']}: {rule['rule']}{_until(rule['until'], now)}")
    for name in policy["exempt_groups"]:
        output.result(f"group {name}: exempt (exempt_groups)")


def _until(day: str | None, now: int) -> str:
    if day is None:
        return ""
    return f", until {day}" + (" (over)" if dates.end_of_day(day) <= now else "")


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    remarks = [entry["trouble"]] if entry["trouble"] else []
    if entry["unconfirmed_seconds"] == 0:
        remarks.append("not undone yet; run: totpctl revert")
    elif entry["unconfirmed_seconds"] is not None:
        minutes, seconds = divmod(entry["unconfirmed_seconds"], 60)
        remarks.append(f"undone in {minutes} min {seconds} s unless confirmed")
    set_up = "by enable" if entry["managed"] else "by hand" if entry["modules"] else "-"
    cells = (
        entry["service"],
        entry["state"],
        set_up,
        ", ".join(entry["modules"]) or "-",
        _KEYS.get(entry["keys"], "-"),
        "; ".join(remarks),
    )
    return tuple(map(output.printable, cells))


def _count(names: list[str]) -> str:
    if not names:
        return "0"
    more = ", ..." if len(names) > SHOWN_NAMES else ""
    return f"{len(names)}: {', '.join(names[:SHOWN_NAMES])}{more}"
