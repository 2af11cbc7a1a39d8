"""One login, as a checklist: which policy, ask, decide in a transaction, log, answer PAM.

What a host must hand over as ``pamh`` is what pam_python gives, no more than this:

    get_user(None) -> str            service, rhost, ruser, tty: str or None
    authtok: str or None (read only) env: a mapping with get(key)
    password_given: bool, where authtok stands for a password that there may not be
    take_place(user) -> prompts.Place or None, where a service counts those who wait at a prompt
    conversation(Message) -> an object with .resp: str or None
    Message(style, text)             exception: what conversation() raises on failure
    PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_ERROR_MSG, PAM_TEXT_INFO: int

Nothing of it but the answers is typed by the person who logs in, except under sudo and the
like, where ``env`` and os.environ belong to the caller: no path, key or option is read there.
"""

from __future__ import annotations

import time

from ..core import admission, clock_skew, otp, users, verifier
from ..core.admission import Admission, Groups
from ..store import is_missing
from ..system import audit, config
from ..system.core_files import NoCoreFile
from ..system.errors import ConversationFailed, LoginAborted, Unavailable
from ..system.uninterrupted import Uninterrupted
from . import decision, identity, messages
from .conversation import PAM_SILENT, Conversation

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    from collections.abc import Sequence
    from typing import Any

    from ..core.admission import Account, GroupRule
    from ..core.users import UserRecord
    from ..core.verifier import Verdict
    from ..store import Store
    from ..system.config import Config

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
_ASK_AGAIN = (verifier.REJECTED, verifier.REPLAYED, verifier.MALFORMED, verifier.PASSWORD)
_PROBLEMS_LOGGED = 5  # at each login; totpctl shows them all
_DIGITS = frozenset(otp.DIGITS)  # of everybody: which ones are a user's own is nobody's business


def authenticate(pamh: Any, flags: int, argv: Sequence[str]) -> int:
    """Return the PAM code of one pam_sm_authenticate call; ``argv`` without the script's path."""
    arguments = config.parse_arguments(argv)
    source = audit.Source(
        module=f"{identity.item(pamh, 'service')}:auth",
        rhost=identity.item(pamh, "rhost"),
        tty=identity.item(pamh, "tty"),
        ruser=identity.item(pamh, "ruser"),
    )
    try:
        source = source._replace(user=identity.user(pamh))
        loaded = config.load(arguments.path, arguments.settings)
        for problem in (*arguments.problems, *loaded.problems)[:_PROBLEMS_LOGGED]:
            audit.record("error", source, reason="configuration", detail=problem)
        if arguments.first_factor_key:
            return _came_with_a_key(pamh, source)
        with NoCoreFile():
            return _Login(pamh, flags, loaded.config, source, debug=arguments.debug).run()
    except LoginAborted as error:
        audit.record("aborted", source, reason=str(error))
        return PAM_CONV_ERR
    except ConversationFailed as error:
        audit.record("error", source, reason=str(error))
        return PAM_CONV_ERR
    except (Unavailable, OSError) as error:
        return _unavailable(error, source)


def _unavailable(error: Unavailable | OSError, source: audit.Source) -> int:
    """Log why codes cannot be verified now."""
    if isinstance(error, Unavailable):
        reason, hint = str(error), error.hint
    else:  # too many open files, a disk that fails
        reason = f"{error.filename or 'system'}: {error.strerror or type(error).__name__}"
        hint = "look at: dmesg; df"
    audit.record("error", source, reason=reason, hint=hint)
    return PAM_AUTHINFO_UNAVAIL


class _Login:
    """One call of the hook for one user."""

    def __init__(
        self, pamh: Any, flags: int, settings: Config, source: audit.Source, *, debug: bool
    ) -> None:
        self._conversation = Conversation(
            pamh,
            echo=settings.echo,
            quiet=settings.quiet,
            silent=bool(flags & PAM_SILENT),
            by_sshd=identity.is_sshd(pamh),
        )
        self._pamh = pamh
        self._password = identity.password(pamh)
        self._settings = settings
        self._source = source
        self._debug = debug
        self._account: Account | None = None
        self._periods: dict[str, int] = {}
        self._decoy: UserRecord | None = None  # where a prompt has to say what stands now

    def run(self) -> int:
        try:
            return self._run()
        except (Unavailable, OSError) as error:
            code = _unavailable(error, self._source)  # before anybody is waited for
            self._conversation.tell_last(messages.UNAVAILABLE)
            return code

    def _run(self) -> int:
        entry = identity.passwd_entry(self._source.user)
        if entry is None:
            with Uninterrupted(), decision.open_configured(self._settings) as store:
                self._load_decoy(store)
            self._log("unenrolled")
            return self._ask_and_verify(None)
        self._source = self._source._replace(user=identity.canonical_name(entry))
        self._account = identity.account(entry)  # of everybody: it takes a moment
        admitted, record = self._admit(entry)
        if admitted.kind == admission.SKIP:
            self._log("skipped", group=admitted.group, reason=admitted.reason)
            if admitted.by_absence and admitted.until:
                self._conversation.tell(messages.needed_from(admitted.until))
            return PAM_IGNORE
        if admitted.kind == admission.ASK:
            return self._ask_and_verify(record)
        may_enrol, detail = False, ""
        if admitted.kind == admission.ENROLL:
            from . import first_login  # with what no other login loads

            obstacle = first_login.reason_not_to_offer(self._pamh, self._conversation)
            may_enrol = obstacle == ""
            detail = "enrolment was " + (f"not offered: {obstacle}" if obstacle else "offered")
        if admitted.reason == admission.OTHER_ACCOUNT:
            detail = f"compare: totpctl show {self._source.user}; id {self._source.user}"
        self._log("unenrolled", group=admitted.group, reason=admitted.reason, detail=detail)
        return self._enrol(record) if may_enrol else self._ask_and_verify(None)

    def _is_turned_away(self) -> bool:
        """Tell whether too many logins of this user wait to be asked already."""
        take_place = getattr(self._pamh, "take_place", None)
        place = take_place(self._source.user) if take_place else None
        if place is None or place.may_ask:
            return False
        if place.news:
            self._log("throttled", reason="too many prompts", detail=place.news)
        if place.may_tell:
            self._conversation.tell_last(messages.TOO_MANY_PROMPTS)
        return True

    def _enrol(self, record: UserRecord | None) -> int:
        if self._is_turned_away():
            return PAM_MAXTRIES
        from .first_login import ENROLLED, FirstLogin

        # Only now, when the password is known to be right: its time would tell who must enrol.
        self._confirm_absence()
        name, settings, password = self._source.user, self._settings, self._password
        enrolment = FirstLogin(
            self._conversation, name, record, settings, password, self._log, self._account
        )
        return PAM_SUCCESS if enrolment.run() == ENROLLED else PAM_AUTH_ERR

    def _admit(self, entry: pwd.struct_passwd) -> tuple[Admission, UserRecord | None]:
        """Say what happens to this account. Nobody is let in by what damage may have taken away.

        The directory, which may be slow, is asked while no store is open.
        """
        settings = self._settings
        try:
            with Uninterrupted(), decision.open_configured(settings) as store:
                record, rules = store.load(self._source.user), store.group_rules()
                self._load_decoy(store)
        except Unavailable:
            # Without any store nobody is required: whom the configuration exempts gets in.
            exempt = self._groups(entry, ()).member_of
            if not exempt or not is_missing(settings.store):
                raise
            return Admission(admission.SKIP, admission.EXEMPT_GROUP, group=exempt[0]), None
        groups = self._groups(entry, rules)
        now = int(time.time())
        admitted = admission.admit(record, rules, groups, settings, now, self._account)
        if admitted.by_absence and admitted.kind == admission.SKIP:
            self._confirm_absence()
        return admitted, record

    def _groups(self, entry: pwd.struct_passwd, rules: tuple[GroupRule, ...]) -> Groups:
        """Say which groups that count the account is a member of.

        By the rules and the files alone, never by the record: a directory that takes its time must
        not tell who is enrolled.
        """
        names = admission.groups_that_count(rules, self._settings)
        if not names:
            return Groups()
        from . import membership  # few configurations need it

        groups = membership.local_groups(entry, names)
        if admission.is_settled(rules, groups.member_of, self._settings, int(time.time())):
            return groups
        groups = membership.groups_among(entry, names)
        if groups.problem:
            hint = f"compare: time getent initgroups {self._source.user}; cat /etc/nsswitch.conf"
            self._log("error", reason=groups.problem, hint=hint)
        return groups

    def _load_decoy(self, store: Store) -> None:
        """Load what stands in for a record; of everybody, so that it takes as long."""
        if self._conversation.shows_prompts_alone:
            self._decoy = store.load_decoy(self._source.user)

    def _confirm_absence(self) -> None:
        with Uninterrupted(), decision.open_configured(self._settings) as store:
            store.confirm_absence()

    def _ask_and_verify(self, record: UserRecord | None) -> int:
        """Ask up to ``attempts`` times. ``record`` None: go through the motions on a decoy."""
        if self._is_turned_away():
            return PAM_MAXTRIES
        code, rejected = PAM_AUTH_ERR, 0
        name, decoy = self._source.user, record is None
        if self._decoy is not None:
            # Later nobody would hear why an answer was not even looked at.
            policy = self._settings.policy()
            standing = verifier.standing(record or self._decoy, int(time.time()), policy)
            if standing is not None:
                self._tell_verdict(standing)
        for _ in range(self._settings.attempts):
            text = self._conversation.ask(self._settings.prompt)
            answer = verifier.classify(text, self._password, _DIGITS)
            del text
            verdict = decision.verify(
                self._settings, name, answer, decoy=decoy, account=self._account
            )
            untold, own = verdict.failed_before, rejected
            verdict = verdict._replace(failed_before=max(untold - own, 0))
            rejected += verdict.outcome == verifier.REJECTED
            code = _PAM_CODES[verdict.outcome]
            again = verdict.outcome in _ASK_AGAIN
            if verdict.outcome == verifier.PASSWORD:
                again = not self._conversation.is_answered_blindly(messages.THAT_WAS_THE_PASSWORD)
            status = record.status if record else users.ACTIVE
            self._periods = {a.label: a.period for a in record.authenticators} if record else {}
            was_told = self._report(verdict, status, by_a_person=again)
            if code == PAM_SUCCESS and untold:
                self._have_told(untold if was_told else own)
            throttled_now = verdict.outcome == verifier.REJECTED and verdict.wait
            if throttled_now or not again:
                break
        return code

    def _have_told(self, count: int) -> None:
        """Forget wrong codes that were shown, or typed in this login. It denies nobody."""
        try:
            if count:
                decision.have_told(self._settings, self._source.user, count)
        except (Unavailable, OSError) as error:
            _unavailable(error, self._source)

    def _report(self, verdict: Verdict, status: str, *, by_a_person: bool) -> bool:
        """Log and tell ``verdict``; return whether wrong codes of others were shown."""
        fields: dict[str, object] = {"authenticator": verdict.authenticator}
        if verdict.outcome == verifier.RECOVERY_USED:
            fields["recovery_codes_left"] = str(verdict.recovery_codes_left)
        if verdict.outcome == verifier.PASSWORD:
            typed = messages.PASSWORD_TYPED_AGAIN
            fields["reason"] = typed if by_a_person else messages.PASSWORD_AS_ANSWER
        if status not in users.ACCEPTABLE:
            fields["reason"] = status
        if verdict.wait:
            fields["wait"] = verdict.wait
        event = verifier.MALFORMED if verdict.outcome == verifier.PASSWORD else verdict.outcome
        if verdict.clock_offset:
            period = self._periods.get(verdict.authenticator, 30)
            fields["detail"] = clock_skew.in_words(
                verdict.authenticator, verdict.clock_offset, period
            )
        self._log(event, **fields)
        if verdict.clock_is_behind:
            self._log(
                "error",
                reason=messages.CLOCK_IS_BEHIND,
                hint=f"look at: timedatectl; then run: totpctl show {self._source.user}",
            )
        if verdict.outcome == verifier.PASSWORD:  # that was said already
            return False
        return self._tell_verdict(verdict)

    def _tell_verdict(self, verdict: Verdict) -> bool:
        """Return whether the person was shown how many wrong codes there were before."""
        text = messages.for_verdict(verdict, self._source.user)
        if text:
            accepted = _PAM_CODES[verdict.outcome] == PAM_SUCCESS
            self._conversation.tell(text, error=not accepted)
        if not verdict.failed_before:
            return True
        return self._conversation.tell(messages.failed_before(verdict.failed_before))

    def _log(self, event: str, **fields: object) -> None:
        audit.record(event, self._source, **fields)
        if self._debug:
            audit.record("debug", self._source, decision=event, attempts=self._settings.attempts)


def _came_with_a_key(pamh: Any, source: audit.Source) -> int:
    """Answer ``first_factor=key``: PAM_SUCCESS if sshd says that a key was accepted first.

    Believed of sshd alone: elsewhere the PAM environment may be the caller's.
    """
    if not identity.is_sshd(pamh):
        audit.record("error", source, reason="first_factor=key works in sshd's PAM file only")
        return PAM_AUTH_ERR
    return PAM_SUCCESS if identity.came_with_a_key(pamh) else PAM_AUTH_ERR
