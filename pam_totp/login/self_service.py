"""People look at their own enrollment, and change it: what totpctl me shows, asks and keeps.

Each change takes a code or a recovery code, judged as at a login: same verifier, same counts, used
up by it. What a program of the person's own may do without one is less than what it can do with a
login: see own_changes.may_guess(). Nobody enrolls here, and what belongs to nobody, or to somebody
suspended, reads the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..core import own_changes, verifier
from ..core.own_changes import ADD, NEW_PHONE, RECOVERY_CODES, REMOVE, OwnChange
from ..store import LoginAttempt
from ..system import audit
from ..system.errors import ConversationFailed, Unavailable
from . import flow, messages, own_refusals, steps
from .conversation import Conversation
from .new_authenticator import NewAuthenticator
from .steps import Driver, need

if TYPE_CHECKING:
    from ..core.users import Authenticator, UserRecord
    from ..core.verifier import Policy
    from ..store import Known
    from ..system.config import Arguments, Config
    from .steps import AccountEntry, Flow
    from .texts import Catalog

STATE = "state"
KINDS = (STATE, *own_changes.KINDS)
MODULE = "me"  # in the log

# What came of it: exit codes of totpctl.
DONE, FAILED, NOT_ENROLLED, UNAVAILABLE = 0, 1, 3, 5

_GRANTED = (verifier.ACCEPTED, verifier.RECOVERY_USED)


class Caller(NamedTuple):
    """The person who asks, as the kernel says: account, uid, and from where, in words."""

    name: str
    uid: int
    where: str = ""


class Ended(NamedTuple):
    """How it ended. ``problem`` and ``hint`` are for the person; ``state``: what STATE shows."""

    exit_code: int
    problem: str = ""
    hint: str = ""
    state: dict[str, object] | None = None


class _Refused(Exception):
    """Nothing is changed."""

    def __init__(self, exit_code: int, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.ended = Ended(exit_code, problem, hint)


def serve(caller: Caller, kind: str, label: str, arguments: Arguments) -> Flow[Ended]:
    """Do what ``caller`` asks: one of KINDS, with the label that it is about."""
    source = audit.Source(MODULE, user=caller.name)
    try:
        loaded = yield from need(Driver.read_config, arguments)
        if not loaded.config.self_service:
            return Ended(FAILED, *own_refusals.IS_OFF)
        entry = yield from need(Driver.look_up_account, caller.name)
        if entry is None or entry.passwd.pw_uid != caller.uid or caller.uid == 0:
            return Ended(FAILED, *own_refusals.NO_ACCOUNT)
        source = source._replace(user=entry.name)
        catalog, _ = yield from need(Driver.find_catalog, loaded.config.language)
        one = _SelfService(caller, entry, loaded.config, source, catalog)
        return (yield from one.run(kind, label))
    except _Refused as refused:
        return refused.ended
    except ConversationFailed as error:
        yield from steps.log("aborted", source, reason=str(error))
        return Ended(FAILED, own_refusals.NOTHING_WAS_CHANGED)
    except (Unavailable, OSError) as error:
        return (yield from _unavailable(error, source))


def _unavailable(error: Unavailable | OSError, source: audit.Source) -> Flow[Ended]:
    yield from flow.log_unavailable(error, source)
    return Ended(UNAVAILABLE, *own_refusals.UNAVAILABLE)


class _SelfService:
    """What one person asks, once the account is known."""

    def __init__(
        self,
        caller: Caller,
        entry: AccountEntry,
        settings: Config,
        source: audit.Source,
        catalog: Catalog | None,
    ) -> None:
        self._caller = caller
        self._account = entry.account
        self._settings = settings
        self._source = source
        self._policy: Policy = settings.policy()
        self._conversation = Conversation(echo=settings.echo, quiet=False, catalog=catalog)
        self._command = ""

    def run(self, kind: str, label: str) -> Flow[Ended]:
        self._command = f"totpctl me {kind}"
        known = yield from self._look_up()
        record = self._own_record(known)
        if kind == STATE:
            return Ended(DONE, state=_state(record, is_of_fleet=known.policy is not None))
        if known.policy is not None:
            raise _Refused(UNAVAILABLE, *own_refusals.OF_THE_FLEET)
        label = self._label(record, kind, label)
        self._refuse(record, kind, label)
        yield from self._ask_and_verify()
        # What a login, or an administrator, did meanwhile is in there, and so is the code.
        record = self._own_record((yield from self._look_up()))
        self._refuse(record, kind, label)
        try:
            change = yield from self._prepare(record, kind, label)
            is_kept = change is not None and (yield from self._keep(change, record))
        except (Unavailable, OSError) as error:
            yield from flow.log_unavailable(error, self._source)
            raise _Refused(UNAVAILABLE, *own_refusals.NOT_KEPT) from None
        if change is None or not is_kept:
            raise _Refused(FAILED, own_refusals.CHANGED_MEANWHILE)
        yield from self._report(change)
        return Ended(DONE)

    # Whose it is

    def _look_up(self) -> Flow[Known]:
        known = yield from need(Driver.look_up_user, self._source.user, "")
        if known.problem:
            yield from self._log("error", reason=known.problem, hint="run: totpctl doctor")
        if known.problem or known.is_offline:
            raise _Refused(UNAVAILABLE, *own_refusals.UNAVAILABLE)
        return known

    def _own_record(self, known: Known) -> UserRecord:
        record = known.record
        if record is None or not own_changes.may_change(record, self._account):
            raise _Refused(NOT_ENROLLED, *own_refusals.NOTHING_TO_CHANGE)
        return record

    def _label(self, record: UserRecord, kind: str, label: str) -> str:
        """Return which authenticator is meant; of a new phone, the only one."""
        if kind == RECOVERY_CODES:
            return ""
        labels = [authenticator.label for authenticator in record.authenticators]
        if kind == NEW_PHONE and not label:
            if len(labels) > 1:
                problem, hint = own_refusals.WHICH_ONE
                raise _Refused(FAILED, problem.format(labels=", ".join(labels)), hint)
            return labels[0]
        return label

    def _refuse(self, record: UserRecord, kind: str, label: str) -> None:
        reason = own_changes.refusal(record, kind, label)
        if reason:
            problem, hint = own_refusals.BY_REASON[reason]
            raise _Refused(FAILED, problem.format(label=label), hint)

    # The code

    def _ask_and_verify(self) -> Flow[None]:
        """Return once a code, or a recovery code, was accepted, and is used up."""
        for _ in range(self._settings.attempts):
            reply = yield from self._conversation.ask(messages.CODE_TO_CHANGE)
            record = self._own_record((yield from self._look_up()))
            if not own_changes.may_guess(record, reply.at, self._policy):
                yield from self._log("throttled", reason=self._command)
                raise _Refused(FAILED, *own_refusals.TOO_MANY_GUESSES)
            attempt = LoginAttempt(
                self._source.user,
                flow.answer_of(reply),
                self._policy,
                self._source,
                is_decoy=False,
                account=self._account,
            )
            verdict = yield from flow.verified(attempt)
            fields: dict[str, object] = {"authenticator": verdict.authenticator}
            if verdict.outcome == verifier.RECOVERY_USED:
                fields["recovery_codes_left"] = str(verdict.recovery_codes_left)
            if verdict.wait:
                fields["wait"] = verdict.wait
            yield from self._log(verdict.outcome, **fields, reason=self._command)
            text = messages.for_verdict(verdict, self._source.user, may_help_themselves=True)
            if text:
                is_error = verdict.outcome not in _GRANTED
                yield from self._conversation.tell(text, error=is_error)
            if verdict.outcome in _GRANTED:
                return
            if verdict.outcome in (verifier.THROTTLED, verifier.LOCKED):
                break
        raise _Refused(FAILED, own_refusals.NOTHING_WAS_CHANGED)

    # The change

    def _prepare(self, record: UserRecord, kind: str, label: str) -> Flow[OwnChange | None]:
        """Make what is new, and show it; None: the record was changed meanwhile."""
        change = OwnChange(kind, label, self._caller.where)
        if kind in (ADD, NEW_PHONE):
            others = [held for held in record.authenticators if held.label != label]
            new = yield from self._new_authenticator(label, is_beside=bool(others))
            return change._replace(authenticator=new)
        if kind == RECOVERY_CODES:
            codes = yield from need(Driver.issue_codes)
            yield from self._conversation.show(messages.recovery_codes(codes))
            yield from self._conversation.ask(messages.PRESS_ENTER_FOR_CODES)
            current = self._own_record((yield from self._look_up()))  # logins may have gone on
            hashed = yield from need(Driver.hash_codes, self._source.user, codes, current)
            if hashed is None:
                return None
            salt, digests = hashed
            return change._replace(salt=salt, digests=digests)
        return change

    def _new_authenticator(self, label: str, *, is_beside: bool) -> Flow[Authenticator]:
        handover = NewAuthenticator(
            self._conversation, self._source.user, self._settings, self._policy, self._log
        )
        new = yield from handover.show(label, messages.AT_A_CHANGE, is_beside=is_beside)
        confirmed = yield from handover.confirm(new)
        if confirmed is None:
            raise _Refused(FAILED, *own_refusals.NO_CODE_OF_THE_NEW_APP)
        return confirmed

    def _keep(self, change: OwnChange, before: UserRecord) -> Flow[bool]:
        return (yield from need(Driver.change_own, self._source.user, change, before))

    def _report(self, change: OwnChange) -> Flow[None]:
        label, by = change.label, self._source.user
        if change.kind == ADD:
            yield from self._log("enrolled", authenticator=label, by=by)
        elif change.kind == NEW_PHONE:
            yield from self._log("replaced", authenticator=label, by=by)
        elif change.kind == REMOVE:
            yield from self._log("removed", authenticator=label, by=by)
        else:
            left = str(len(change.digests))
            yield from self._log("codes_issued", recovery_codes_left=left, by=by)
        yield from self._conversation.tell(messages.changed(change.kind, change.label))

    def _log(self, event: str, **fields: object) -> Flow[None]:
        yield from steps.log(event, self._source, **fields, where=self._caller.where)


def _state(record: UserRecord, *, is_of_fleet: bool) -> dict[str, object]:
    """Return what its owner is shown of ``record``: no secret, and no more than they may know.

    In a fleet, hosts are not told how many recovery codes are left.
    """
    return {
        "user": record.name,
        "authenticators": [
            {
                "label": one.label,
                "type": one.kind,
                "serial": one.serial or None,
                "created_at": one.created_at or None,
                "last_used_at": one.last_used_at,
            }
            for one in record.authenticators
        ],
        "recovery_codes_left": None if is_of_fleet else len(record.recovery_digests),
        "wrong_codes_not_told": record.untold,
        "known_places": [
            {"place": place.name, "last_used_at": place.used_at} for place in record.known_places
        ],
        "own_changes": [
            {"at": note.at, "command": note.kind, "label": note.label, "from": note.where}
            for note in own_changes.notes_of(record.own_changes)
        ],
    }
