"""What enable keeps: the change that waits, the list of services, second names of files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence

from pam_totp.system.errors import PamTotpError

from ..enable import blocks, enabled, planning, reached, spares, sshd_files, trial_record
from ..errors import CommandFailed
from ..host import pam_file, sshd
from ..host.sshd import process as sshd_process
from .facts import SSHD, CannotTell, Facts
from .finding import NOTE, WRONG, Found, check

LEFTOVERS = ("/etc/pam.d/.pam_totp-before.*", "/etc/ssh/sshd_config.d/.pam_totp-before.*")


@check("undo-unfinished", WRONG, "parts of it ask for no code any more, others still do")
def undo_unfinished(_facts: Facts) -> Iterator[Found]:
    """Where revert or disable failed in the middle, mostly as sshd refuses its settings."""
    pending = trial_record.pending()
    if pending and pending.seconds_left() > 0 and trial_record.undo_has_begun(pending):
        again = _then(trial_record.command_to_finish(pending), pending.services)
        yield f"{pending.subject}: only a part was undone", again
    elif not pending and blocks.is_half_undone(sshd_files.pam_file()):
        problem = "sshd: only a part was switched off; key logins are not asked for anything"
        yield problem, _then(f"totpctl disable {SSHD}", (SSHD,))


def _then(command: str, services: Sequence[str]) -> str:
    """Return how ``command`` is run: where sshd is concerned, after what keeps it from loading."""
    if SSHD not in services or not os.path.exists(sshd_process.program()):
        return f"run: {command}"
    try:
        sshd.check()
    except CommandFailed:
        return f"correct the line that sshd -t names; then run: {command}"
    return f"run: {command}"


@check("enabled-file", NOTE, "nobody notices if an update removes a pam_totp line")
def enabled_file(_facts: Facts) -> Iterator[Found]:
    try:
        enabled.remembered()
    except PamTotpError as error:
        yield str(error), error.hint


@check("not-noted", NOTE, "nobody notices if an update removes a pam_totp line")
def not_noted(facts: Facts) -> Iterator[Found]:
    """Where confirm was cut off, or the list was lost. What waits is noted once it is confirmed."""
    try:
        enabled.remembered()
    except PamTotpError:
        return  # enabled_file says so
    if enabled.is_away():
        return  # the checks of the store say so
    pending, confirmed = trial_record.pending(), trial_record.confirmed()
    to_come = pending.services if pending else ()
    for name, path in planning.not_noted():
        if name in to_come or blocks.is_half_undone(path):
            continue
        is_cut_off = confirmed is not None and name in confirmed.services
        again = "totpctl confirm" if is_cut_off else f"totpctl enable {name}"
        if pam_file.is_part(name) and not is_cut_off:
            instead = " ".join(reached.logins_by_part(name, facts.services)) or "SERVICE"
            again = f"totpctl disable {name}; totpctl enable {instead}"
        yield (
            f"{path} has lines of totpctl enable, but {name} is not recorded as on",
            f"run: {again}",
        )


@check("trial", NOTE, "without a confirmation, everything is undone")
def trial(_facts: Facts) -> Iterator[Found]:
    pending = trial_record.pending()
    if pending and not trial_record.undo_has_begun(pending):
        minutes, seconds = divmod(int(pending.seconds_left()), 60)
        yield (
            f"{pending.subject}: undone in {minutes} min {seconds} s unless confirmed",
            "log in from a second terminal; then run: totpctl confirm",
        )


@check("trial-overdue", WRONG, "the change was not confirmed in time, and has not been undone")
def trial_overdue(_facts: Facts) -> Iterator[Found]:
    pending = trial_record.pending()
    if pending and pending.seconds_left() <= 0:
        again = _then("totpctl revert", pending.services)
        yield f"{pending.subject}: should have been undone by now", again


@check("leftovers", NOTE, "they are unneeded copies, left by a change that was interrupted")
def leftovers(_facts: Facts) -> Iterator[Found]:
    if trial_record.pending():
        return
    is_cut_off = trial_record.confirmed() is not None
    for path in sorted(path for pattern in LEFTOVERS for path in glob.glob(pattern)):
        yield f"{path} was left behind", f"run: {'totpctl confirm' if is_cut_off else f'rm {path}'}"


@check("spare-files", NOTE, "if the disk fills up, disable and revert fail")
def spare_files(_facts: Facts) -> Iterator[Found]:
    try:
        missing = spares.missing(planning.paths_on())
    except PamTotpError as error:
        raise CannotTell from error  # files that others can write: a finding of its own
    for spare in missing:
        yield f"{spare.path}: there is no spare file {spare.name}", "run: totpctl init"


CHECKS = (trial_overdue, undo_unfinished, trial, enabled_file, not_noted, leftovers, spare_files)
