"""What enroll does with many people, in the order in which everything is checked."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ... import output
from ...errors import CommandFailed
from ...session import Session
from ..enrollment import issuing
from ..enrollment.issuing import Wanted
from . import enrolling, pdf, plan, report, roster, sheet_files
from .options import Many
from .plan import EnrollmentPlan
from .report import Report
from .sheet_folder import SheetFolder

if TYPE_CHECKING:
    from pam_totp.store import RecordStore


def carry_out(session: Session, many: Many, wanted: Wanted, *, as_json: bool) -> None:
    """Check everything, then enroll. Raises CommandFailed, and has enrolled nobody.

    What goes wrong later says how far it came.
    """
    form = many.form or sheet_files.PDF
    folder = None if many.sheets is None else SheetFolder(many.sheets, form)
    if folder is not None:
        folder.check()
        if form == sheet_files.PDF:
            pdf.load()
    issuing.warn_of_unusual(wanted)
    with session.open_store() as store:
        store.check_key()
        entries = roster.of_groups(many.groups) if many.groups else roster.of_file(str(many.source))
        found = plan.make(session, store, entries, wanted)
        with Report(folder, as_json=as_json) as told:
            _enroll(session, store, many, found, folder, told)


def _enroll(
    session: Session,
    store: RecordStore,
    many: Many,
    found: EnrollmentPlan,
    folder: SheetFolder | None,
    told: Report,
) -> None:
    told.rejected(found.rejected)
    if problem := _problem(found, many):
        raise problem
    report.warn(found, many.form or sheet_files.PDF if folder is not None else None)
    told.already(found.enrolled)
    if many.dry_run:
        told.planned(found.new)
        output.message("nothing was changed, because of --dry-run")
        return
    with contextlib.nullcontext() if folder is None else folder.held():
        if folder is not None:
            folder.remove_unfinished(newcomer.name for newcomer in found.new)
        count = enrolling.enroll(session, store, found.new, folder, told)
    told.end(count)


def _problem(found: EnrollmentPlan, many: Many) -> CommandFailed | None:
    """Return why nobody is enrolled; None where somebody is, or everybody is already."""
    named = len(found.new) + len(found.enrolled) + len(found.rejected)
    if found.rejected and not many.skip_bad:
        return CommandFailed(
            f"{len(found.rejected)} of {named} people cannot be enrolled, so nobody was",
            "fix them, or enroll the others with --skip-bad",
        )
    if not (found.new or found.enrolled):
        return CommandFailed("there is nobody who can be enrolled")
    return None
