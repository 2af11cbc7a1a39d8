"""One login, as a checklist: which policy, ask, judge, log, tell, answer PAM.

A generator: it yields steps (steps.py), is sent what came of each, and returns a PAM code. It waits
for nothing, holds nothing and knows no PAM handle. Drivers do the waiting: service/loop.py with
kept_driver.py for many logins, service/connection.py for one, in_process.py for pam_python,
tests/unit/script.py for tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import admission, clock_skew, otp, users, verifier
from ..core.admission import Admission, Groups
from ..store import LoginAttempt
from ..system import audit, config
from ..system.errors import ConversationFailed, LoginAborted, StoreMissing, Unavailable, places
from . import messages, steps, texts
from .conversation import Conversation
from .steps import Driver, need

if TYPE_CHECKING:
    from ..core.admission import GroupRule
    from ..core.remembering import Remembered, Wish
    from ..core.users import Account, Authenticator, UserRecord
    from ..core.verifier import Answer, Verdict
    from ..store import Known
    from ..system.config import Config
    from .steps import AccountEntry, Flow, Reply, Request
    from .texts import Catalog

# security/_pam_types.h
PAM_SUCCESS = 0
PAM_SERVICE_ERR = 3
PAM_AUTH_ERR = 7
PAM_AUTHINFO_UNAVAIL = 9
PAM_MAXTRIES = 11
PAM_CONV_ERR = 19
PAM_IGNORE = 25
CODES = frozenset(
    (
        PAM_SUCCESS,
        PAM_SERVICE_ERR,
        PAM_AUTH_ERR,
        PAM_AUTHINFO_UNAVAIL,
        PAM_MAXTRIES,
        PAM_CONV_ERR,
        PAM_IGNORE,
    )
)

_PAM_CODES = {
    verifier.ACCEPTED: PAM_SUCCESS,
    verifier.RECOVERY_USED: PAM_SUCCESS,
    verifier.REJECTED: PAM_AUTH_ERR,
    verifier.REPLAYED: PAM_AUTH_ERR,
    verifier.MALFORMED: PAM_AUTH_ERR,
    verifier.PASSWORD: PAM_AUTH_ERR,
    verifier.THROTTLED: PAM_MAXTRIES,
    verifier.LOCKED: PAM_MAXTRIES,
}
_GRANTING = (PAM_SUCCESS, PAM_IGNORE)
_ASK_AGAIN = (verifier.REJECTED, verifier.REPLAYED, verifier.MALFORMED, verifier.PASSWORD)
_PROBLEMS_LOGGED = 5  # at each login; totpctl shows them all
_DIGITS = frozenset(otp.DIGITS)  # of everybody: which ones are a user's own is nobody's business


def authenticate(request: Request, driver: Driver) -> int:
    """Return the PAM code of one login, with ``driver`` to perform its steps."""
    return steps.drive(login(request), driver)


def login(request: Request) -> Flow[int]:
    """Go through one login; return one of CODES.

    Unexpected errors are raised: hook.py, worker.py or loop.py logs them, and answers
    PAM_SERVICE_ERR. Where the answer was kept, the password was right, and a refusal has to look
    as if it had been wrong.
    """
    code = yield from _log_in(request)
    return PAM_AUTH_ERR if request.answer_kept and code not in _GRANTING else code


def _log_in(request: Request) -> Flow[int]:
    arguments = config.parse_arguments(request.arguments)
    source = audit.Source(
        module=f"{request.service}:auth", rhost=request.rhost, tty=request.tty, ruser=request.ruser
    )
    try:
        if request.user is None:
            raise ConversationFailed("conversation", "nobody said who logs in")
        source = source._replace(user=request.user)
        loaded = yield from need(Driver.read_config, arguments)
        for problem in (*arguments.problems, *loaded.problems)[:_PROBLEMS_LOGGED]:
            yield from steps.log("error", source, reason="configuration", detail=problem)
        if arguments.first_factor == config.KEY:
            return (yield from _answer_for_a_key(request, source))
        catalog, damage = yield from need(Driver.find_catalog, loaded.config.language)
        if damage is not None:  # English is spoken
            detail, hint = str(damage), damage.hint
            yield from steps.log("error", source, reason="language", detail=detail, hint=hint)
        one = _Login(request, loaded.config, source, catalog, debug=arguments.debug)
        if arguments.first_factor == config.PASSWORD:
            return (yield from one.take_answer())
        return (yield from one.run())
    except LoginAborted as error:
        yield from steps.log("aborted", source, reason=str(error))
        return PAM_CONV_ERR
    except ConversationFailed as error:
        yield from steps.log("error", source, reason=str(error))
        return PAM_CONV_ERR
    except (Unavailable, OSError) as error:
        return (yield from _unavailable(error, source))


def _unavailable(error: Unavailable | OSError, source: audit.Source) -> Flow[int]:
    yield from log_unavailable(error, source)
    return PAM_AUTHINFO_UNAVAIL


def log_unavailable(error: Unavailable | OSError, source: audit.Source) -> Flow[None]:
    """Log why codes cannot be verified now."""
    if isinstance(error, Unavailable):
        reason, hint = str(error), error.hint
    else:  # too many open files, a disk that fails
        reason = f"{error.filename or 'system'}: {error.strerror or type(error).__name__}"
        hint = "look at: dmesg; df"
    yield from steps.log("error", source, reason=reason, hint=hint)


class _Login:
    """One login, once it is known which configuration applies to it.

    Thousands may wait at their prompts: what is decided before the prompt, and what that took, is
    gone by then.
    """

    __slots__ = (
        "_account",
        "_at",
        "_authenticators",
        "_conversation",
        "_debug",
        "_is_decoy",
        "_own_changes",
        "_policy",
        "_remembered",
        "_request",
        "_settings",
        "_source",
        "_standing",
        "_status",
        "_wish",
    )

    def __init__(
        self,
        request: Request,
        settings: Config,
        source: audit.Source,
        catalog: Catalog | None,
        *,
        debug: bool,
    ) -> None:
        self._conversation = Conversation(
            catalog=catalog,
            echo=settings.echo,
            quiet=settings.quiet,
            silent=request.is_silent,
            by_sshd=_is_sshd(request),
            hides_errors=request.answer_kept,
        )
        self._request = request
        self._settings = settings
        self._source = source
        self._debug = debug
        self._policy = settings.policy()
        self._account: Account | None = None
        self._at = 0  # when the store was asked
        # Of the record that answers are compared with, as the login began.
        self._is_decoy = True
        self._status = users.ACTIVE
        self._authenticators: tuple[Authenticator, ...] = ()
        self._standing: Verdict | None = None  # what any answer would have come to
        self._remembered: tuple[Remembered, ...] = ()
        self._wish: Wish | None = None  # what is remembered of a right code
        self._own_changes: list[texts.Text] = []  # what to tell of them

    def run(self) -> Flow[int]:
        try:
            code = yield from self._decide()
            return (yield from self._ask_and_verify()) if code is None else code
        except (Unavailable, OSError) as error:
            code = yield from _unavailable(error, self._source)  # before anybody is waited for
            yield from self._conversation.tell_last(messages.UNAVAILABLE)
            return code

    def take_answer(self) -> Flow[int]:
        """Have password and code asked for in one answer, before anybody has judged the password.

        Whatever comes of it, users who are asked for a code and others see the same.
        """
        if self._request.answer_kept:
            yield from self._log("error", reason=messages.BOTH_ASKED_TWICE, hint="see pam_totp(8)")
            return PAM_SERVICE_ERR
        if not self._settings.one_prompt:
            return PAM_IGNORE
        try:
            digits = yield from self._digits_expected()
            if (yield from self._is_turned_away()):
                return PAM_MAXTRIES
            prompt = texts.as_is(self._settings.one_prompt_text) or messages.ONE_PROMPT
            words = self._conversation.in_words(prompt)
            if not (yield from need(Driver.ask_for_both, words, digits)):
                yield from self._log("malformed", reason=messages.NO_CODE_AT_THE_END)
        except (Unavailable, OSError) as error:
            code = yield from _unavailable(error, self._source)
            yield from self._conversation.tell_last(messages.UNAVAILABLE)
            return code
        return PAM_IGNORE

    def _digits_expected(self) -> Flow[tuple[int, ...]]:
        """Return how many digits codes of this user have; () for one who is asked for none."""
        entry = yield from need(Driver.look_up_account, self._source.user)
        if entry is None:
            compared = (yield from self._look_up_user()).decoy
        else:
            self._source = self._source._replace(user=entry.name)
            admitted, known = yield from self._admit(entry)
            if admitted.kind == admission.SKIP:
                return ()
            assert known is not None  # nobody is asked without a store
            asked = admitted.kind == admission.ASK
            compared = known.record if asked and known.record else known.decoy
        return tuple(sorted({authenticator.digits for authenticator in compared.authenticators}))

    def _decide(self) -> Flow[int | None]:
        """Return a PAM code where none has to be asked for; None: ask."""
        entry = yield from need(Driver.look_up_account, self._source.user)
        if entry is None:
            known = yield from self._look_up_user()
            self._prepare_to_ask(known, None)
            yield from self._log("unenrolled")
            return None
        self._source = self._source._replace(user=entry.name)
        self._account = entry.account
        admitted, admitting = yield from self._admit(entry)
        if admitted.kind == admission.SKIP:
            if admitted.by_absence:
                yield from need(Driver.confirm_absence)
            yield from self._log(
                "skipped", group=admitted.group, rule=admitted.rule, reason=admitted.reason
            )
            if admitted.reason == admission.NOT_ENROLLED and admitted.until:
                yield from self._conversation.tell(messages.needed_from(admitted.until))
            return PAM_IGNORE
        assert admitting is not None  # nobody is asked without a store
        known = admitting
        self._prepare_to_ask(known, known.record if admitted.kind == admission.ASK else None)
        if admitted.kind == admission.ASK:
            return None
        may_enroll, detail = False, ""
        if admitted.kind == admission.ENROLL:
            from . import first_login  # with what no other login loads

            obstacle = yield from first_login.reason_not_to_offer(
                self._request,
                self._conversation,
                key=_came_with_a_key(self._request),
                is_allowed=known.may_enroll,
            )
            may_enroll = obstacle == ""
            detail = "enrollment was " + (f"not offered: {obstacle}" if obstacle else "offered")
        if admitted.reason == admission.OTHER_ACCOUNT:
            detail = f"compare: totpctl show {self._source.user}; id {self._source.user}"
        yield from self._log(
            "unenrolled", group=admitted.group, reason=admitted.reason, detail=detail
        )
        return (yield from self._enroll(known.record)) if may_enroll else None

    def _prepare_to_ask(self, known: Known, record: UserRecord | None) -> None:
        if known.policy is not None:  # of all hosts: one of them may only be stricter
            window = min(known.policy.window, self._policy.window)
            self._policy = known.policy._replace(window=window)
        self._at = known.at
        compared = record or known.decoy
        self._standing = verifier.standing(
            compared, known.at, self._policy, place=self._source.place
        )
        if record is not None:
            self._is_decoy, self._status = False, record.status
            self._authenticators = record.authenticators
            if record.own_changes:
                from ..core import own_changes  # with what no other login loads

                notes = own_changes.to_tell(record, known.at)
                self._own_changes = list(map(messages.own_change, notes))
            # While a host answers alone nobody could have it forgotten, so it asks; and so it does
            # where a store that comes first may suspend this user: see admission.admit_uncertain().
            is_sure = not (known.is_offline or known.problem or self._has_another_uid(record))
            if record.status in users.ACCEPTABLE and is_sure:
                self._remembered = record.remembered

    def _has_another_uid(self, record: UserRecord) -> bool:
        """Tell whether it may be somebody else's by now: where a directory assigns the uid too."""
        return self._account is not None and record.has_another_uid(self._account)

    # Remembered places

    def _is_remembered(self) -> Flow[bool]:
        """Tell whether a code of this user was right in this place a short while ago.

        If not, it is noted what a right one is remembered by.
        """
        seconds, remembered = self._seconds_to_remember(), self._remembered
        self._remembered = ()
        if not seconds:
            return False
        from . import remembered_places  # with what no other login loads

        request, user = self._request, self._source.user
        here = yield from remembered_places.look(request, user, key=_came_with_a_key(request))
        if here is None:
            return False
        self._wish = here.wish(seconds)
        found = here.find(remembered, self._at, seconds)
        if found is None or self._standing is not None:  # somebody gives wrong codes
            return False
        age = self._at - found.since
        yield from self._log("remembered", by=found.kind, place=found.place, age=age)
        yield from self._tell_own_changes()
        return True

    def _seconds_to_remember(self) -> int:
        """Return for how long, by the settings of this login.

        0 of root, who is always asked; and where the answer was kept, for then the code was given
        before anybody had judged the password.
        """
        is_root = self._account is not None and self._account.uid == 0
        return 0 if is_root or self._request.answer_kept else self._settings.remember

    # Admission: ask, skip, enroll or deny?

    def _admit(self, entry: AccountEntry) -> Flow[tuple[Admission, Known | None]]:
        """Say what happens to this account. Nobody is let in by what damage may have taken away."""
        try:
            known = yield from self._look_up_user()
        except StoreMissing:
            # Without any store nobody is required: whom the configuration exempts gets in.
            exempt = (yield from self._groups(entry, ())).member_of
            if not exempt:
                raise
            return Admission(admission.SKIP, admission.EXEMPT_GROUP, group=exempt[0]), None
        if known.is_offline:
            return admission.admit_offline(known.record), known
        groups = yield from self._groups(entry, known.rules, known.at)
        admitted = admission.admit(
            known.record,
            known.rules,
            groups,
            self._settings,
            known.at,
            entry.account,
            self._trusted_place(entry, known) if self._settings.skip_from else "",
        )
        if known.problem:
            admitted = admission.admit_uncertain(admitted)
        return admitted, known

    def _trusted_place(self, entry: AccountEntry, known: Known) -> str:
        """Return the rule of skip_from for where this login is; "": ask, whatever the place.

        So it is where a store may know more of the account, and while somebody gives wrong codes.
        """
        if known.record is None or known.problem:
            return ""
        from ..core import trusted_places  # with what no other login loads

        place, policy = self._source.place, known.policy or self._policy
        if verifier.standing(known.record, known.at, policy, place=place) is not None:
            return ""
        request, is_root = self._request, entry.passwd.pw_uid == 0
        return trusted_places.rule_for(
            self._settings.skip_from, request.service, request.rhost, request.tty, is_root=is_root
        )

    def _look_up_user(self) -> Flow[Known]:
        known: Known = yield from need(Driver.look_up_user, self._source.user, self._source.place)
        if known.problem:
            yield from self._log("error", reason=known.problem, hint="run: totpctl doctor")
        return known

    def _groups(
        self, entry: AccountEntry, rules: tuple[GroupRule, ...], now: int = 0
    ) -> Flow[Groups]:
        """Say which groups that count the account is a member of.

        By the rules and the files alone, never by the record: a directory that takes its time must
        not tell who is enrolled.
        """
        names = admission.groups_that_count(rules, self._settings)
        if not names:
            return Groups()
        groups = yield from need(Driver.look_up_groups, entry, names, in_files=True)
        if admission.is_settled(rules, groups.member_of, self._settings, now):
            return groups
        groups = yield from need(Driver.look_up_groups, entry, names)
        if groups.problem:
            hint = f"compare: time getent initgroups {self._source.user}; cat /etc/nsswitch.conf"
            yield from self._log("error", reason=groups.problem, hint=hint)
        return groups

    # First enrollment

    def _enroll(self, record: UserRecord | None) -> Flow[int]:
        if (yield from self._is_turned_away()):
            return PAM_MAXTRIES
        from . import first_login

        # Only now, when the password is known to be right: its time would tell who must enroll.
        yield from need(Driver.confirm_absence)
        enrollment = first_login.FirstLogin(
            self._conversation,
            self._source.user,
            record,
            self._settings,
            self._policy,
            self._log,
            self._account,
        )
        outcome = yield from enrollment.run()
        return PAM_SUCCESS if outcome == first_login.ENROLLED else PAM_AUTH_ERR

    # Ask and verify

    def _is_turned_away(self) -> Flow[bool]:
        """Tell whether too many logins of this user wait to be asked already."""
        turn = yield from need(Driver.take_place, self._source.user)
        if turn.may_ask:
            return False
        if turn.news:
            yield from self._log("throttled", reason="too many prompts", detail=turn.news)
        if turn.may_tell:
            yield from self._conversation.tell_last(messages.TOO_MANY_PROMPTS)
        return True

    def _ask_and_verify(self) -> Flow[int]:
        """Ask up to ``attempts`` times. Without a record: go through the motions on a decoy."""
        kept = self._request.answer_kept
        if (yield from self._is_remembered()):
            return PAM_SUCCESS
        if not kept and (yield from self._is_turned_away()):
            return PAM_MAXTRIES
        code, rejected = PAM_AUTH_ERR, 0
        prompt = texts.as_is(self._settings.prompt) or messages.PROMPT
        yield from self._tell_standing()
        for _ in range(1 if kept else self._settings.attempts):
            reply = yield from self._conversation.ask(prompt)
            attempt = LoginAttempt(
                self._source.user,
                answer_of(reply),
                self._policy,
                self._source,
                is_decoy=self._is_decoy,
                account=self._account,
                remember=None if self._is_decoy else self._wish,
            )
            verdict = yield from verified(attempt)
            untold, own = verdict.failed_before, rejected
            verdict = verdict._replace(failed_before=max(untold - own, 0))
            rejected += verdict.outcome == verifier.REJECTED
            code = _PAM_CODES[verdict.outcome]
            again = verdict.outcome in _ASK_AGAIN
            if verdict.outcome == verifier.PASSWORD:
                said = messages.THAT_WAS_THE_PASSWORD
                again = not (yield from self._conversation.is_answered_blindly(said))
            was_told = yield from self._report(verdict, by_a_person=again)
            if code == PAM_SUCCESS and untold:
                # A program that can ask only once takes messages, and shows them to nobody.
                yield from self._have_told(untold if was_told and not kept else own)
            if code == PAM_SUCCESS:
                yield from self._tell_own_changes()
            if verdict.outcome == verifier.RECOVERY_USED and self._settings.self_service:
                yield from self._offer_new_phone()
            throttled_now = verdict.outcome == verifier.REJECTED and verdict.wait
            if throttled_now or not again:
                break
        return code

    def _offer_new_phone(self) -> Flow[None]:
        """Offer it to a person whose recovery code was right: it changes nothing about that."""
        if self._account is None:
            return
        try:
            from . import new_phone  # with what no other login loads

            offered = new_phone.NewPhone(
                self._conversation,
                self._source.user,
                self._account,
                self._settings,
                self._policy,
                self._log,
                lambda error: _unavailable(error, self._source),
            )
            yield from offered.offer(self._request, key=_came_with_a_key(self._request))
        except Exception as fault:  # the code is used up: a fault here must not cost the login
            reason, at = f"unexpected {type(fault).__name__}", " ".join(places(fault)[-5:])
            yield from self._log("error", reason=reason, at=at, hint="please report this")

    def _have_told(self, count: int) -> Flow[None]:
        """Forget wrong codes that were shown, or typed in this login. It denies nobody."""
        try:
            if count:
                yield from need(Driver.have_told, self._source.user, count)
        except (Unavailable, OSError) as error:
            yield from _unavailable(error, self._source)

    # Log and tell

    def _tell_standing(self) -> Flow[None]:
        """Say what stands now where prompts alone are shown: later nobody would hear of it.

        An answer of somebody who is throttled or locked is not even looked at.
        """
        if self._standing is not None and self._conversation.shows_prompts_alone:
            yield from self._tell_verdict(self._standing)

    def _tell_own_changes(self) -> Flow[None]:
        for told in self._own_changes:
            yield from self._conversation.tell(told)

    def _clock_in_words(self, label: str, offset: int) -> str:
        """Say for the log whose clock or counter a wrong code belongs to, and how far it is off."""
        known = {a.label: a for a in self._authenticators}
        found = known.get(label, users.Authenticator("", label, None))  # enrolled since
        words = clock_skew.of_authenticator(found, offset)
        return f"{words}; run: totpctl resync {self._source.user}" if found.counts else words

    def _report(self, verdict: Verdict, *, by_a_person: bool) -> Flow[bool]:
        """Log and tell ``verdict``; return whether wrong codes of others were shown."""
        fields: dict[str, object] = {"authenticator": verdict.authenticator}
        if verdict.outcome == verifier.RECOVERY_USED:
            fields["recovery_codes_left"] = str(verdict.recovery_codes_left)
        if verdict.outcome == verifier.PASSWORD:
            typed = messages.PASSWORD_TYPED_AGAIN
            fields["reason"] = typed if by_a_person else messages.PASSWORD_AS_ANSWER
        if self._status not in users.ACCEPTABLE:
            fields["reason"] = self._status
        if verdict.is_offline:
            fields["offline"] = "yes"
        if verdict.wait:
            fields["wait"] = verdict.wait
        event = verifier.MALFORMED if verdict.outcome == verifier.PASSWORD else verdict.outcome
        if verdict.clock_offset:
            fields["detail"] = self._clock_in_words(verdict.authenticator, verdict.clock_offset)
        yield from self._log(event, **fields)
        if verdict.clock_is_behind:
            yield from self._log(
                "error",
                reason=messages.CLOCK_IS_BEHIND,
                hint=f"look at: timedatectl; then run: totpctl show {self._source.user}",
            )
        if verdict.outcome == verifier.PASSWORD:  # that was said already
            return False
        return (yield from self._tell_verdict(verdict))

    def _tell_verdict(self, verdict: Verdict) -> Flow[bool]:
        """Return whether the person was shown how many wrong codes there were before."""
        settings, account = self._settings, self._account
        helps_itself = settings.self_service and not settings.is_fleet
        may = helps_itself and account is not None and account.uid != 0
        text = messages.for_verdict(verdict, self._source.user, may_help_themselves=may)
        if text:
            accepted = _PAM_CODES[verdict.outcome] == PAM_SUCCESS
            yield from self._conversation.tell(text, error=not accepted)
        if not verdict.failed_before:
            return True
        return (yield from self._conversation.tell(messages.failed_before(verdict.failed_before)))

    def _log(self, event: str, **fields: object) -> Flow[None]:
        yield from steps.log(event, self._source, **fields)
        if self._debug:
            attempts = self._settings.attempts
            yield from steps.log("debug", self._source, decision=event, attempts=attempts)


def verified(attempt: LoginAttempt) -> Flow[Verdict]:
    """Return what comes of ``attempt``, and it is durable.

    What is no code at all is not compared with anything, and no store is asked: that takes as
    long for everybody.
    """
    kind = attempt.answer.kind
    if kind in verifier.NO_CODES:
        return verifier.Verdict(kind)
    while True:
        hashed = attempt
        if kind == verifier.RECOVERY_CODE:
            hashed = yield from need(Driver.hash_answer, attempt)
        verdict = yield from need(Driver.verify, hashed)
        if verdict is not None:
            return verdict
        # A wait has ended between the two, so that the code is looked at after all.


def answer_of(reply: Reply) -> Answer:
    """Return what was typed, classified."""
    if reply.is_password:
        return verifier.Answer(verifier.PASSWORD)
    return verifier.classify(reply.text, _DIGITS)


def _answer_for_a_key(request: Request, source: audit.Source) -> Flow[int]:
    """Answer ``first_factor=key``: PAM_SUCCESS if sshd says that a key was accepted first.

    Taken from sshd alone: elsewhere the PAM environment may be the caller's.
    """
    if not _is_sshd(request):
        reason = "first_factor=key works in sshd's PAM file only"
        yield from steps.log("error", source, reason=reason)
        return PAM_AUTH_ERR
    return PAM_SUCCESS if _came_with_a_key(request) else PAM_AUTH_ERR


def _is_sshd(request: Request) -> bool:
    return request.service.startswith("sshd")


def _came_with_a_key(request: Request) -> bool:
    """Tell whether sshd says that it has accepted a key before."""
    lines = request.ssh_auth_info.split("\n")
    return _is_sshd(request) and any(line.startswith("publickey ") for line in lines)
