"""BlockingDriver: performs the steps of one login at once, on this machine.

For a login that has a process of its own; the service inherits what it does not do better. How the
person is reached differs: whoever inherits says so with ask() and tell(). No lock and no
transaction is held between two steps, so none is while a person types; here, no file is open, and
no connection either.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

from ..core import recovery, verifier
from ..store import is_missing, open_store, sealing
from ..system import audit, config, languages
from ..system.errors import PamTotpError, StoreMissing, StoreUnavailable, Unavailable
from ..system.uninterrupted import Uninterrupted
from . import identity
from .hashing import HashingSlot
from .steps import AccountEntry, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.admission import Groups
    from ..core.enrollment import Enrollment
    from ..core.own_changes import OwnChange
    from ..core.users import Authenticator, UserRecord
    from ..core.verifier import Verdict
    from ..store import Known, LoginAttempt, LoginStore, Store
    from ..system.audit import Source
    from ..system.config import Arguments, Config, Loaded
    from .fleet import Fleet, Lend, OwnWay
    from .texts import Catalog

Result = TypeVar("Result")


class BlockingDriver:
    """See steps.Driver. ``_settings`` name a store of this machine, also where there is a fleet."""

    __slots__ = ("_fleet", "_settings", "_way")

    shows_pictures = True  # where a person enrolls

    def __init__(self) -> None:
        self._settings = config.Config()
        self._fleet: Fleet | None = None
        self._way: OwnWay | None = None

    # Configuration, log and directory

    def read_config(self, arguments: Arguments) -> Loaded:
        loaded = config.load(arguments.path, arguments.settings)
        self._use(loaded.config)
        return loaded

    def _use(self, settings: Config) -> None:
        self._settings = settings.of_this_machine()
        if settings.is_fleet:
            from . import fleet  # with the client of PostgreSQL

            self._fleet = fleet.Fleet(settings.store, self._lend_by(settings))

    def _lend_by(self, settings: Config) -> Lend:
        """Return what lends a way to the database that ``settings`` name."""
        from . import fleet

        self._way = fleet.OwnWay(settings)
        return self._way.lend

    def disconnect(self) -> None:
        """Keep no connection to a fleet: what comes next takes time, or nothing is asked again."""
        if self._way is not None:
            self._way.close()

    def refresh_kit(self) -> None:
        """Fetch codes for an outage, where that is due: once nobody waits for this login.

        Raises Unavailable.
        """
        if self._fleet is not None:
            self._fleet.refresh()

    def find_catalog(self, language: str) -> tuple[Catalog | None, PamTotpError | None]:
        return catalog_of(*languages.asked_for(language))

    def log(self, event: str, source: Source, fields: dict[str, object]) -> None:
        audit.record(event, source, **fields)

    def look_up_account(self, user: str) -> AccountEntry | None:
        passwd = identity.passwd_entry(user)
        if passwd is None:
            return None
        return AccountEntry(identity.canonical_name(passwd), identity.account(passwd), passwd)

    def look_up_groups(
        self, entry: AccountEntry, names: tuple[str, ...], *, in_files: bool = False
    ) -> Groups:
        from . import membership  # few configurations need it

        if in_files:
            return membership.local_groups(entry.passwd, names)
        return membership.groups_among(entry.passwd, names)

    # The person

    def take_place(self, _name: str, /) -> Turn:
        """Nobody counts those who wait where each has a process of their own."""
        return Turn()

    # The store

    def look_up_user(self, name: str, place: str) -> Known:
        if self._fleet is None:
            return self._look_up_here(name)
        known = self._fleet.look_up_here(name, self._look_up_here)
        return self._fleet.look_up(name, place) if known is None else known

    def _look_up_here(self, name: str) -> Known:
        try:
            return self._ask_here(lambda store: store.admission(name))
        except Unavailable as error:
            # StoreMissing lets exempt groups in: never because of a store that is back by now.
            missing = is_missing(self._settings.store)
            kind = StoreMissing if missing else StoreUnavailable
            if missing or isinstance(error, StoreMissing):
                raise kind(error.subject, error.problem, error.hint) from error
            raise

    def confirm_absence(self) -> None:
        """Check all of this machine's store, the only one that can lose somebody unnoticed.

        On a connection of its own: it takes time, and nobody else is to wait for it.
        """
        if self._fleet is None or not is_missing(self._settings.store):
            self._ask_alone(lambda store: store.confirm_absence())

    def hash_answer(self, attempt: LoginAttempt) -> LoginAttempt:
        """Hash a recovery code before the transaction: nobody should wait there for Argon2id."""
        return self._in_turn(lambda: self.prepare_answer(attempt))

    def prepare_answer(self, attempt: LoginAttempt) -> Callable[[], LoginAttempt]:
        """Look whether there is something to hash, and return what does it, with no store open.

        Not the code of somebody who is throttled or locked, which nobody will look at.
        """
        answer, policy, place = attempt.answer, attempt.policy, attempt.source.place
        known = self._ask_store(lambda store: store.admission(attempt.name, place))
        record = known.decoy if attempt.is_decoy else known.record
        if record is not None and verifier.standing(record, known.at, policy, answer.kind, place):
            return lambda: attempt
        salt = record.recovery_salt if record is not None else None

        def hashed() -> LoginAttempt:
            digest = recovery.digest(answer.code, salt or bytes(recovery.SALT_BYTES))
            return attempt._replace(answer=answer._replace(salt=salt, digest=digest))

        return hashed

    def verify(self, attempt: LoginAttempt) -> Verdict | None:
        return self._ask_store(lambda store: store.verify(attempt))

    def processes(self) -> str:
        """Describe this process, which is the application where nothing else is said."""
        from ..system import processes

        return processes.described()

    def password_state(self, user: str) -> str:
        from ..system import password_change  # few configurations need it

        return password_change.state(user)

    def change_own(self, name: str, change: OwnChange, before: UserRecord) -> bool:
        return self._ask_store(lambda store: store.change_own(name, change, before))

    def have_told(self, name: str, count: int) -> None:
        self._ask_store(lambda store: store.have_told(name, count))

    # First enrollment: each loads what no other login needs

    def judge_stack(self, service: str, *, key: bool) -> bool:
        from ..stack import pam_stack

        return pam_stack.proves_password(service, key=key)

    def issue_authenticator(
        self, user: str, place: str, issuer: str, *, label: str, is_beside: bool = False
    ) -> tuple[Authenticator, str, list[str]]:
        from ..core.enrollment import ALGORITHM, DIGITS, PERIOD
        from ..system import issuing
        from . import picture

        new = issuing.new_authenticator(label, ALGORITHM, DIGITS, PERIOD, int(time.time()))
        assert new.secret is not None
        place = place or os.uname().nodename
        in_entry = label if is_beside else ""
        uri, lines = picture.draw(new.secret, user, place, issuer or place, in_entry)
        return new, uri, lines if self.shows_pictures else []

    def issue_codes(self) -> list[str]:
        from ..system import issuing

        return issuing.new_recovery_codes()

    def hash_codes(
        self, name: str, codes: list[str], before: UserRecord | None
    ) -> tuple[bytes, frozenset[bytes]] | None:
        return self._in_turn(lambda: self.prepare_codes(name, codes, before))

    def prepare_codes(
        self, name: str, codes: list[str], before: UserRecord | None
    ) -> Callable[[], tuple[bytes, frozenset[bytes]] | None]:
        """Look whether there is something to hash, and return what does it, with no store open."""
        from ..system import issuing

        record = self._ask_store(lambda store: store.admission(name)).record
        # Which places are known is told by where one asks from.
        if (record and record.without_places()) != (before and before.without_places()):
            return lambda: None
        return lambda: issuing.salt_and_digests(codes)

    def enroll_first(self, name: str, enrollment: Enrollment, before: UserRecord | None) -> bool:
        return self._ask_store(lambda store: store.enroll_first(name, enrollment, before))

    def _in_turn(self, prepare: Callable[[], Callable[[], Result]]) -> Result:
        """Prepare, and then hash, when the turn has come.

        A fleet is asked before: nobody has to wait for a network that they cannot interrupt.
        """
        prepared = prepare() if self._fleet is not None and self._fleet.is_asked else None
        self.disconnect()
        with Uninterrupted(), HashingSlot():
            return (prepared or prepare())()

    def _ask_store(self, question: Callable[[LoginStore], Result]) -> Result:
        """Return the answer of the store that judges this login."""
        if self._fleet is not None and self._fleet.is_asked:
            return self._fleet.ask(question)
        return self._ask_here(question)

    def _ask_here(self, question: Callable[[Store], Result]) -> Result:
        """Return the answer of this machine's store."""
        return self._ask_alone(question)

    def _ask_alone(self, question: Callable[[Store], Result]) -> Result:
        """Return the answer of this machine's store, opened for this question alone."""
        with Uninterrupted(), self._open() as store:
            return question(store)

    def _open(self) -> Store:
        return open_store(self._settings.store, sealing.read_sealer(self._settings.sealing_key))


def catalog_of(
    names: tuple[str, ...], problem: PamTotpError | None
) -> tuple[Catalog | None, PamTotpError | None]:
    """Return the first catalog of ``names`` that there is, and what is wrong with it."""
    if not names:
        return None, problem
    try:
        from ..system import catalogs  # where English is spoken, nobody needs it
    except ImportError as error:
        return None, PamTotpError(error.name or "gettext", "is missing", "run: totpctl doctor")
    return catalogs.find(names)
