"""confirm, revert: keep what enable changed, or undo it; their options are in logins.py."""

from __future__ import annotations

import time
from contextlib import ExitStack

from pam_totp.system.errors import Unavailable

from .. import output
from ..enable import automatic_undo, blocks, planning, switch, trial, trial_record, uses
from ..enable.trial_record import Trial
from ..errors import CommandFailed
from ..host import doctor_timer, files, programs
from ..session import Session

PATIENCE = 30.0  # seconds that a revert waits for another totpctl


def confirm(session: Session, *, yes: bool) -> None:
    """Keep what enable changed. ``yes``: even if nobody has logged in with a code since."""
    waiting = trial_record.pending()
    if waiting is None:
        _finish_what_was_cut_off(session)
        return
    _refuse_what_is_being_undone(waiting)
    if not waiting.exempted and not _somebody_used_a_code(session, waiting):
        began = time.strftime("%H:%M:%S", time.localtime(waiting.started))
        output.warning(f"nobody has logged in with a code since {began}")
        output.confirm("Keep the change anyway?", yes=yes)
    with trial.changing(wait=1):
        now = trial_record.pending()
        if now is None or now.id != waiting.id:
            raise CommandFailed("too late: everything has been undone", "see: totpctl status")
        _refuse_what_is_being_undone(now)
        missing = [
            file.path
            for file in now.files
            if blocks.keys_of(file.path, files.read(file.path)) is None
        ]
        if missing:
            raise CommandFailed(
                f"our lines are no longer in {', '.join(missing)}",
                "run: totpctl revert, then totpctl enable again",
            )
        switch.confirm(session, now)
    _tell_confirmed(now)


def _finish_what_was_cut_off(session: Session) -> None:
    """Finish an earlier confirmation. Raises CommandFailed where there is none."""
    finished = None
    if trial_record.confirmed() is not None:
        with trial.changing(wait=1):
            finished = switch.finish_confirmation(session)
    if finished is None:
        raise CommandFailed(
            "nothing is waiting to be confirmed", "the time may be over; see: totpctl status"
        )
    _tell_confirmed(finished)


def _tell_confirmed(confirmed: Trial) -> None:
    if confirmed.exempted:
        names = ", ".join(confirmed.exempted)
        output.message(f"confirmed: sshd will keep letting in by a key alone: {names}")
        return
    output.message(f"confirmed: {switch.words(confirmed.services)} will keep asking for a code")
    _tell_whether_doctor_looks()


def _tell_whether_doctor_looks() -> None:
    """Say who will notice when what logins ask for is undone, by an update say."""
    if not programs.systemd_runs():
        output.message(
            'an update can remove the code: let cron run "totpctl doctor --quiet" every day'
        )
    elif doctor_timer.is_off():
        output.warning(
            f"no daily check notices if an update removes the code; {doctor_timer.how_to_start()}"
        )
    else:
        output.message(
            "doctor checks every day, and after package upgrades, that the code is still asked for:"
            " journalctl -u pam_totp-doctor"
        )


def _somebody_used_a_code(session: Session, waiting: Trial) -> bool:
    """Raise Unavailable where no code can be checked now: to confirm would keep everybody out."""
    try:
        return uses.somebody_used_a_code(session, waiting.started, waiting.recovery_sets)
    except Unavailable as error:
        at = time.strftime("%H:%M:%S", time.localtime(waiting.deadline()))
        stays = f"nothing is confirmed, and everything is undone at {at}"
        hint = f"{error.hint}; {stays}" if error.hint else stays
        raise Unavailable(error.subject, error.problem, hint) from None


def _refuse_what_is_being_undone(waiting: Trial) -> None:
    if not trial_record.undo_has_begun(waiting):
        return
    begun = "the time is over" if waiting.seconds_left() == 0 else "the undo has begun"
    raise CommandFailed(
        f"{begun}: {waiting.subject} can no longer be confirmed",
        "run: totpctl revert, then begin again",
    )


def revert(session: Session, *, if_due: bool) -> None:
    """Undo what is not confirmed yet. ``if_due``: only if the time to confirm is over."""
    with ExitStack() as held:
        try:
            held.enter_context(trial.changing(wait=PATIENCE))
        except (trial.Busy, OSError) as error:
            # A totpctl that hangs, or a full /run, must not prevent an undo that is due.
            if not _is_due():
                if if_due:
                    return
                raise
            output.warning(f"continuing without the lock: {error}")
            _revert(session, if_due=True)
            return
        try:
            switch.finish_confirmation(session)
        except CommandFailed:
            if if_due:  # nothing is due; the next run tries again, and doctor tells of it
                return
            raise
        _revert(session, if_due=if_due)
        if trial_record.pending() is None:
            trial.remove_leftovers()


def _is_due() -> bool:
    try:
        waiting = trial_record.pending()
    except trial_record.Damaged:
        return True
    return waiting is not None and trial_record.undo_has_begun(waiting)


def _revert(session: Session, *, if_due: bool) -> None:
    try:
        waiting = trial_record.pending()
    except trial_record.Damaged as damaged:
        switch.revert_everything(session, damaged)
        return
    if waiting is None:
        automatic_undo.cancel()
        if not if_due:
            output.message("nothing is waiting to be confirmed; nothing was changed")
            for name, path in planning.not_noted():
                output.warning(
                    f"{path} has lines of totpctl enable, but {name} is not recorded as on"
                )
                output.message(f"if nobody confirmed them, run: totpctl disable {name}")
        return
    if not if_due or trial_record.undo_has_begun(waiting):
        switch.revert(session, waiting)
