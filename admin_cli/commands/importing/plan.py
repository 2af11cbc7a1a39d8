"""What an import would do: whose each token is, and what of it is new. Nothing is written here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pam_totp.core import enrollment
from pam_totp.core.users import SUSPENDED, Authenticator, UserRecord
from pam_totp.system import issuing

from ...errors import CommandFailed
from ...exporting.sealed_file import Carried
from ...importing import supported
from ...importing.naming import Naming
from ...importing.tokens import HOTP, Contents, Rejected, Token, Unusable, missing_parts
from ...session import Session, now

if TYPE_CHECKING:
    from pam_totp.store import RecordStore

NEW, KNOWN, USED_SINCE = "new", "already there", "used since"
MOST_OF_A_PERSON = 100  # tokens in one import: a login tries them all


class Planned(NamedTuple):
    """What becomes of a token: a new authenticator of ``name``, or one that is there."""

    token: Token
    name: str
    authenticator: Authenticator
    result: str


class ImportPlan(NamedTuple):
    planned: tuple[Planned, ...]
    rejected: tuple[Rejected, ...]
    bad: int  # how many of the rejected are somebody's, or may be
    passed_over: int  # tokens of nobody, where only some are assigned
    missing: tuple[str, ...]  # QR codes of an export, in words
    carried: dict[str, Carried]  # by account: what an export of pam_totp says of its person

    def tokens_by_person(self) -> dict[str, list[Token]]:
        """Return the tokens of everybody for whom something changes."""
        changed = {p.name for p in self.planned if p.result != KNOWN}
        of_person: dict[str, list[Token]] = {}
        for each in self.planned:
            if each.name in changed:
                of_person.setdefault(each.name, []).append(each.token)
        return of_person


def make(
    session: Session,
    store: RecordStore,
    contents: Contents,
    naming: Naming,
    *,
    takes_unusual: bool,
) -> ImportPlan:
    """Check everything that can be checked before the first write. Raises CommandFailed.

    ``takes_unusual``: also tokens with digits or a period that few apps know.
    """
    rejected = list(contents.rejected)
    carried = {person.name: person for person in contents.people}
    by_account: dict[str, Carried] = {}
    tokens: dict[str, list[Token]] = {}
    passed_over = 0
    ambiguous = _ambiguous_serials(contents.tokens)
    naming.ask_for(contents.tokens)
    for token in contents.tokens:
        try:
            if token.serial in ambiguous:
                raise Unusable(f"the serial {token.serial} is there twice, with different secrets")
            is_known_here = takes_unusual or token.user in carried  # by another pam_totp
            if reason := supported.refusal(token) or (not is_known_here and supported.doubt(token)):
                raise Unusable(reason)
            if naming.passes_over(token):
                passed_over += 1
                continue
            account = naming.account_of(token)
            tokens.setdefault(account, []).append(token)
            if token.user in carried:
                by_account[account] = carried[token.user]
        except Unusable as error:
            rejected.append(Rejected(token.place, str(error), token.user, token.serial))
    planned: list[Planned] = []
    for name, of_person in tokens.items():
        try:
            if len(of_person) > MOST_OF_A_PERSON:
                problem = f"{len(of_person):,} tokens are said to be one person's"
                raise CommandFailed(problem, f"the limit is {MOST_OF_A_PERSON}")
            record = read(session, store, name)
            planned += merged(record, of_person, by_account.get(name), now())[1]
        except CommandFailed as error:
            reason = f"{error}; {error.hint}"
            rejected += [Rejected(t.place, reason, t.user, t.serial) for t in of_person]
    missing = tuple(missing_parts(contents.parts))
    bad = sum(1 for each in rejected if not naming.passes_over(each))
    return ImportPlan(tuple(planned), tuple(rejected), bad, passed_over, missing, by_account)


def read(session: Session, store: RecordStore, name: str) -> UserRecord:
    """Return the record of ``name`` with its secrets; a new one where there is none.

    Raises CommandFailed where it is another account's.
    """
    record = store.load(name)
    if record is None:
        return UserRecord(name)
    session.same_account(record, name)
    if not record.authenticators:
        return record
    with store.transaction(name) as transaction:
        return transaction.record or UserRecord(name)


def merged(
    record: UserRecord, tokens: list[Token], carried: Carried | None, now: int
) -> tuple[UserRecord, tuple[Planned, ...]]:
    """Return ``record`` with what is new of ``tokens``, and what became of each.

    A token that is there already stays as it is: its label, its drift. But where the file knows of
    a later code that was used, no code up to that is good again.
    """
    planned = []
    was_enrolled = bool(record.authenticators)
    for token in tokens:
        found = next((a for a in record.authenticators if _is_same(a, token)), None)
        if found is None:
            found, result = _authenticator(token, _label(token, record), now), NEW
            record = record.with_authenticator(found, now)
        elif _last_step(token) > found.last_accepted_step:
            found, result = found.confirmed(_last_step(token)), USED_SINCE
            record = record.with_changed(found)
        else:
            result = KNOWN
        planned.append(Planned(token, record.name, found, result))
    if carried is None:
        return record, tuple(planned)
    changed = _with_carried(record, carried, is_new=not was_enrolled)
    if changed != record:
        planned = [p._replace(result=USED_SINCE) if p.result == KNOWN else p for p in planned]
    return changed, tuple(planned)


def _with_carried(record: UserRecord, carried: Carried, *, is_new: bool) -> UserRecord:
    """Return ``record`` with the recovery codes of ``carried``, and for a new one its bad news.

    Codes of one set that were used up on either machine are gone; codes of another set stay out.
    """
    if carried.recovery_salt and not record.recovery_salt:
        record = record.with_recovery_codes(carried.recovery_salt, carried.recovery_digests)
    elif record.recovery_salt == carried.recovery_salt:
        left = record.recovery_digests & carried.recovery_digests
        record = record.with_recovery_codes(record.recovery_salt, left)
    if not is_new:
        return record
    if carried.status == SUSPENDED:
        record = record.suspended()
    return record._replace(
        failures=max(record.failures, carried.failures),
        throttled_until=max(record.throttled_until, carried.throttled_until),
        guesses_until=max(record.guesses_until, carried.guesses_until),
    )


def _is_same(authenticator: Authenticator, token: Token) -> bool:
    kept = (authenticator.kind, authenticator.algorithm, authenticator.digits)
    given = (token.kind, token.algorithm, token.digits)
    has_same_pace = authenticator.counts or authenticator.period == token.period
    return authenticator.secret == token.secret and kept == given and has_same_pace


def _last_step(token: Token) -> int:
    """Return the last step or counter that was used, as far as the file knows; -1: of none."""
    if token.kind == HOTP:
        return token.next_counter - 1
    return -1 if token.last_accepted_step is None else token.last_accepted_step


def _authenticator(token: Token, label: str, now: int) -> Authenticator:
    """Return what is kept of ``token``. Where no last code is known, the current one was used."""
    period = enrollment.PERIOD if token.kind == HOTP else token.period
    new = issuing.new_authenticator(label, token.algorithm, token.digits, period, now)
    new = new._replace(secret=token.secret, kind=token.kind)
    if _is_shown(token.serial):
        new = new._replace(serial=token.serial)
    if token.kind == HOTP:
        return new.confirmed(_last_step(token))
    new = new._replace(drift=token.drift, learned=token.learned)
    is_known = token.last_accepted_step is not None
    return new.confirmed(_last_step(token) if is_known else new.latest_step(now, window=0))


def _is_shown(serial: str) -> bool:
    return serial.isprintable() and len(serial) <= enrollment.MOST_SERIAL


def _label(token: Token, record: UserRecord) -> str:
    """Name the device: by its serial, else as any phone; no two of a person have one name."""
    taken = {authenticator.label for authenticator in record.authenticators}
    by_serial = token.serial if _is_shown(token.serial) else ""
    label = token.label or by_serial or enrollment.LABEL
    number = 2
    unique = label
    while unique in taken:
        unique, number = f"{label}-{number}", number + 1
    return unique


def _ambiguous_serials(tokens: tuple[Token, ...]) -> set[str]:
    """Return the serials that stand for more than one secret."""
    secrets: dict[str, bytes] = {}
    return {
        token.serial
        for token in tokens
        if token.serial and secrets.setdefault(token.serial, token.secret) != token.secret
    }
