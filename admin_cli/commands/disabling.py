"""disable: what it does; its argument is in logins.py."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pam_totp.system.errors import PamTotpError

from .. import output
from ..enable import planning, reached, switch, trial, trial_record
from ..errors import CommandFailed
from ..session import Session


def disable(session: Session, service: Sequence[str]) -> None:
    """Take out of the files of each service what enable wrote."""
    services = planning.with_companions(service)
    with trial.changing():
        _refuse_a_migration(services)
        changes = planning.changes_to_disable(services)
        changed = switch.disable(session, services)
    _forget_places(session, changed)
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


def _forget_places(session: Session, services: Collection[str]) -> None:
    """Ask for a code everywhere, once the services are on again. Off they are all the same.

    A fleet's records are its administrators'.
    """
    if session.is_of_fleet or not services:
        return
    try:
        with session.open_store() as store:
            for name in [r.name for r in store.records() if r.without_remembered_by(services) != r]:
                with store.transaction(name, unseal=False) as transaction:
                    if transaction.record is not None:
                        transaction.save(transaction.record.without_remembered_by(services))
    except (CommandFailed, PamTotpError, OSError) as error:
        output.warning(f"remembered places are still there: {error}")


def _refuse_a_migration(services: Sequence[str]) -> None:
    """Raise CommandFailed for a file that a trial moves from another module.

    Without it people would be asked for no code at all, or by both modules for the same ones.
    """
    waiting = trial_record.pending()
    if waiting is None or not waiting.moved_from:
        return
    changed = {file.path for file in waiting.files}
    names = [name for name in services if changed & set(planning.paths(name))]
    if names:
        raise CommandFailed(
            f"{switch.words(names)}: moved from {waiting.moved_from}, and not confirmed yet",
            f"to move back, run: totpctl revert; to ask for no code at all: totpctl confirm, then "
            f"totpctl disable {' '.join(names)}",
        )
