"""Which of the people named are new, with everything checked. Nothing is written here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pam_totp.core.users import UserRecord

from ...errors import CommandFailed
from ...host import directory
from ...importing import naming
from ...importing.tokens import Rejected, Unusable
from ...session import Session
from ..enrollment import handover, issuing
from ..enrollment.handover import Offer
from ..enrollment.issuing import Wanted
from .roster import RosterEntry

if TYPE_CHECKING:
    from pam_totp.store import RecordStore

MOST_NAME_BYTES = 200  # a file that is called like it has to have a name as well


class Newcomer(NamedTuple):
    """Somebody to enroll. ``full_name``: of the account, "" if it has none."""

    offer: Offer
    full_name: str

    @property
    def name(self) -> str:
        return self.offer.user


class EnrollmentPlan(NamedTuple):
    new: tuple[Newcomer, ...]
    enrolled: tuple[str, ...]  # already: they are left alone
    rejected: tuple[Rejected, ...]
    without_account: tuple[str, ...]  # of a fleet: there is none on this machine


def make(
    session: Session, store: RecordStore, entries: Sequence[RosterEntry], wanted: Wanted
) -> EnrollmentPlan:
    """Decide about everybody. Raises CommandFailed where the directory does not answer."""
    directory.expect(entry.name for entry in entries if entry.name.isprintable())
    rejected: list[Rejected] = []
    people: dict[str, RosterEntry] = {}
    for entry in entries:
        try:
            name = _name(session, entry)
            if name in people:
                raise Unusable("is named for a second time")
            people[name] = entry
        except Unusable as error:
            rejected.append(Rejected(entry.place, str(error), entry.name))
    records = store.load_all(list(people))
    new, enrolled = [], []
    for name, entry in people.items():
        try:
            if is_enrolled(session, records.get(name), name):
                enrolled.append(name)
            else:
                new.append(_newcomer(session, entry, name, wanted))
        except CommandFailed as error:
            rejected.append(Rejected(entry.place, f"{error}; {error.hint}", entry.name))
    there = {newcomer.name for newcomer in new if directory.person(newcomer.name)}
    without_account = tuple(each.name for each in new if each.name not in there)
    return EnrollmentPlan(tuple(new), tuple(enrolled), tuple(rejected), without_account)


def is_enrolled(session: Session, record: UserRecord | None, name: str) -> bool:
    """Raise CommandFailed where the record is another account's."""
    return record is not None and bool(session.same_account(record, name).authenticators)


def entries_too_long(new: Iterable[Newcomer]) -> list[str]:
    return [each.name for each in new if handover.is_too_long(each.offer)]


def _name(session: Session, entry: RosterEntry) -> str:
    """Return the canonical name of a person. Raises Unusable, CommandFailed."""
    if entry.problem:
        raise Unusable(entry.problem)
    name = naming.canonical_name(entry.name, without_accounts=session.is_of_fleet)
    if len(name.encode("utf-8")) > MOST_NAME_BYTES:
        raise Unusable(f"the name has more than {MOST_NAME_BYTES} bytes")
    return name


def _newcomer(session: Session, entry: RosterEntry, name: str, wanted: Wanted) -> Newcomer:
    own = wanted._replace(label=entry.label or wanted.label, serial=entry.serial)
    new = issuing.new_authenticator(own)
    return Newcomer(Offer(name, new, handover.entry_of(session, name)), _full_name(name))


def _full_name(name: str) -> str:
    """Return the first part of what passwd(5) says of a person; & stands for the name."""
    entry = directory.person(name)
    if entry is None:
        return ""
    written = entry.pw_gecos.partition(",")[0].replace("&", name.capitalize()).strip()
    return written if written.isprintable() and written != name else ""
