"""Enroll many people: hash recovery codes on all cores, write sheets, commit records.

A sheet is on the disk before the record of its person is committed: nobody is enrolled without one.
Some people share a commit: those whose codes were hashed within two seconds. Whatever ends this,
the others are not enrolled, and the same command goes on with them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pam_totp.core.users import UserRecord

from ... import output
from ...host import signals
from ...session import Session, now
from ..enrollment.hashing import CodeMaker, NewCodes
from . import plan
from .plan import Newcomer
from .report import Report
from .sheet_folder import SheetFolder
from .sheets import Sheet

if TYPE_CHECKING:
    from pam_totp.store import RecordStore

AT_ONCE = 64  # people that share a commit, at most
SECONDS = 2.0  # after which those who are ready are committed
_AHEAD = 2 * AT_ONCE  # people whose codes are being made

_Made = tuple[Sheet, NewCodes]


def enroll(
    session: Session,
    store: RecordStore,
    people: Sequence[Newcomer],
    folder: SheetFolder | None,
    report: Report,
) -> int:
    """Enroll ``people``, and return how many. What stops it notes how far it came."""
    done = 0
    unsettled: list[str] = []  # whose sheets are there, and whose records may be
    try:
        with (
            report.progress(len(people)) as advance,
            signals.interruptible() as interruption,
            CodeMaker() as maker,
        ):
            for group in _groups(people, maker):
                with interruption.deferred():
                    new = [sheet for sheet, _ in group]
                    if folder is not None:
                        folder.write(new)
                    report.hand_out(new)
                    unsettled = [sheet.offer.user for sheet in new]
                    records = _commit(session, store, group)
                    unsettled = []
                    done += _finish(session, group, records, folder, report)
                    advance(len(group))
    except BaseException as error:
        error.add_note(
            f"{done} of {len(people)} people were enrolled; the same command enrolls the rest and "
            "changes nothing of these"
        )
        if unsettled:
            what = "sheets" if folder is not None else "secrets that were shown"
            error.add_note(f"until then, the {what} of these may be void: {', '.join(unsettled)}")
        raise
    return done


def _groups(people: Sequence[Newcomer], maker: CodeMaker) -> Iterator[list[_Made]]:
    """Yield people with their codes, in their order, as many as are to share a commit."""
    waiting: deque[tuple[Newcomer, Callable[[], NewCodes]]] = deque()
    coming = iter(people)
    group: list[_Made] = []
    begin = time.monotonic()
    while True:
        while len(waiting) < _AHEAD and (person := next(coming, None)):
            waiting.append((person, maker.begin()))
        if not waiting:
            break
        person, codes_of = waiting.popleft()
        codes = codes_of()
        group.append((Sheet(person.offer, person.full_name, codes.codes), codes))
        if len(group) >= AT_ONCE or time.monotonic() - begin >= SECONDS:
            yield group
            group, begin = [], time.monotonic()
    if group:
        yield group


def _commit(session: Session, store: RecordStore, group: Sequence[_Made]) -> dict[str, UserRecord]:
    """Save the records of ``group``, and return them: not those that others have enrolled since."""
    saved = {}
    with store.joint_transaction([sheet.offer.user for sheet, _ in group]) as transaction:
        for sheet, codes in group:
            name = sheet.offer.user
            record = transaction.records.get(name)
            if plan.is_enrolled(session, record, name):
                continue
            record = session.bound(record or UserRecord(name, created_at=now()))
            record = record.with_authenticator(sheet.offer.authenticator, now())
            record = record.with_recovery_codes(codes.salt, codes.digests).changed_at(now())
            transaction.save(record)
            saved[name] = record
    return saved


def _finish(
    session: Session,
    group: Sequence[_Made],
    records: dict[str, UserRecord],
    folder: SheetFolder | None,
    report: Report,
) -> int:
    """Log and report who was enrolled, and return how many."""
    late = [sheet.offer.user for sheet, _ in group if sheet.offer.user not in records]
    if late and folder is not None:
        folder.remove(late)
    elif late:
        output.warning(f"enrolled by somebody else, so that what was shown is void: {late}")
    report.already(late)
    for sheet, codes in group:
        name = sheet.offer.user
        if name in records:
            session.log("enrolled", name, authenticator=sheet.offer.authenticator.label)
            session.log("codes_issued", name, recovery_codes_left=str(len(codes.codes)))
            report.enrolled(sheet, records[name])
    return len(records)
