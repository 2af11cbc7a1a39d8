"""A driver in memory: performs the steps of one login with no file, clock, socket or person.

What is typed is scripted; accounts, records and configuration are values. It keeps every step, so
that a test can say what a login did and in which order. ``broken`` has one step raise.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pam_totp.core import one_answer, otp, own_changes, recovery, verifier
from pam_totp.core.admission import GroupRule, Groups
from pam_totp.core.users import SUSPENDED, Account, Authenticator, UserRecord
from pam_totp.core.verifier import Verdict
from pam_totp.login import flow, steps
from pam_totp.login.steps import AccountEntry, Reply, Request, Told, Turn
from pam_totp.store import Known, LoginAttempt
from pam_totp.system import config
from pam_totp.system.config import Loaded
from tests.unit.alice import NOW, SECRET

if TYPE_CHECKING:
    from pam_totp.core.enrollment import Enrollment
    from pam_totp.core.own_changes import OwnChange
    from pam_totp.core.verifier import Policy
    from pam_totp.login.steps import Driver, Step
    from pam_totp.login.texts import Catalog
    from pam_totp.system.audit import Source
    from pam_totp.system.config import Arguments
    from pam_totp.system.errors import PamTotpError

REQUEST = Request("sshd", "alice", rhost="198.51.100.7", tty="ssh")
ALICE = UserRecord("alice", authenticators=(Authenticator("1", "phone", SECRET),))
DIGEST = bytes(32)  # of every recovery code: Argon2id has tests of its own
PASSWORD = object()  # an answer that is the password


class Script:
    """One login of somebody who types ``answers``, to a store that holds ``record``."""

    def __init__(
        self,
        *answers: object,
        record: UserRecord | None = ALICE,
        request: Request = REQUEST,
        settings: Mapping[str, object] | None = None,
        rules: Iterable[GroupRule] = (),
        member_of: tuple[str, ...] = (),
        is_known: bool = True,
        turn: Turn = Turn(),  # noqa: B008
        told: Told = Told(is_shown=True),  # noqa: B008
        proves_password: bool = True,
        policy: Policy | None = None,
        may_enroll: bool = True,
        processes: str = "",
        password: str = "19000.0a1b2c3d",
        uid: int = 1000,
        at: int = NOW,
        catalog: Catalog | None = None,
        broken: Mapping[int, BaseException] | None = None,
    ) -> None:
        self.record = record
        self.before = record
        self.steps: list[Step] = []
        self._answers = list(answers)
        self._request = request
        self._settings = config.Config(**(settings or {}))  # type: ignore[arg-type]
        self._rules = tuple(rules)
        self._member_of = member_of
        self._is_known = is_known
        self._turn = turn
        self._told = told
        self._proves_password = proves_password
        self._policy = policy
        self._may_enroll = may_enroll
        self._processes = processes
        self._password = password
        self._uid = uid
        self._at = at
        self._catalog = catalog
        self._broken = broken or {}
        self._decoy = UserRecord(
            "decoy",
            SUSPENDED,
            recovery_salt=bytes(16),
            recovery_digests=frozenset((b"none",)),
            authenticators=(Authenticator("", "", b"nobody's secret at all"),),
        )

    def log_in(self) -> int:
        driver: Driver = self
        return steps.drive(self._noted(flow.login(self._request)), driver)

    def _noted(self, login: steps.Flow[int]) -> steps.Flow[int]:
        """Pass the login's steps on, and fail where the script says so."""
        step = next(login)
        while True:
            self.steps.append(step)
            error = self._broken.get(len(self.steps) - 1)
            try:
                result = None if error else (yield step)
            except BaseException as raised:
                error = raised
            try:
                step = login.throw(error) if error else login.send(result)
            except StopIteration as ended:
                code: int = ended.value
                return code

    @property
    def names(self) -> list[str]:
        """The steps by their names, those of the log with the event."""
        return [
            f"log {step.arguments[0]}" if step.name == "log" else step.name for step in self.steps
        ]

    @property
    def events(self) -> list[object]:
        return [step.arguments[0] for step in self.steps if step.name == "log"]

    @property
    def shown(self) -> list[object]:
        return [step.arguments[0] for step in self.steps if step.name == "tell"]

    @property
    def prompts(self) -> list[object]:
        return [step.arguments[0] for step in self.steps if step.name == "ask"]

    # steps.Driver

    def read_config(self, arguments: Arguments) -> Loaded:
        return Loaded(self._settings, ())

    def find_catalog(self, language: str) -> tuple[Catalog | None, PamTotpError | None]:
        return self._catalog, None

    def log(self, event: str, source: Source, fields: dict[str, object]) -> None: ...

    def look_up_account(self, user: str) -> AccountEntry | None:
        if not self._is_known:
            return None
        passwd = pwd.struct_passwd((user, "x", self._uid, 1000, "", "/", "/bin/sh"))
        return AccountEntry(user, Account(self._uid, is_local=True), passwd)

    def look_up_groups(
        self, entry: AccountEntry, names: tuple[str, ...], *, in_files: bool = False
    ) -> Groups:
        return Groups(self._member_of)

    def take_place(self, _name: str, /) -> Turn:
        return self._turn

    def ask(self, prompt: str, *, echo: bool) -> Reply:
        assert self._answers, "asked more often than expected"
        answer = self._answers.pop(0)
        if answer is PASSWORD:
            return Reply("", NOW, is_password=True)
        return Reply(str(answer() if callable(answer) else answer), NOW)

    def ask_for_both(self, prompt: str, digits: tuple[int, ...]) -> bool:
        return not digits or one_answer.split(str(self._answers.pop(0)), digits) is not None

    def tell(self, text: str, *, is_error: bool) -> Told:
        return self._told

    def look_up_user(self, name: str, place: str) -> Known:
        return Known(
            self.record,
            self._rules,
            self._decoy,
            self._at,
            policy=self._policy,
            may_enroll=self._may_enroll,
        )

    def confirm_absence(self) -> None: ...

    def hash_answer(self, attempt: LoginAttempt) -> LoginAttempt:
        record = self._decoy if attempt.is_decoy else self.record
        salt = record and record.recovery_salt
        return attempt._replace(answer=attempt.answer._replace(salt=salt, digest=DIGEST))

    def verify(self, attempt: LoginAttempt) -> Verdict | None:
        record = self._decoy if attempt.is_decoy else self.record
        assert record is not None
        verdict, changed = verifier.verify(
            record,
            attempt.answer,
            self._at,
            attempt.policy,
            place=attempt.source.place,
            remember=attempt.remember,
        )
        if attempt.is_decoy:
            self._decoy = changed
        else:
            self.record = changed
        return verdict

    def change_own(self, name: str, change: OwnChange, before: UserRecord) -> bool:
        if not own_changes.is_still(self.record, before):
            return False
        self.record = own_changes.changed(before, change, NOW)
        return True

    def have_told(self, name: str, count: int) -> None: ...

    def processes(self) -> str:
        return self._processes

    def password_state(self, user: str) -> str:
        return self._password

    def judge_stack(self, service: str, *, key: bool) -> bool:
        return self._proves_password

    def issue_authenticator(
        self, user: str, place: str, issuer: str, *, label: str, is_beside: bool = False
    ) -> tuple[Authenticator, str, list[str]]:
        new = Authenticator("new", label, SECRET, created_at=NOW)
        return new, "otpauth://totp/", ["picture"]

    def issue_codes(self) -> list[str]:
        return ["0123-4567-89AB-CDEF"] * recovery.CODES_IN_A_SET

    def hash_codes(
        self, name: str, codes: list[str], before: UserRecord | None
    ) -> tuple[bytes, frozenset[bytes]] | None:
        return (bytes(16), frozenset((DIGEST,))) if self.record == before else None

    def enroll_first(self, name: str, enrollment: Enrollment, before: UserRecord | None) -> bool:
        if self.record != before:
            return False
        authenticator, salt, digests, _ = enrollment
        record = before or UserRecord(name, created_at=NOW)
        self.record = record.enrolled(authenticator, salt, digests, NOW).changed_at(NOW)
        return True


def code(step: int = NOW // 30) -> str:
    return otp.hotp(SECRET, step)
