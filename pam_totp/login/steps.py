"""What a login needs of the world, as values: the flow yields them, a driver performs them.

A step says by ``by()`` of which type its result is, so that mypy holds flow and drivers to one
contract: ``reply = yield from need(Ask(...))`` is a Reply. What goes wrong while a step is
performed is raised in the flow, at that place. Nothing here waits, reads a clock or knows PAM.
"""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    from collections.abc import Generator, Mapping
    from typing import Any, Protocol, TypeAlias, TypeVar

    from ..core.admission import Account, Groups
    from ..core.users import Authenticator, UserRecord
    from ..core.verifier import Answer, Policy, Verdict
    from ..store import Enrollment, Known
    from ..system.audit import Source
    from ..system.config import Arguments, Loaded

    Result = TypeVar("Result")
    Result_co = TypeVar("Result_co", covariant=True)

    class Step(Protocol[Result_co]):
        """Something that a flow waits for."""

        def by(self, driver: Driver) -> Result_co:
            """Have ``driver`` perform this step; return what came of it, or raise what did."""

    # A flow that yields steps and returns a Result. What it is sent is the result of its step:
    # Python has no type for that, so need() alone is where it gets one.
    Flow: TypeAlias = Generator[Step[object], Any, Result]

    class Driver(Protocol):
        """Performs steps, and waits as long as they take. See login/driver.py for most of them.

        Any of them may raise Unavailable, OSError, or ConversationFailed where it says so.
        """

        def read_config(self, step: ReadConfig) -> Loaded: ...
        def log(self, step: Log) -> None: ...
        def look_up_account(self, step: LookUpAccount) -> AccountEntry | None: ...
        def look_up_groups(self, step: LookUpGroups) -> Groups: ...
        def look_up_user(self, step: LookUpUser) -> Known: ...
        def confirm_absence(self, step: ConfirmAbsence) -> None: ...
        def take_place(self, step: TakePlace) -> Turn: ...
        def ask(self, step: Ask) -> Reply: ...
        def tell(self, step: Tell) -> Told: ...
        def hash_answer(self, step: HashAnswer) -> Answer: ...
        def verify(self, step: Verify) -> Verdict | None: ...
        def have_told(self, step: HaveTold) -> None: ...
        def judge_stack(self, step: JudgeStack) -> bool: ...
        def issue_authenticator(self, step: IssueAuthenticator) -> Issued: ...
        def issue_codes(self, step: IssueCodes) -> list[str]: ...
        def hash_codes(self, step: HashCodes) -> tuple[bytes, frozenset[bytes]] | None: ...
        def enroll_first(self, step: EnrollFirst) -> bool: ...


def need(step: Step[Result]) -> Flow[Result]:
    """Wait for ``step``, and return its result."""
    result: Result = yield step
    return result


def log(event: str, source: Source, **fields: object) -> Flow[None]:
    return need(Log(event, source, fields))


def drive(flow: Flow[Result], driver: Driver) -> Result:
    """Return what ``flow`` does, with a driver that performs each step at once."""
    try:
        step = next(flow)
        while True:
            try:
                result = step.by(driver)
            except BaseException as error:  # the flow's to judge, and to clean up after
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as ended:  # not of a step: in a generator that is a RuntimeError
        value: Result = ended.value
        return value


class Request(NamedTuple):
    """All that the application told about one login. Nothing of it was typed at our prompts.

    Under sudo and the like it is the caller's word: no path, key or option is read from it but
    from ``arguments``, those of the PAM line.
    """

    service: str
    user: str | None  # "": not text; None: the application could not say
    rhost: str = ""
    ruser: str = ""
    tty: str = ""
    arguments: tuple[str, ...] = ()
    is_silent: bool = False  # PAM_SILENT: the application wants no messages
    password_given: bool = False  # a module before this one has asked for it: right or wrong
    ssh_auth_info: str = ""  # SSH_AUTH_INFO_0 of the PAM environment


# Configuration, log and directory


class ReadConfig(NamedTuple):
    """Read the file that ``arguments`` name; they win. Later steps are about what it says."""

    arguments: Arguments

    def by(self, driver: Driver) -> Loaded:
        return driver.read_config(self)


class Log(NamedTuple):
    """Write one line to the audit log. Never fails."""

    event: str
    source: Source
    fields: Mapping[str, object]

    def by(self, driver: Driver) -> None:
        driver.log(self)


class AccountEntry(NamedTuple):
    """An account of this machine. ``name``: as the directory spells it."""

    name: str
    account: Account
    passwd: pwd.struct_passwd


class LookUpAccount(NamedTuple):
    user: str

    def by(self, driver: Driver) -> AccountEntry | None:
        return driver.look_up_account(self)


class LookUpGroups(NamedTuple):
    """Say which of ``names`` ``entry`` is a member of. The directory may take seconds.

    ``in_files``: by the files of this machine alone.
    """

    entry: AccountEntry
    names: tuple[str, ...]
    in_files: bool = False

    def by(self, driver: Driver) -> Groups:
        return driver.look_up_groups(self)


# The person


class Turn(NamedTuple):
    """Whether one more login of a user may wait at a prompt.

    ``may_tell``: if not, it may at least be told why. ``news``: what to log of it; "": nothing.
    """

    may_ask: bool = True
    may_tell: bool = False
    news: str = ""


class TakePlace(NamedTuple):
    """Count this login among those of ``name`` that wait at a prompt."""

    name: str

    def by(self, driver: Driver) -> Turn:
        return driver.take_place(self)


class Reply(NamedTuple):
    """What was typed, and the unix time at which it came.

    ``is_password``: it equals the password of this login; ``text`` need not hold it then.
    """

    text: str
    at: int
    is_password: bool = False

    def __repr__(self) -> str:
        return "<Reply>"


class Ask(NamedTuple):
    """Show a prompt and wait for the answer. Raises ConversationFailed if none comes."""

    prompt: str
    echo: bool

    def by(self, driver: Driver) -> Reply:
        return driver.ask(self)


class Told(NamedTuple):
    """Whether the application took a message; ``is_answered``: it gave an answer, of nobody."""

    is_shown: bool
    is_answered: bool = False


class Tell(NamedTuple):
    """Show a message. One that cannot be shown changes nothing about the login."""

    text: str
    is_error: bool

    def by(self, driver: Driver) -> Told:
        return driver.tell(self)

    def __repr__(self) -> str:  # it may be a secret, shown to its owner
        return "<Tell>"


# The store


class LookUpUser(NamedTuple):
    """Ask the store what it knows of ``name``; see LoginStore.admission. StoreMissing: no store."""

    name: str

    def by(self, driver: Driver) -> Known:
        return driver.look_up_user(self)


class ConfirmAbsence:
    """Raise StoreCorrupt if damage could be why the store does not hold somebody."""

    def by(self, driver: Driver) -> None:
        driver.confirm_absence(self)


class HashAnswer(NamedTuple):
    """Return a recovery code with its digest; without one where nobody would look at it."""

    name: str
    answer: Answer
    policy: Policy
    is_decoy: bool

    def by(self, driver: Driver) -> Answer:
        return driver.hash_answer(self)


class Verify(NamedTuple):
    """Judge an answer: see LoginStore.verify. The verdict is durable; None: hash it first."""

    name: str
    answer: Answer
    policy: Policy
    is_decoy: bool
    account: Account | None

    def by(self, driver: Driver) -> Verdict | None:
        return driver.verify(self)


class HaveTold(NamedTuple):
    """Note that ``name`` has been told of so many wrong codes, or typed them in this login."""

    name: str
    wrong_codes: int

    def by(self, driver: Driver) -> None:
        driver.have_told(self)


# First enrollment


class JudgeStack(NamedTuple):
    """Tell whether the PAM file of ``service`` proves the password before this module is asked.

    ``key``: sshd has accepted a key.
    """

    service: str
    key: bool

    def by(self, driver: Driver) -> bool:
        return driver.judge_stack(self)


class Issued(NamedTuple):
    """A new authenticator. ``uri`` and ``picture`` are empty where nothing could be drawn."""

    authenticator: Authenticator
    uri: str
    picture: list[str]

    def __repr__(self) -> str:
        return "<Issued>"


class IssueAuthenticator(NamedTuple):
    """Make an authenticator with a new secret, and draw it for the app. ``period`` in seconds."""

    user: str
    issuer: str  # "": the name of this machine
    label: str
    algorithm: str
    digits: int
    period: int

    def by(self, driver: Driver) -> Issued:
        return driver.issue_authenticator(self)


class IssueCodes:
    """Make a set of recovery codes, to be shown."""

    def by(self, driver: Driver) -> list[str]:
        return driver.issue_codes(self)


class HashCodes(NamedTuple):
    """Return salt and digests of ``codes``; None if the user's record is not ``before`` any more.

    Whoever opens many first logins must not have all of their codes hashed.
    """

    name: str
    codes: list[str]
    before: UserRecord | None

    def by(self, driver: Driver) -> tuple[bytes, frozenset[bytes]] | None:
        return driver.hash_codes(self)

    def __repr__(self) -> str:
        return "<HashCodes>"


class EnrollFirst(NamedTuple):
    """Keep an enrollment, durably: see LoginStore.enroll_first. False: somebody was faster."""

    name: str
    enrollment: Enrollment
    before: UserRecord | None

    def by(self, driver: Driver) -> bool:
        return driver.enroll_first(self)
