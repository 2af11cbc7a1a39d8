"""What people change of their own enrollment, and what later logins tell them of it.

Pure. The rules are those of an administrator's commands, and stricter: nobody ends their own
enrollment, or begins one. A change is allowed by a code or a recovery code, which was judged, and
used up, before. It is noted in the record as a line of text, so that a login which has nothing to
tell loads nothing of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import verifier
from .dates import DAY, day_of
from .users import ACCEPTABLE, UserRecord

if TYPE_CHECKING:
    from .users import Account, Authenticator
    from .verifier import Policy

ADD, NEW_PHONE, REMOVE, RECOVERY_CODES = "add", "new-phone", "remove", "recovery-codes"
KINDS = (ADD, NEW_PHONE, REMOVE, RECOVERY_CODES)
OF_A_LABEL = (ADD, NEW_PHONE, REMOVE)

AUTHENTICATORS_AT_MOST = 5  # that people give themselves: each login compares with all of them
NOTED_AT_MOST = 5  # the latest; a row stays short
TOLD_SECONDS = 3 * DAY  # by every login; and for longer where none came in that time
TOGETHER_SECONDS = 30 * DAY  # changes that are told together
MOST_WHERE = 100  # characters

# Why a change is not made.
KNOWN_LABEL = "there is an authenticator with this label already"
NO_SUCH_LABEL = "there is no authenticator with this label"
LAST_ONE = "this is the last authenticator"
TOO_MANY = "there are as many authenticators as people may give themselves"


class OwnChange(NamedTuple):
    """A change, with what it takes: a new authenticator, or the digests of recovery codes.

    ``where``: of the person who makes it, in words.
    """

    kind: str
    label: str = ""
    where: str = ""
    authenticator: Authenticator | None = None
    salt: bytes = b""
    digests: frozenset[bytes] = frozenset()

    def __repr__(self) -> str:
        return f"<OwnChange {self.kind}>"


class Note(NamedTuple):
    """What a record keeps of a change that was made at unix time ``at``."""

    at: int
    kind: str
    label: str
    where: str

    @property
    def time(self) -> str:
        """Return when it was, in UTC."""
        hour, minute = divmod(self.at % DAY // 60, 60)
        return f"{day_of(self.at)} {hour:02}:{minute:02} UTC"


def may_change(record: UserRecord | None, account: Account) -> bool:
    """Tell whether ``account`` has an enrollment to look at, and to change.

    Not where a code would not let it in: without an authenticator, while suspended, or where the
    record is that of an older account. These are not told apart.
    """
    return (
        record is not None
        and bool(record.authenticators)
        and record.status in ACCEPTABLE
        and not record.is_of_another_account(account)
    )


def may_guess(record: UserRecord, now: int, policy: Policy) -> bool:
    """Tell whether an answer may be judged here that would count as a guess if it is wrong.

    Fewer than a login may give: no program that its owner runs makes the owner's own logins wait
    or locks them. A login with a right code ends the row, and time gives the slow budget back.
    """
    locks = verifier.locked_from(policy.max_failures)
    most = min(policy.throttle_after, locks)
    spent = verifier.guesses_spent(record, now, policy)
    # Where the first wrong code already has to wait; but not where it locks.
    is_first = record.failures == 0 and locks > 1
    return (is_first or record.failures < most - 1) and spent < policy.slow_guesses // 2


def refusal(record: UserRecord, kind: str, label: str) -> str:
    """Return why ``record`` does not take a change; "": it does."""
    labels = [authenticator.label for authenticator in record.authenticators]
    if kind == ADD and label in labels:
        return KNOWN_LABEL
    if kind == ADD and len(labels) >= AUTHENTICATORS_AT_MOST:
        return TOO_MANY
    if kind in (NEW_PHONE, REMOVE) and label not in labels:
        return NO_SUCH_LABEL
    if kind == REMOVE and len(labels) == 1:
        return LAST_ONE
    return ""


def is_still(record: UserRecord | None, before: UserRecord) -> bool:
    """Tell whether nothing was decided about ``record`` since it was ``before``.

    Logins may go on: they move steps, and use up recovery codes.
    """
    return record is not None and _decided(record) == _decided(before)


def changed(record: UserRecord, change: OwnChange, now: int) -> UserRecord:
    """Return ``record`` after ``change``, which refusal() has nothing against.

    From then on a code is asked for wherever its user is.
    """
    after = record
    if change.kind in (NEW_PHONE, REMOVE):
        others = tuple(a for a in record.authenticators if a.label != change.label)
        after = record._replace(authenticators=others)
    if change.authenticator is not None:
        after = after.with_authenticator(change.authenticator, now)
    if change.kind == RECOVERY_CODES:
        after = after.with_recovery_codes(change.salt, change.digests)
    note = Note(now, change.kind, change.label, _one_line(change.where)[:MOST_WHERE])
    noted = after._replace(own_changes=_noted(record.own_changes, note))
    return noted.without_remembered().changed_at(now)


def to_tell(record: UserRecord, now: int) -> list[Note]:
    """Return the changes that a login tells its person of: for TOLD_SECONDS, each login does.

    Whoever has changed something with somebody else's code logs in first, and must not be the only
    one who hears. After that they are told until an authenticator has been used since; with the
    last one, all that came shortly before it.
    """
    notes = notes_of(record.own_changes)
    if not notes:
        return []
    last = max(note.at for note in notes)
    used_at = max((a.last_used_at or 0 for a in record.authenticators), default=0)
    if now - last >= TOLD_SECONDS and used_at > last:
        return []
    return [note for note in notes if last - note.at < TOGETHER_SECONDS]


def notes_of(text: str) -> list[Note]:
    """Return what a record has noted. A line that no save wrote is none, and denies nobody."""
    notes = []
    for line in text.split("\n"):
        fields = line.split("\t")
        if len(fields) == len(Note._fields) and fields[0].isdecimal() and fields[1] in KINDS:
            notes.append(Note(int(fields[0]), *fields[1:]))
    return notes


def _noted(text: str, note: Note) -> str:
    line = "\t".join((str(note.at), note.kind, _one_line(note.label), note.where))
    return "\n".join([*text.split("\n"), line][-NOTED_AT_MOST:]) if text else line


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def _decided(record: UserRecord) -> tuple[object, ...]:
    ids = frozenset(authenticator.id for authenticator in record.authenticators)
    return record.status, record.exempt_until, record.uid, record.recovery_salt, ids
