"""What enable keeps: the change that waits, the list of services, second names of files."""

from __future__ import annotations

import glob
from collections.abc import Iterator

from pam_totp.errors import PamTotpError

from ..switching import enabled, planning, spares, trial_record
from .facts import Facts
from .finding import NOTE, WRONG, Found, check

LEFTOVERS = ("/etc/pam.d/.pam_totp-before.*", "/etc/ssh/sshd_config.d/.pam_totp-before.*")


@check("enabled-file", NOTE, "nobody notices if an update takes a pam_totp line out")
def enabled_file(_facts: Facts) -> Iterator[Found]:
    try:
        enabled.remembered()
    except PamTotpError as error:
        yield str(error), error.hint


@check("trial", NOTE, "without a confirmation, all is put back as it was")
def trial(_facts: Facts) -> Iterator[Found]:
    pending = trial_record.pending()
    if pending and pending.seconds_left() > 0:
        minutes, seconds = divmod(int(pending.seconds_left()), 60)
        yield (
            f"{', '.join(pending.services)}: put back in {minutes} min {seconds} s",
            "log in from a second terminal; then run: totpctl confirm",
        )


@check("trial-overdue", WRONG, "the switch back that was promised has not happened")
def trial_overdue(_facts: Facts) -> Iterator[Found]:
    pending = trial_record.pending()
    if pending and pending.seconds_left() <= 0:
        yield f"{', '.join(pending.services)}: was to be put back by now", "run: totpctl revert"


@check("leftovers", NOTE, "they are copies that nobody needs, from a change that was cut off")
def leftovers(_facts: Facts) -> Iterator[Found]:
    if trial_record.pending():
        return
    for path in sorted(path for pattern in LEFTOVERS for path in glob.glob(pattern)):
        yield f"{path} was left behind", f"run: rm {path}"


@check("spare-files", NOTE, "where others fill the disk, disable and revert fail")
def spare_files(_facts: Facts) -> Iterator[Found]:
    for spare in spares.missing(planning.paths_on()):
        yield f"{spare.path}: there is no spare file {spare.name}", "run: totpctl init"


CHECKS = (trial_overdue, trial, enabled_file, leftovers, spare_files)
