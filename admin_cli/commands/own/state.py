"""What people are shown of their own state."""

from __future__ import annotations

from typing import Any

from pam_totp.login.self_service import STATE

from ... import output
from . import talking


def show(*, as_json: bool) -> None:
    state: dict[str, Any] = talking.ask(STATE)
    if as_json:
        output.result_json(_with_times(state))
        return
    output.result(f"{state['user']}: you log in with a code")
    output.result()
    rows = [
        (one["label"], _time(one["created_at"]), _time(one["last_used_at"], "never"))
        for one in state["authenticators"]
    ]
    output.result_table(("AUTHENTICATOR", "SINCE", "LAST USED"), rows)
    output.result()
    left = state["recovery_codes_left"]
    if left is not None:
        output.result(f"recovery codes left: {left}")
    if state["wrong_codes_not_told"]:
        output.result(f"wrong codes since the last login: {state['wrong_codes_not_told']}")
    for number, place in enumerate(state["known_places"]):
        heading = "logged in from:" if number == 0 else ""
        output.result(f"{heading:16}{place['place']}, {_time(place['last_used_at'])}")
    for number, change in enumerate(state["own_changes"]):
        heading = "changed by you:" if number == 0 else ""
        words = " ".join(filter(None, (change["command"], change["label"])))
        where = f", from {change['from']}" if change["from"] else ""
        output.result(f"{heading:16}{words}, {_time(change['at'])}{where}")


def _time(unix_time: int | None, otherwise: str = "-") -> str:
    return output.iso_time(unix_time) or otherwise


def _with_times(state: dict[str, Any]) -> dict[str, Any]:
    """Return ``state`` with its times as ISO 8601."""
    times = ("created_at", "last_used_at", "at")
    lists = ("authenticators", "known_places", "own_changes")
    for key in lists:
        for one in state[key]:
            for name in times:
                if name in one:
                    one[name] = output.iso_time(one[name])
    return state
