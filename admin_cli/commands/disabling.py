"""disable: what it does; its argument is in logins.py."""

from __future__ import annotations

from collections.abc import Sequence

from .. import output
from ..enable import planning, reached, switch, trial
from ..errors import CommandFailed
from ..session import Session


def disable(session: Session, service: Sequence[str]) -> None:
    """Take out of the files of each service what enable wrote."""
    services = planning.with_companions(service)
    with trial.changing():
        changes = planning.changes_to_disable(services)
        changed = switch.disable(session, services)
    still = planning.still_asked_by(services)
    for name in services:
        if name not in still:
            said = "no longer asks for a code" if name in changed else "is off"
            output.message(f"{name} {said}")
    for sentence in reached.after_disable(changes, services):
        output.message(sentence)
    if still:
        raise CommandFailed(
            "; ".join(f"{name} still asks for a code: {line}" for name, line in still.items()),
            "remove that line with an editor; or, if enable wrote it, name the file: "
            "totpctl disable FILE",
        )
