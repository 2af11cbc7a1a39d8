"""Enable, confirm, revert, disable: the steps of each, in the order in which they are safe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from pam_totp.system.errors import PamTotpError

from .. import output
from ..errors import CommandFailed, error_in_words, os_error_in_words
from ..host import files, sshd
from ..host.signals import interruptible, uninterrupted
from ..session import Session
from . import (
    automatic_undo,
    enabled,
    exempted,
    imported,
    planning,
    spares,
    sshd_files,
    trial,
    trial_record,
)
from .trial import Change, Migration
from .trial_record import ChangedFile, Trial

KEY_ONLY = "key only"  # the reason in the log
SPARES_WAIT = 5.0  # seconds for another totpctl


def enable(
    services: Sequence[str],
    keys: str | None,
    changes: Sequence[Change],
    seconds: int,
    by_ssh: Sequence[str],
    recovery_sets: Mapping[str, int] | None = None,
) -> tuple[Trial, list[str]]:
    """Carry out ``changes`` as a trial, and return it with what to warn of.

    The trial is of those of ``services`` that are changed: the others stay on, however it ends.
    ``by_ssh``: for whom what sshd does is looked at. ``recovery_sets``: as Trial has it.

    Any failure, also Ctrl-C, undoes everything. Raises CommandFailed then.
    """
    with interruptible():
        changed = planning.changed_by(changes, services)
        keys_of_trial = keys if planning.SSHD in changed else None
        new = trial.begin(changes, changed, keys_of_trial, seconds, recovery_sets)
        with undone_if_it_fails(new):
            warnings = automatic_undo.arrange(new)
            trial.carry_out(new, changes)
            if planning.SSHD in services:
                with sshd.ask_once():
                    sshd_files.check_in_force(str(keys), by_ssh)
                sshd.reload()
        return new, warnings


def migrate(
    session: Session,
    services: Sequence[str],
    changes: Sequence[Change],
    seconds: int,
    recovery_sets: Mapping[str, int] | None,
    migration: Migration,
    enroll: Callable[[], None],
) -> tuple[Trial, list[str]]:
    """Carry out ``changes`` as enable does, after ``enroll`` has put people into the store.

    The people of ``migration`` are in the record before they are in the store, so that an undo
    finds them whenever this is cut off.
    """
    with interruptible():
        new = trial.begin(changes, services, None, seconds, recovery_sets, migration)
        with undone_if_it_fails(new, partial(imported.forget, session, new)):
            warnings = automatic_undo.arrange(new)
            enroll()
            trial.carry_out(new, changes)
        return new, warnings


@contextmanager
def undone_if_it_fails(new: Trial, forget: Callable[[], list[str]] | None = None) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        with uninterrupted():
            _undo(new, error, forget)


def confirm(session: Session, confirmed: Trial) -> None:
    """Let a trial be for good. Raises CommandFailed where that cannot be finished now."""
    with uninterrupted():
        trial_record.mark_confirmed()
        _finish(session, confirmed)


def finish_confirmation(session: Session) -> Trial | None:
    """Finish a confirmation that was cut off, and return its trial; only with the lock.

    None where there is none. Raises CommandFailed where it cannot be finished now either: its
    record has to stay until then.
    """
    confirmed = trial_record.confirmed()
    if confirmed is None:
        return None
    if os.path.isdir(os.path.dirname(enabled.PATH)) and enabled.is_away():
        raise _not_noted(confirmed, "its disk is away")  # begin() left spares there
    with uninterrupted():
        _finish(session, confirmed)
    return confirmed


def _not_noted(confirmed: Trial, reason: str) -> CommandFailed:
    return CommandFailed(
        f"{confirmed.subject}: confirmed, but not recorded in {enabled.PATH}: {reason}",
        "fix that, then run: totpctl confirm; until then doctor does not notice if an "
        "update removes a pam_totp line",
    )


def _finish(session: Session, confirmed: Trial) -> None:
    """Remember what was confirmed, and only then forget the trial."""
    on_now: list[str] = []
    if confirmed.moved_from:
        for problem in trial.drop_lines_of_other_modules(confirmed):
            output.warning(problem)
    try:
        # One that was disabled since the confirmation was cut off is on no more.
        on_now = [name for name in confirmed.services if planning.changes_to_disable([name])]
        if confirmed.services:
            enabled.remember(on_now, confirmed.keys, planning.taking_both(on_now))
    except (OSError, PamTotpError) as error:
        raise _not_noted(confirmed, error_in_words(error)) from None
    with suppress(OSError):
        enabled.replenish_spare()
    for name in on_now:
        session.log("confirmed", "", service=name)
    for name in confirmed.exempted:
        session.log("confirmed", name, service=planning.SSHD, reason=KEY_ONLY)
    automatic_undo.cancel()
    trial.remove_leftovers()


def revert(session: Session, waiting: Trial) -> None:
    """Restore everything as it was before the trial ``waiting``."""
    reason = "revert" if waiting.seconds_left() else "not confirmed in time"
    if not waiting.is_of_this_start():
        reason = "not confirmed before the reboot"
    if waiting.id == trial_record.LOST:
        reason = "its record was lost"
    by_key_alone = exempted.named()
    with uninterrupted():
        for note in trial.undo(waiting, partial(_forget_people, session, waiting)):
            output.message(note)
        automatic_undo.cancel()
        if waiting.id == trial_record.LOST:
            if waiting.moved_from:
                output.message(trial.MAY_BE_ENROLLED)
            for note in exempted.notes_without_a_record(by_key_alone):
                output.warning(note)
        for name in waiting.services:
            session.log("reverted", "", service=name, reason=reason)
        for name in waiting.exempted:
            session.log("reverted", name, service=planning.SSHD, reason=reason)
    command = "exempt" if waiting.exempted else "enable"
    if waiting.moved_from:
        command = "migrate"
        output.message(
            f"codes that were used in the trial may be good once more with {waiting.moved_from}: "
            "of an app while it still accepts them, of a token with a button until its next login"
        )
    output.message(f"{waiting.subject}: everything is as it was before totpctl {command}")


def _forget_people(session: Session, waiting: Trial) -> list[str]:
    return imported.forget(session, waiting) + exempted.forget(session, waiting)


def not_confirmed(waiting: Trial, state: str = "enabled but not confirmed yet") -> CommandFailed:
    """Return why nothing else can be changed while ``waiting`` does; ``state``: in its words."""
    return CommandFailed(
        f"{waiting.subject}: {state}", "first run: totpctl confirm, or: totpctl revert"
    )


def revert_if_due(session: Session) -> None:
    """Do what timer or cron should have done, where they were not there."""
    finish_confirmation(session)
    waiting = trial_record.pending()
    if waiting is not None and trial_record.undo_has_begun(waiting):
        revert(session, waiting)
    if waiting is None:
        trial.remove_leftovers()


def revert_everything(session: Session, damaged: trial_record.Damaged) -> None:
    """Take our lines out of every file: what was there before can no longer be told."""
    output.warning(str(damaged))
    by_key_alone = exempted.named()
    with uninterrupted():
        for note in trial.take_out_everything():
            output.message(note)
        for note in exempted.notes_without_a_record(by_key_alone):
            output.warning(note)
        automatic_undo.cancel()
        session.log("reverted", "", service="all", reason=str(damaged))


def disable(session: Session, services: Sequence[str]) -> set[str]:
    """Take out what enable wrote, and return the services that had something of it.

    sshd comes last, by sshd_files.without_a_gap(), and hears of it before it is forgotten: so a run
    that was interrupted is finished by the next one.
    """
    with uninterrupted():
        paths = {path for name in services for path in planning.paths(name)}
        was_on = {change.path for change in planning.changes_to_disable(services)}
        waiting = trial_record.pending()
        left = [file for file in waiting.files if file.path in paths] if waiting else []
        known_on = {path for name in enabled.services() for path in planning.paths(name)}
        of_sshd = paths & set(planning.paths(planning.SSHD))
        of_sshd = of_sshd if of_sshd & (was_on | known_on | {file.path for file in left}) else set()
        try:
            _take_out(services, left, paths - of_sshd)
            if of_sshd:
                _take_out_of_sshd(services, left)
        except (OSError, PamTotpError):
            _forget_what_is_off(services)
            raise
        if waiting is not None:
            _leave(waiting, paths)
            # Not before: revert needs them after an interrupted run.
            for file in left:
                files.remove(files.beside(file.path, files.BEFORE))
        changed = {name for name in services if was_on & set(planning.paths(name))}
        for name in (name for name in services if name in changed):
            session.log("disabled", "", service=name)
        known = enabled.services()
        noted = {*known, *(waiting.services if waiting is not None else ())}
        noted |= _confirmed_but_not_noted()
        _forget(services)
        spares.remove_unneeded()
        not_noted = [name for name in services if name in changed and name not in noted]
        if not_noted:
            output.warning(
                f"{words(not_noted)}: not recorded as on in {enabled.PATH}; if its disk is not "
                "mounted, run this again once it is, for doctor: totpctl disable "
                + " ".join(not_noted)
            )
        return changed


def _confirmed_but_not_noted() -> set[str]:
    with suppress(OSError, PamTotpError):
        confirmed = trial_record.confirmed()
        return set(confirmed.services if confirmed is not None else ())
    return set()


def _forget(services: Sequence[str]) -> None:
    try:
        enabled.forget(services)
    except (OSError, PamTotpError) as error:
        reason = error_in_words(error)
        raise CommandFailed(
            f"the lines are removed, but {enabled.PATH} cannot be written: {reason}",
            f"fix that, then run again: totpctl disable {' '.join(services)}; until then doctor "
            "reports it as disabled by mistake",
        ) from None


def _forget_what_is_off(services: Sequence[str]) -> None:
    """Forget what a run that failed has switched off; sshd, last, is for the next run to finish."""
    with suppress(OSError, PamTotpError):
        others = [name for name in services if name != planning.SSHD]
        enabled.forget([name for name in others if not planning.changes_to_disable([name])])


def _take_out_of_sshd(services: Sequence[str], left: Sequence[ChangedFile]) -> None:
    try:
        sshd_files.without_a_gap(
            sshd_files.pam_disabled(),
            lambda: _take_out(services, left, {sshd.DROP_IN}),
            lambda: _take_out(services, left, {sshd_files.pam_file()}),
        )
    except CommandFailed as error:
        first = error.hint or "fix that"
        again = f"totpctl disable {' '.join(services)}"
        raise CommandFailed(str(error), f"{first}; then run again: {again}") from None


def _take_out(services: Sequence[str], left: Sequence[ChangedFile], paths: set[str]) -> list[str]:
    """Take our lines out of those files of ``services`` that are among ``paths``."""
    for file in left:
        # One that asked for a code before the trial would do so again for a moment.
        if file.path in paths and file.keys_before is None and not trial.is_lost(file):
            trial.put_file_back(file)
    for change in planning.changes_to_disable(services):
        if change.path not in paths:
            continue
        if change.after is None:
            files.remove(change.path)
            files.sync_folder(change.path)
        else:
            files.replace(change.path, change.after)
    return []


def keep_missing_spares() -> None:
    """Keep room for disable where there is none: enabled by an earlier release, or used up.

    Raises nothing: what keeps it from that is for doctor to note.
    """
    try:
        with trial.changing(wait=SPARES_WAIT):
            for spare in spares.missing(planning.paths_on()):
                files.keep_spare(*spare)
                output.message(f"reserved room for totpctl disable: {spare.name}")
    except (OSError, PamTotpError) as error:
        output.warning(f"totpctl disable may fail on a full disk: {error_in_words(error)}")


def words(services: Sequence[str]) -> str:
    return ", ".join(services)


def _leave(waiting: Trial, paths: set[str]) -> None:
    """Drop the files of ``paths``, which are restored, from the trial, and keep the rest of it."""
    rest = tuple(file for file in waiting.files if file.path not in paths)
    if rest:
        in_rest = {file.path for file in rest}
        services = [n for n in waiting.services if in_rest & set(planning.paths(n))]
        has_begun = trial_record.undo_has_begun(waiting._replace(files=rest))
        trial_record.write(waiting._replace(files=rest, services=tuple(services)))
        if has_begun:
            trial_record.mark_being_undone()
    else:
        trial_record.remove()
        automatic_undo.cancel()


def _undo(new: Trial, error: BaseException, forget: Callable[[], list[str]] | None = None) -> None:
    """Undo everything after ``error``, and raise it in words."""
    reason = str(error)
    if isinstance(error, KeyboardInterrupt):
        reason = "interrupted"
    elif isinstance(error, OSError):
        reason = os_error_in_words(error)
    try:
        trial.undo(new, forget)
        automatic_undo.cancel()
    except (OSError, PamTotpError) as second:
        raise CommandFailed(
            f"{reason}; then: {second}", "it will be retried; or run: totpctl revert"
        ) from None
    if not isinstance(error, (KeyboardInterrupt, OSError, PamTotpError)):
        raise error
    hint = getattr(error, "hint", "")
    raise CommandFailed(f"{reason}; everything is as it was", hint) from None
