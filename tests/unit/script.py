"""A driver in memory: performs the steps of one login with no file, clock, socket or person.

What is typed is scripted; accounts, records and configuration are values. It keeps every step, so
that a test can say what a login did and in which order. ``broken`` has one step raise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pam_totp.core import admission, otp, recovery, verifier
from pam_totp.core.admission import Account, GroupRule, Groups
from pam_totp.core.users import SUSPENDED, Authenticator, UserRecord
from pam_totp.core.verifier import Answer, Verdict
from pam_totp.login import flow, steps
from pam_totp.login.steps import AccountEntry, Issued, Reply, Request, Told, Turn
from pam_totp.store import Known
from pam_totp.system import config
from pam_totp.system.config import Loaded
from tests.unit.alice import NOW, SECRET

if TYPE_CHECKING:
    from pam_totp.login.steps import Driver, Step

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
        broken: Mapping[int, BaseException] | None = None,
    ) -> None:
        self.record = record
        self.before = record
        self.steps: list[Step[object]] = []
        self._answers = list(answers)
        self._request = request
        self._settings = config.Config(**(settings or {}))  # type: ignore[arg-type]
        self._rules = tuple(rules)
        self._member_of = member_of
        self._is_known = is_known
        self._turn = turn
        self._told = told
        self._proves_password = proves_password
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
        return steps.drive(_watched(flow.login(self._request), self), driver)

    def perform(self, step: Step[object]) -> None:
        """Note a step, and fail where the script says so."""
        self.steps.append(step)
        if error := self._broken.get(len(self.steps) - 1):
            raise error

    @property
    def names(self) -> list[str]:
        """The steps by their names, those of the log with the event."""
        return [
            f"Log {step.event}" if isinstance(step, steps.Log) else type(step).__name__
            for step in self.steps
        ]

    @property
    def events(self) -> list[str]:
        return [step.event for step in self.steps if isinstance(step, steps.Log)]

    @property
    def shown(self) -> list[str]:
        return [step.text for step in self.steps if isinstance(step, steps.Tell)]

    @property
    def prompts(self) -> list[str]:
        return [step.prompt for step in self.steps if isinstance(step, steps.Ask)]

    # steps.Driver

    def read_config(self, _step: steps.ReadConfig) -> Loaded:
        return Loaded(self._settings, ())

    def log(self, step: steps.Log) -> None: ...

    def look_up_account(self, step: steps.LookUpAccount) -> AccountEntry | None:
        return (
            AccountEntry(step.user, Account(1000, is_local=True), None) if self._is_known else None
        )  # type: ignore[arg-type]

    def look_up_groups(self, _step: steps.LookUpGroups) -> Groups:
        return Groups(self._member_of)

    def look_up_user(self, _step: steps.LookUpUser) -> Known:
        return Known(self.record, self._rules, self._decoy, NOW)

    def confirm_absence(self, step: steps.ConfirmAbsence) -> None: ...

    def take_place(self, _step: steps.TakePlace) -> Turn:
        return self._turn

    def ask(self, _step: steps.Ask) -> Reply:
        assert self._answers, "asked more often than expected"
        answer = self._answers.pop(0)
        if answer is PASSWORD:
            return Reply("", NOW, is_password=True)
        return Reply(str(answer() if callable(answer) else answer), NOW)

    def tell(self, _step: steps.Tell) -> Told:
        return self._told

    def hash_answer(self, step: steps.HashAnswer) -> Answer:
        record = self._decoy if step.is_decoy else self.record
        return step.answer._replace(salt=record and record.recovery_salt, digest=DIGEST)

    def verify(self, step: steps.Verify) -> Verdict | None:
        record = self._decoy if step.is_decoy else self.record
        assert record is not None
        verdict, changed = verifier.verify(record, step.answer, NOW, step.policy)
        if step.is_decoy:
            self._decoy = changed
        else:
            self.record = changed
        return verdict

    def have_told(self, step: steps.HaveTold) -> None: ...

    def judge_stack(self, _step: steps.JudgeStack) -> bool:
        return self._proves_password

    def issue_authenticator(self, step: steps.IssueAuthenticator) -> Issued:
        new = Authenticator(
            "new", step.label, SECRET, step.algorithm, step.digits, step.period, created_at=NOW
        )
        return Issued(new, "otpauth://totp/", ["picture"])

    def issue_codes(self, _step: steps.IssueCodes) -> list[str]:
        return ["0123-4567-89AB-CDEF"] * recovery.CODES_IN_A_SET

    def hash_codes(self, step: steps.HashCodes) -> tuple[bytes, frozenset[bytes]] | None:
        return (bytes(16), frozenset((DIGEST,))) if self.record == step.before else None

    def enroll_first(self, step: steps.EnrollFirst) -> bool:
        if self.record != step.before:
            return False
        authenticator, salt, digests, _ = step.enrollment
        self.record = admission.newly_enrolled(
            step.before, step.name, authenticator, salt, digests, NOW
        )
        return True


class _Noted:
    """A step that is noted before it is performed."""

    def __init__(self, step: Step[object], script: Script) -> None:
        self._step = step
        self._script = script

    def by(self, driver: Driver) -> object:
        self._script.perform(self._step)
        return self._step.by(driver)


def _watched(login: steps.Flow[int], script: Script) -> steps.Flow[int]:
    step = next(login)
    while True:
        try:
            try:
                result = yield _Noted(step, script)
            except BaseException as error:
                step = login.throw(error)
            else:
                step = login.send(result)
        except StopIteration as ended:
            code: int = ended.value
            return code


def code(step: int = NOW // 30) -> str:
    return otp.hotp(SECRET, step)
