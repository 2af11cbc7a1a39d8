"""What is said of a bulk enrollment: while it runs, and in the end.

A line a person goes to standard output, but not to a terminal: there a bar on standard error shows
how far it is. JSON has secrets only where there are no sheets that could hold them.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import click

from pam_totp.core import users
from pam_totp.core.users import UserRecord

from ... import output
from ...importing.tokens import Rejected
from ..enrollment import handover
from ..importing.report import name_rejected
from . import pdf, sheet_files
from .plan import EnrollmentPlan, Newcomer, entries_too_long
from .sheet_folder import SheetFolder
from .sheets import Sheet

ENROLLED, ALREADY, REJECTED, PLANNED = (
    *("enrolled", "enrolled already", "rejected"),
    "to be enrolled",
)


class Report:
    """``folder``: where sheets go, None for none; with ``as_json`` their people's secrets then
    stand in the document. A context manager.
    """

    def __init__(self, folder: SheetFolder | None, *, as_json: bool) -> None:
        self._folder = folder
        self._as_json = as_json
        self._has_lines = not as_json and not sys.stdout.isatty()
        self._add: Callable[[object], None] = _ignore
        self._document = contextlib.ExitStack()
        self._already: list[str] = []
        self._statuses: dict[str, list[str]] = {}

    def __enter__(self) -> Report:
        if self._as_json:
            self._add = self._document.enter_context(output.result_json_array())
        return self

    def __exit__(self, *_: object) -> None:
        self._document.close()

    def rejected(self, rejected: Iterable[Rejected]) -> None:
        rejected = list(rejected)
        for each in rejected:
            place = {"place": each.place, "reason": each.reason}
            self._add({"user": each.user, "result": REJECTED, **place})
        name_rejected(rejected)

    def already(self, names: Iterable[str]) -> None:
        for name in names:
            self._already.append(name)
            self._add({"user": name, "result": ALREADY})
            self._line(f"{name}: {ALREADY}")

    def planned(self, new: Iterable[Newcomer]) -> None:
        for each in new:
            self._add({"user": each.name, "result": PLANNED})
            self._line(f"{each.name}: {PLANNED}")
        if not (self._has_lines or self._as_json):
            for each in new:
                output.result(each.name)

    @contextlib.contextmanager
    def progress(self, people: int) -> Iterator[Callable[[int], None]]:
        """Show how many of ``people`` are done; what is yielded is told of more of them."""
        if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
            yield _ignore
            return
        with click.progressbar(
            length=people, label="Enrolling", file=sys.stderr, show_pos=True
        ) as bar:
            yield bar.update

    def hand_out(self, new: Iterable[Sheet]) -> None:
        """Show the secrets of people who are about to be enrolled, and have them on the disk."""
        if self._folder is None:
            for sheet in new:
                self._add(_document(sheet, None))
            output.keep_results()

    def enrolled(self, sheet: Sheet, record: UserRecord) -> None:
        name = record.name
        if record.status != users.ACTIVE:
            self._statuses.setdefault(record.status, []).append(name)
        if self._folder is not None:
            path = self._folder.path_of(name)
            self._add(_document(sheet, path))
            self._line(f"{name}: {ENROLLED}, {path}")

    def end(self, count: int) -> None:
        """Say what came of it, and what follows."""
        if self._already and not (self._has_lines or self._as_json):
            output.message(f"enrolled already, and left alone: {', '.join(self._already)}")
        for status, names in self._statuses.items():
            output.warning(f"{status}: {output.some_of(names)}")
        already = f"; {len(self._already)} were already" if self._already else ""
        output.message(f"{_people(count)} enrolled{already}")
        if count and self._folder is not None:
            output.message(
                f"a sheet of each is in {self._folder.path}, for root alone: hand them out, then "
                "destroy what is left with shred -u"
            )

    def _line(self, text: str) -> None:
        if self._has_lines:
            output.result(text)


def warn(plan: EnrollmentPlan, form: str | None) -> None:
    """Warn of what some apps, or the sheets in ``form``, do not take; None: there are none."""
    if plan.without_account:
        names = output.some_of(plan.without_account)
        output.warning(f"there is no such user on this machine: {names}")
    if too_long := entries_too_long(plan.new):
        output.warning(
            f"the app's entries of {output.some_of(too_long)} are too long for a YubiKey: choose a "
            "shorter issuer in the configuration"
        )
    if form == sheet_files.PDF and (numbered := _not_printable(plan.new)):
        output.warning(
            f"no font here has all letters of {output.some_of(numbered)}: their sheets have "
            f"numbers in place of them; for Greek, Cyrillic and more, install {pdf.FONT_PACKAGE}"
        )


def _not_printable(new: Sequence[Newcomer]) -> list[str]:
    blank = ((each.name, Sheet(each.offer, each.full_name, [])) for each in new)
    return [
        name
        for name, sheet in blank
        if pdf.is_replaced(f"{sheet.title} {sheet.person} {sheet.offer.entry}")
    ]


def _document(sheet: Sheet, path: str | None) -> dict[str, object]:
    """Return what --json says of somebody who was enrolled; with secrets where no sheet has any."""
    offered = sheet.offer
    codes = [] if path else sheet.codes
    document = handover.document(offered.user, offered.authenticator, offered, codes)
    if path:
        document |= {"secret": None, "uri": None}
    return {"user": offered.user, "result": ENROLLED, "sheet": path, **document}


def _ignore(_: object) -> None:
    pass


def _people(count: int) -> str:
    return f"{count} {'person was' if count == 1 else 'people were'}"
