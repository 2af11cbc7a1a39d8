"""KeptDriver: performs the steps of one login among many, with what the service keeps.

Which of its steps are performed at once, and which elsewhere, loop.py decides. It inherits from
BlockingDriver what it does not do differently.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from ..core.users import Account
from ..login import identity
from ..login.driver import BlockingDriver, catalog_of
from ..login.steps import AccountEntry, Turn
from ..system import config
from ..system.errors import PamTotpError, Unavailable
from . import sandbox, worker
from .connection import processes_of, texts_of
from .kept import InUse, Kept
from .local_accounts import LocalAccounts
from .prompts import Prompts

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.admission import Groups
    from ..login.fleet import Lend
    from ..login.texts import Catalog
    from ..store import Known, Store
    from ..system.config import Arguments, Config, Loaded
    from . import wire
    from .kept import KeptStore
    from .kept_fleet import KeptFleet
    from .prompts import Place
    from .worker import Peer

SANDBOX_SECONDS = 1.0  # how often the sandbox is asked for files that did not change

Result = TypeVar("Result")


class Elsewhere(Exception):
    """It is not to be had here and at once: a helper has to ask others."""


class OfTheFleet(Elsewhere):
    """The database of the fleet has to be asked."""


class Shared:
    """What all logins of a service have in common."""

    def __init__(self) -> None:
        self.kept = Kept()
        self.accounts = LocalAccounts()
        self.prompts = Prompts()


class KeptDriver(BlockingDriver):
    """See steps.Driver. ``asked``: the request, without what its peer may not say."""

    __slots__ = ("_arguments", "_kept_fleet", "_place", "_processes", "_shared", "_where")

    def __init__(self, shared: Shared, asked: wire.RequestPacket) -> None:
        super().__init__()
        self._shared = shared
        self._where: tuple[bytes | None, ...] = (asked.rhost, asked.ruser, asked.tty)
        self._arguments = asked.arguments
        self._processes = asked.processes
        self._place: Place | None = None
        self._kept_fleet: KeptFleet | None = None

    # Before the login

    def check_name_services(self) -> None:
        sandbox.check_name_services()

    def admit(self, peer: Peer, asked: wire.RequestPacket) -> wire.RequestPacket:
        return worker.admit(peer, asked)

    def check_files(self) -> None:
        """Raise ShutOff where the login's files can be seen, or written, only from outside."""
        kept, arguments = self._shared.kept, texts_of(self._arguments)
        given = config.parse_arguments(arguments)
        configuration = kept.configuration(given)
        try:
            settings = kept.read(given).config.of_this_machine()
            kept.store(settings).check_that_it_answers()
            is_known = kept.is_current(settings)
        except InUse:
            raise
        except (Unavailable, OSError):
            is_known = False
        now = time.monotonic()
        if is_known and now - configuration.seen_at < SANDBOX_SECONDS:
            return
        with configuration.in_use_here():
            sandbox.check_files(arguments)
        configuration.seen_at = now

    # The login

    def read_config(self, arguments: Arguments) -> Loaded:
        loaded = self._shared.kept.read(arguments)
        self._use(loaded.config)
        return loaded

    def find_catalog(self, language: str) -> tuple[Catalog | None, PamTotpError | None]:
        return catalog_of(*self._shared.kept.languages(language))

    def _lend_by(self, settings: Config) -> Lend:
        self._kept_fleet = self._shared.kept.fleet(settings)
        return self._kept_fleet.lend

    def look_up_local_account(self, user: str) -> AccountEntry | None:
        """Look up an account that this machine's files name. Raises Elsewhere for another one."""
        if not self._shared.accounts.has(user):
            raise Elsewhere
        passwd = identity.passwd_entry(user)
        if passwd is None:  # removed since
            return None
        name = identity.canonical_name(passwd)
        is_its_own = name == user  # and so in the file
        account = Account(passwd.pw_uid, is_local=True) if is_its_own else identity.account(passwd)
        return AccountEntry(name, account, passwd)

    def look_up_local_groups(
        self, entry: AccountEntry, names: tuple[str, ...], *, in_files: bool = False
    ) -> Groups:
        if not in_files:
            raise Elsewhere
        return self.look_up_groups(entry, names, in_files=True)

    def processes(self) -> str:
        return processes_of(self._processes)

    def take_place(self, name: str, /) -> Turn:
        """Only here, not when the login begins: one that asks nothing needs no place."""
        origin = [(item or b"").decode("utf-8", "replace") for item in self._where]
        self._where = ()
        self._place = place = self._shared.prompts.enter(name, *origin)
        return Turn(place.may_ask, place.may_tell, place.news)

    def leave_place(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            self._shared.prompts.leave(place)

    def look_up_user_here(self, name: str, _place: str) -> Known:
        """Look ``name`` up in this machine's store. Raises OfTheFleet where it does not judge."""
        self.store().check_that_it_answers()  # or why it does not is looked for on that disk
        if self._fleet is None:
            return self._look_up_here(name)
        known = self._fleet.look_up_here(name, self._look_up_here)
        if known is None:
            raise OfTheFleet
        return known

    def look_up_user(self, name: str, place: str) -> Known:
        """Look up whom this machine's store does not judge: a helper waits for the answer."""
        assert self._fleet is not None
        return self._fleet.look_up(name, place)

    def fleet_to_ask(self) -> KeptFleet | None:
        """Return the fleet whose database judges this login; None: this machine does."""
        return self._kept_fleet if self._fleet is not None and self._fleet.is_asked else None

    def hand_over(self, has_waited: float) -> None:
        """Let the patience for the database begin: see Fleet.hand_over()."""
        assert self._fleet is not None
        self._fleet.hand_over(has_waited)

    def give_up_on_fleet(self) -> None:
        """Have this host answer alone: see Fleet.give_up()."""
        assert self._fleet is not None
        self._fleet.give_up()

    def store(self) -> KeptStore:
        return self._shared.kept.store(self._settings)

    def _ask_here(self, question: Callable[[Store], Result]) -> Result:
        return self._shared.kept.ask(self._settings, question)
