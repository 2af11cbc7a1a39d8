"""policy: what holds for every login of the fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import click

from ... import output
from ...errors import CommandFailed
from ...session import Session, pass_session
from ..arguments import json_option


class PolicySetting(NamedTuple):
    """``low`` and ``high``: which numbers it can be; 0 and 1 of a yes-or-no setting.

    ``weakens``: tells whether the second value is weaker than the first.
    """

    low: int
    high: int
    weakens: Callable[[int, int], bool]
    meaning: str
    is_boolean: bool = False


def _more(before: int, after: int) -> bool:
    return after > before


def _less(before: int, after: int) -> bool:
    return after < before


def _never(_before: int, _after: int) -> bool:
    return False


SETTINGS: Mapping[str, PolicySetting] = {
    "code_window": PolicySetting(0, 10, _more, "time steps around the current one that count"),
    "throttle_after": PolicySetting(1, 100, _more, "wrong codes in a row before the first wait"),
    "throttle_base": PolicySetting(1, 3600, _less, "seconds of the first wait, which then doubles"),
    "throttle_max": PolicySetting(1, 86400, _less, "seconds of the longest wait"),
    "max_failures": PolicySetting(1, 100, _more, "wrong codes in a row that lock"),
    "slow_guesses": PolicySetting(1, 1000, _more, "wrong codes in slow_period, in a row or not"),
    "slow_period": PolicySetting(86400, 31536000, _less, "seconds in which they are forgiven"),
    "look_ahead": PolicySetting(1, 20, _more, "codes of a counter (HOTP), from the next one on"),
    "recovery_unlocks": PolicySetting(
        0, 1, _more, "let a recovery code be good while its owner is locked", is_boolean=True
    ),
    "require_standby": PolicySetting(
        0, 1, _less, "deny where no standby confirms what was accepted", is_boolean=True
    ),
    "offline_hours": PolicySetting(
        0, 168, _more, "hours that a host may answer for without the database; 0: none"
    ),
    "first_enrollment": PolicySetting(
        0, 1, _more, "let people enroll at their first login on a host", is_boolean=True
    ),
}


@click.command()
@click.argument("setting", nargs=-1, metavar="[KEY=VALUE]...")
@json_option
@pass_session
def policy(session: Session, setting: tuple[str, ...], as_json: bool) -> None:
    """Show the fleet's policy, or change it.

    It counts on every host in place of the same keys in pam_totp.conf, from the next code on. A
    host may only narrow the window. What weakens it is said.
    """
    wanted = dict(map(parsed, setting))
    from . import administrator

    with administrator.read(session).administration() as fleet:
        before = fleet.policy()
        after = before | wanted
        if after["throttle_max"] < after["throttle_base"]:
            raise click.UsageError("throttle_max is below throttle_base")
        changed = {key: value for key, value in wanted.items() if value != before[key]}
        if changed.get("require_standby") and not fleet.has_standby():
            raise CommandFailed(
                "no synchronous standby is configured: every code of the fleet would be denied",
                "first set synchronous_standby_names on the database server",
            )
        if changed:
            fleet.change_policy(changed)
    for key, value in changed.items():
        session.log("policy_changed", "", detail=f"{key}={_in_words(key, value)}")
        output.message(f"{key}: {_in_words(key, before[key])} became {_in_words(key, value)}")
        if SETTINGS[key].weakens(before[key], value):
            output.warning(f"this is weaker than before: {SETTINGS[key].meaning}")
    if as_json:
        output.result_json(
            {key: bool(v) if SETTINGS[key].is_boolean else v for key, v in after.items()}
        )
    elif not setting:
        rows = [(k, _in_words(k, v), SETTINGS[k].meaning) for k, v in after.items()]
        output.result_table(("KEY", "VALUE", "MEANING"), rows)
    elif not changed:
        output.message("this changes nothing")


def parsed(text: str) -> tuple[str, int]:
    """Return the key of KEY=VALUE, and its value as a number. Raises UsageError."""
    key, separator, value = text.partition("=")
    if key not in SETTINGS or not separator:
        raise click.UsageError(f"{text}: not KEY=VALUE with a KEY of: {', '.join(SETTINGS)}")
    setting = SETTINGS[key]
    if setting.is_boolean:
        if value not in ("yes", "no"):
            raise click.UsageError(f"{key} must be yes or no")
        return key, int(value == "yes")
    if not (value.isascii() and value.isdigit() and setting.low <= int(value[:9]) <= setting.high):
        raise click.UsageError(f"{key} must be a whole number from {setting.low} to {setting.high}")
    return key, int(value)


def _in_words(key: str, value: int) -> str:
    return ("no", "yes")[value] if SETTINGS[key].is_boolean else str(value)
