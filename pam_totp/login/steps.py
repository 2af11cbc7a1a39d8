"""What a login needs of the world: the flow yields steps, a driver performs them.

Driver is the list of all steps: a step is one of its methods with arguments, and its result is what
that method returns. So ``yield from need(Driver.ask, prompt, echo=False)`` is a Reply, and mypy
holds flow and drivers to it. What goes wrong while a step is performed is raised in the flow, at
that place. Nothing here waits, reads a clock or knows PAM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    import pwd
    from collections.abc import Callable, Generator
    from typing import Any, TypeAlias

    from ..core.admission import Groups
    from ..core.enrollment import Enrollment
    from ..core.own_changes import OwnChange
    from ..core.users import Account, Authenticator, UserRecord
    from ..core.verifier import Verdict
    from ..store import Known, LoginAttempt
    from ..system.audit import Source
    from ..system.config import Arguments, Loaded
    from ..system.errors import PamTotpError
    from .texts import Catalog

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


class Step(NamedTuple):
    """``name`` is the method of a Driver. There are secrets in the arguments."""

    name: str
    arguments: tuple[object, ...]
    options: dict[str, object]

    def __repr__(self) -> str:
        return f"<Step {self.name}>"


# A login, or a part of it, that yields steps and returns a Result. What it is sent is the result of
# its step: need() alone gives that a type.
Flow: TypeAlias = "Generator[Step, Any, Result]"


def need(
    method: Callable[Concatenate[Driver, Parameters], Result],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> Flow[Result]:
    """Wait for a step, and return its result."""
    result: Result = yield Step(method.__name__, arguments, options)
    return result


def log(event: str, source: Source, **fields: object) -> Flow[None]:
    return need(Driver.log, event, source, fields)


def perform(step: Step, performer: object) -> object:
    """Return what the method of ``performer`` returns that has the name of ``step``."""
    result: object = getattr(performer, step.name)(*step.arguments, **step.options)
    return result


def drive(flow: Flow[Result], driver: Driver) -> Result:
    """Return what ``flow`` does, with a driver that performs each step at once."""
    try:
        step = next(flow)
        while True:
            try:
                result = perform(step, driver)
            except BaseException as error:  # the flow's to judge, and to clean up after
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as ended:  # not of a step: in a generator that is a RuntimeError
        value: Result = ended.value
        return value


PAM_SILENT = 0x8000  # a flag of the application: it wants no messages


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
    is_silent: bool = False  # PAM_SILENT
    password_given: bool = False  # a module before this one has asked for it: right or wrong
    ssh_auth_info: str = ""  # SSH_AUTH_INFO_0 of the PAM environment
    answer_kept: bool = False  # a line with first_factor=password has asked for password and code


class AccountEntry(NamedTuple):
    """An account of this machine. ``name``: as the directory spells it."""

    name: str
    account: Account
    passwd: pwd.struct_passwd

    def __repr__(self) -> str:  # pw_passwd may be a hash
        return f"<AccountEntry {self.name!r}>"


class Turn(NamedTuple):
    """Whether one more login of a user may wait at a prompt.

    ``may_tell``: if not, it may at least be told why. ``news``: what to log of it; "": nothing.
    """

    may_ask: bool = True
    may_tell: bool = False
    news: str = ""


class Reply(NamedTuple):
    """What was typed, and the unix time at which it came.

    ``is_password``: it equals the password of this login; ``text`` need not hold it then.
    """

    text: str
    at: int
    is_password: bool = False

    def __repr__(self) -> str:
        return "<Reply>"


class Told(NamedTuple):
    """Whether the application took a message; ``is_answered``: it gave an answer, of nobody."""

    is_shown: bool
    is_answered: bool = False


class Driver(Protocol):
    """Performs steps, and waits as long as they take: see login/driver.py for most of them.

    Any may raise Unavailable or OSError; ConversationFailed only where it is said. No lock and no
    transaction is held between two steps.
    """

    # Configuration, log and directory

    def read_config(self, arguments: Arguments) -> Loaded:
        """Read the file that ``arguments`` name; they win. Later steps are about what it says."""
        ...

    def find_catalog(self, language: str) -> tuple[Catalog | None, PamTotpError | None]:
        """Return the translations to speak by, None for English, and what is wrong with them.

        ``language``: as pam_totp.conf says; "": that of this host. Nothing fails a login here.
        """
        ...

    def log(self, event: str, source: Source, fields: dict[str, object]) -> None:
        """Write one line to the audit log. Never raises."""
        ...

    def look_up_account(self, user: str) -> AccountEntry | None:
        """Look ``user`` up in the directory."""
        ...

    def look_up_groups(
        self, entry: AccountEntry, names: tuple[str, ...], *, in_files: bool = False
    ) -> Groups:
        """Say which of ``names`` the account is a member of. The directory may take seconds.

        ``in_files``: by the files of this machine alone.
        """
        ...

    # The person

    def take_place(self, name: str, /) -> Turn:
        """Count this login among those of ``name`` that wait at a prompt."""
        ...

    def ask(self, prompt: str, *, echo: bool) -> Reply:
        """Show a prompt and wait for the answer. Raises ConversationFailed if none comes.

        Where the answer was kept, that is returned, and nothing is shown; "": it held no code.
        """
        ...

    def ask_for_both(self, prompt: str, digits: tuple[int, ...]) -> bool:
        """Ask for password and code in one answer, and return whether it was as expected.

        The password is handed to the next module, and the code kept for the next line. A code has
        one of ``digits``; none of them: all of the answer is the password. False: there is no code
        at its end. Then the next module gets what is nobody's password. Raises ConversationFailed.
        """
        ...

    def tell(self, text: str, *, is_error: bool) -> Told:
        """Show a message. One that cannot be shown changes nothing about the login."""
        ...

    # The store: see LoginStore

    def look_up_user(self, name: str, place: str) -> Known:
        """Ask what the store knows of ``name``: LoginStore.admission(). Raises StoreMissing."""
        ...

    def confirm_absence(self) -> None:
        """Raise StoreCorrupt if damage could be why the store does not hold somebody."""
        ...

    def hash_answer(self, attempt: LoginAttempt) -> LoginAttempt:
        """Return it with the digest of its recovery code; as it is where nobody would look."""
        ...

    def verify(self, attempt: LoginAttempt) -> Verdict | None:
        """Judge an answer: LoginStore.verify(). The verdict is durable; None: hash it first."""
        ...

    def processes(self) -> str:
        """Describe the application's: see remembering.processes_of(). "": nobody knows."""
        ...

    def password_state(self, user: str) -> str:
        """Return what changes whenever the password of ``user`` does: password_change.state()."""
        ...

    def change_own(self, name: str, change: OwnChange, before: UserRecord) -> bool:
        """Make a change of ``name``'s own: LoginStore.change_own(). False: it came too late."""
        ...

    def have_told(self, name: str, count: int) -> None:
        """Note that ``name`` was told of so many wrong codes, or typed them in this login."""
        ...

    # First enrollment

    def judge_stack(self, service: str, *, key: bool) -> bool:
        """Tell whether the PAM file of ``service`` proves the password before this module.

        ``key``: sshd has accepted a key.
        """
        ...

    def issue_authenticator(
        self, user: str, place: str, issuer: str, *, label: str, is_beside: bool = False
    ) -> tuple[Authenticator, str, list[str]]:
        """Make one as enrollment.py has them, with a new secret; return it, its URI and QR code.

        ``is_beside``: the app's entry names the label, for others of the user stay valid.
        ``place`` "": this machine; ``issuer`` "": the place. URI and lines are empty where nothing
        was drawn.
        """
        ...

    def issue_codes(self) -> list[str]:
        """Make a set of recovery codes, to be shown."""
        ...

    def hash_codes(
        self, name: str, codes: list[str], before: UserRecord | None
    ) -> tuple[bytes, frozenset[bytes]] | None:
        """Return salt and digests; None if the record of ``name`` is not ``before`` any more.

        Whoever opens many first logins must not have all of their codes hashed.
        """
        ...

    def enroll_first(self, name: str, enrollment: Enrollment, before: UserRecord | None) -> bool:
        """Keep an enrollment, durably: LoginStore.enroll_first(). False: somebody was faster."""
        ...
