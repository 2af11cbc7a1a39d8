"""status: which services ask for a code, and the state of their users."""

from __future__ import annotations

from typing import Any

import click

from pam_totp.core import dates

from .. import output
from ..completion import candidates
from ..errors import need_root
from ..host import directory, key_only
from ..session import Session, now, pass_session
from .arguments import json_option

SHOWN_NAMES = 8
_KEYS = {
    "code": "code",
    "key+code": "key+code",
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
    from . import overview

    document = overview.document(session, service)
    if as_json:
        output.result_json(document)
    else:
        _show(document)
    if service:
        overview.check_on(document["services"])


def _show(document: dict[str, Any]) -> None:
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
    _show_key_only(document["key_only"])
    output.result(f"unenrolled = {policy['unenrolled']}{_until(policy['unenrolled_until'])}")
    for rule in policy["group_rules"]:
        output.result(f"group {rule['group']}: {rule['rule']}{_until(rule['until'])}")
    for name in policy["exempt_groups"]:
        output.result(f"group {name}: exempt (exempt_groups)")
    if policy["skip_from"]:
        output.result(f"not asked from {', '.join(policy['skip_from'])} (skip_from)")
    if policy["remember"]:
        words = "not asked again where a code was right"
        output.result(f"{words}, for {policy['remember']} (remember)")


def _show_key_only(accounts: list[dict[str, Any]] | None) -> None:
    if accounts is None:
        output.warning(f"{key_only.FILE} is not what totpctl wrote; see: totpctl doctor")
    elif accounts:
        words = [str(key_only.KeyOnly(a["user"], tuple(a["from"]))) for a in accounts]
        output.result(f"key only     {len(words)}: {', '.join(words)}")


def _until(day: str | None) -> str:
    if day is None:
        return ""
    return f", until {day}" + (" (over)" if dates.end_of_day(day) <= now() else "")


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    remarks = [entry["trouble"]] if entry["trouble"] else []
    if entry["one_prompt"]:
        remarks.append("password and code in one answer")
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
