"""One login, as a checklist: which policy, ask, decide in a transaction, log, answer PAM.

What a host must hand over as ``pamh`` is what pam_python gives, no more than this:

    get_user(None) -> str            service, rhost, ruser, tty: str or None
    authtok: str or None (read only) env: a mapping with get(key)
    conversation(Message) -> an object with .resp: str or None
    Message(style, text)             exception: what conversation() raises on failure
    PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_ERROR_MSG, PAM_TEXT_INFO: int

Nothing of it but the answers is typed by the person who logs in, except under sudo and the
like, where ``env`` and os.environ belong to the caller: no path, key or option is read there.
"""

from __future__ import annotations

import _thread
import resource
import time

from . import admission, audit, config, identity, messages, otp, recovery, verifier
from .admission import Admission
from .conversation import PAM_SILENT, Conversation
from .errors import ConversationFailed, Unavailable
from .sealing import read_sealer
from .store import is_missing, open_store
from .uninterrupted import Uninterrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    from collections.abc import Sequence
    from typing import Any

    from .config import Config
    from .store import Store
    from .verifier import Answer, UserRecord, Verdict

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
_ASK_AGAIN = (verifier.REJECTED, verifier.REPLAYED, verifier.MALFORMED)
_PROBLEMS_LOGGED = 5  # at each login; totpctl shows them all
_hashing = _thread.allocate_lock()  # 19 MiB a digest: in a worker, one at a time
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
        with _NoCoreFile():
            return _Login(pamh, flags, loaded.config, source, debug=arguments.debug).run()
    except ConversationFailed as error:
        audit.record("error", source, reason=str(error))
        return PAM_CONV_ERR
    except Unavailable as error:
        audit.record("error", source, reason=str(error), hint=error.hint)
        return PAM_AUTHINFO_UNAVAIL
    except OSError as error:  # too many open files, a disk that fails
        reason = f"{error.filename or 'system'}: {error.strerror or type(error).__name__}"
        audit.record("error", source, reason=reason, hint="look at: dmesg; df")
        return PAM_AUTHINFO_UNAVAIL


class _Login:
    """One call of the hook for one user."""

    def __init__(
        self, pamh: Any, flags: int, settings: Config, source: audit.Source, *, debug: bool
    ) -> None:
        quiet = settings.quiet or bool(flags & PAM_SILENT)
        self._conversation = Conversation(pamh, echo=settings.echo, quiet=quiet)
        self._password = identity.password(pamh)
        self._settings = settings
        self._source = source
        self._debug = debug

    def run(self) -> int:
        try:
            return self._run()
        except (Unavailable, OSError):
            self._conversation.tell(messages.UNAVAILABLE, error=True)
            raise

    def _run(self) -> int:
        entry = identity.passwd_entry(self._source.user)
        if entry is None:
            with Uninterrupted(), _open(self._settings):
                pass
            self._log("unenrolled")
            return self._ask_and_verify(None)
        self._source = self._source._replace(user=identity.canonical_name(entry))
        admitted, record = self._admit(entry)
        if admitted.kind == admission.SKIP:
            self._log("skipped", group=admitted.group, reason=admitted.reason)
            if admitted.notice:
                self._conversation.tell(admitted.notice)
            return PAM_IGNORE
        if admitted.kind == admission.ASK:
            return self._ask_and_verify(record)
        self._log("unenrolled", group=admitted.group, reason=admitted.reason)
        return self._ask_and_verify(None)

    def _admit(self, entry: pwd.struct_passwd) -> tuple[Admission, UserRecord | None]:
        """Say what happens to this account. Nobody is let in by what damage may have taken away.

        The directory, which may be slow, is asked while no store is open.
        """
        settings = self._settings
        try:
            with Uninterrupted(), _open(settings) as store:
                record, rules = store.load(self._source.user), store.group_rules()
        except Unavailable:
            # Without any store nobody is required: whom the configuration exempts gets in.
            exempt = identity.groups_among(entry, settings.exempt_groups)
            if not exempt or not is_missing(settings.store):
                raise
            return Admission(admission.SKIP, admission.EXEMPT_GROUP, group=exempt[0]), None
        names = admission.groups_that_count(rules, settings)
        member_of = identity.groups_among(entry, names)
        admitted = admission.admit(record, rules, member_of, settings, int(time.time()))
        if admitted.by_absence:
            with Uninterrupted(), _open(settings) as store:
                store.confirm_absence()
        return admitted, record

    def _ask_and_verify(self, record: UserRecord | None) -> int:
        """Ask up to ``attempts`` times. ``record`` None: go through the motions on a decoy."""
        code = PAM_AUTH_ERR
        for _ in range(self._settings.attempts):
            # No lock, no file and no secret is held while a person types.
            text = self._conversation.ask(self._settings.prompt)
            answer = verifier.classify(text, self._password, _DIGITS)
            del text
            verdict = self._verify(answer, decoy=record is None)
            code = _PAM_CODES[verdict.outcome]
            self._report(verdict, record.status if record else verifier.ACTIVE)
            throttled_now = verdict.outcome == verifier.REJECTED and verdict.wait
            if throttled_now or verdict.outcome not in _ASK_AGAIN:
                break
        return code

    def _verify(self, answer: Answer, *, decoy: bool) -> Verdict:
        """The critical section: read, judge, write, commit. What it returns is durable."""
        name, policy = self._source.user, self._settings.policy()
        with Uninterrupted(), _open(self._settings) as store:
            answer = _with_digest(store, name, answer, decoy=decoy)
            open_transaction = store.decoy_transaction if decoy else store.transaction
            with open_transaction(name) as transaction:
                record = transaction.record
                if record is None or not record.authenticators:  # removed since the prompt
                    return verifier.Verdict(verifier.REJECTED)
                verdict, changed = verifier.verify(record, answer, int(time.time()), policy)
                if changed != record:
                    transaction.save(changed)
        return verdict

    def _report(self, verdict: Verdict, status: str) -> None:
        fields: dict[str, object] = {"authenticator": verdict.authenticator}
        if verdict.outcome == verifier.RECOVERY_USED:
            fields["recovery_codes_left"] = str(verdict.recovery_codes_left)
        if verdict.outcome == verifier.PASSWORD:
            fields["reason"] = messages.PASSWORD_AS_ANSWER
        if status not in verifier.ACCEPTABLE:
            fields["reason"] = status
        if verdict.wait:
            fields["wait"] = verdict.wait
        event = verifier.MALFORMED if verdict.outcome == verifier.PASSWORD else verdict.outcome
        self._log(event, **fields)
        if verdict.clock_is_behind:
            self._log(
                "error",
                reason=messages.CLOCK_IS_BEHIND,
                hint=f"look at: timedatectl; then run: totpctl show {self._source.user}",
            )
        text = messages.for_verdict(verdict, self._source.user)
        if text:
            accepted = _PAM_CODES[verdict.outcome] == PAM_SUCCESS
            self._conversation.tell(text, error=not accepted)

    def _log(self, event: str, **fields: object) -> None:
        audit.record(event, self._source, **fields)
        if self._debug:
            audit.record("debug", self._source, decision=event, attempts=self._settings.attempts)


def _open(settings: Config) -> Store:
    return open_store(settings.store, read_sealer(settings.sealing_key))


def _with_digest(store: Store, name: str, answer: Answer, *, decoy: bool) -> Answer:
    """Hash a recovery code before the transaction: nobody should wait for Argon2id."""
    if answer.kind != verifier.RECOVERY_CODE:
        return answer
    record = store.load_decoy(name) if decoy else store.load(name)
    salt = record.recovery_salt if record is not None else None
    with _hashing:
        digest = recovery.digest(answer.code, salt or bytes(recovery.SALT_BYTES))
    return answer._replace(salt=salt, digest=digest)


class _NoCoreFile:
    """While a secret may be in memory, a crash must not write it to disk."""

    def __enter__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_CORE)
        if self._limits[0] != 0:  # a worker has seen to it, for all of its threads
            resource.setrlimit(resource.RLIMIT_CORE, (0, self._limits[1]))

    def __exit__(self, *_: object) -> None:
        if self._limits[0] != 0:
            resource.setrlimit(resource.RLIMIT_CORE, self._limits)


def _came_with_a_key(pamh: Any, source: audit.Source) -> int:
    """Answer ``first_factor=key``: PAM_SUCCESS if sshd says that a key was accepted first.

    Believed of sshd alone: elsewhere the PAM environment may be the caller's.
    """
    if not identity.item(pamh, "service").startswith("sshd"):
        audit.record("error", source, reason="first_factor=key works in sshd's PAM file only")
        return PAM_AUTH_ERR
    lines = str(pamh.env.get("SSH_AUTH_INFO_0") or "").split("\n")
    accepted = any(line.startswith("publickey ") for line in lines)
    return PAM_SUCCESS if accepted else PAM_AUTH_ERR
