"""One login where the store is the database of a fleet: who is asked, and for how long.

Local first: a name that ``local_store`` holds is judged there and nowhere else, so that the
database need not answer for whoever has to repair it. Where that file is missing, nobody is local.
Where it is of no use, nobody knows who is, and the database is asked; but then nobody gets in
without a code, for the local store may hold somebody whom it suspends.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..store.postgresql.client import Client
from ..store.postgresql.host_store import HostStore
from ..store.postgresql.kept_kit import KeptKit
from ..store.postgresql.offline import OfflineStore
from ..system import fleet_file
from ..system.errors import (
    StoreBusy,
    StoreMissing,
    StoreRefused,
    StoreUnavailable,
    StoreUnreachable,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from ..store import Known, LoginStore
    from ..system.config import Config
    from ..system.fleet_file import Identity

    # Lends what one question takes.
    Lend = Callable[[], AbstractContextManager["Lent"]]

PATIENCE = 20.0  # seconds of a login, for all that it asks; less than pam_totp.so waits

Result = TypeVar("Result")


class Lent(NamedTuple):
    """The way to the database, and what this host keeps for when there is none."""

    client: Client
    kit: KeptKit


class Fleet:
    """What one login asks of the fleet. ``is_asked``: its name is not local."""

    __slots__ = ("_has_waited", "_lend", "_problem", "_since", "_spent", "_url", "is_asked")

    def __init__(self, url: str, lend: Lend) -> None:
        self._url = url
        self._lend = lend
        self._problem = ""  # of the local store
        self._since = 0.0  # when the question was handed to others; 0.0: it was not
        self._spent = 0.0
        self._has_waited = 0.0
        self.is_asked = False

    def look_up_here(self, name: str, look_up: Callable[[str], Known]) -> Known | None:
        """Return what the local store knows of ``name``; None: the fleet has to be asked."""
        try:
            known = look_up(name)
            if known.record is not None:
                return known
        except StoreBusy:
            raise
        except StoreMissing:
            pass
        except Unavailable as error:
            self._problem = str(error)
        except OSError as error:
            self._problem = f"local_store: {error.strerror or type(error).__name__}"
        self.is_asked = True
        return None

    def look_up(self, name: str, place: str) -> Known:
        known = self.ask(lambda store: store.admission(name, place))
        return known._replace(problem=self._problem)

    def hand_over(self, has_waited: float) -> None:
        """Begin to count: the next question waits for somebody who asks it.

        ``has_waited``: seconds that this login has waited for other stores.
        """
        self._since = time.monotonic()
        self._has_waited = has_waited

    def give_up(self) -> None:
        """Wait for the database no longer: what is asked from now on, this host alone answers."""
        self._spent = PATIENCE

    def refresh(self) -> None:
        """Fetch codes for an outage where that is due: once this login is over.

        Raises Unavailable.
        """
        with self._lend() as lent:
            if lent.kit.next_refresh is not None:
                OfflineStore(HostStore(lent.client), lent.kit).refresh()

    def ask(self, question: Callable[[LoginStore], Result]) -> Result:
        """Return what the database answers, in what is left of the patience.

        Or this host in its place, where it cannot be reached: see OfflineStore.
        """
        now = time.monotonic()
        since, self._since = self._since or now, 0.0
        left = PATIENCE - self._has_waited - self._spent - (now - since)
        try:
            with self._lend() as lent:
                trouble = too_slow(self._url) if left <= 0.0 else None
                if trouble and lent.client.has_answered_lately():
                    # A crowd in front of a database that answers must not take a host offline.
                    raise StoreUnavailable(*trouble.args)
                host = HostStore(lent.client, lent.kit.patience(max(left, 0.0)))
                return question(OfflineStore(host, lent.kit, trouble=trouble))
        except StoreBusy as error:  # for as long as it was asked: nobody is to ask once more
            raise StoreUnavailable(error.subject, error.problem, error.hint) from error
        finally:
            self._spent += time.monotonic() - since


def too_slow(url: str) -> StoreUnreachable:
    return StoreUnreachable(
        url,
        "the database answers too slowly: as many logins as may wait for it",
        "look at the network, and at the servers in store of pam_totp.conf",
    )


def identity(settings: Config) -> Identity:
    """Return who this host is. Raises Unavailable."""
    path = settings.fleet_host
    try:
        found = fleet_file.read(path)
    except FileNotFoundError:
        problem = "is not there: this host has not joined the fleet"
        raise StoreRefused(path, problem, fleet_file.HINT) from None
    if not (found.host and found.key and found.user):
        raise StoreRefused(path, "lacks host, key or user", fleet_file.HINT)
    return found


class OwnWay:
    """The way to the database of a login in a process of its own.

    Questions that follow one another share a connection: to connect takes 50 times as long as to
    ask. Whoever waits for a person closes it before: logins at a prompt, as many as anybody likes
    to begin, must not take up the sessions of the database.
    """

    def __init__(self, settings: Config) -> None:
        self._settings = settings
        self._kit = KeptKit.of(settings)  # remembers who was accepted
        self._client: Client | None = None

    @contextmanager
    def lend(self) -> Iterator[Lent]:
        if self._client is None:
            self._client = Client(self._settings.store, identity(self._settings))
        try:
            yield Lent(self._client, self._kit)
        finally:
            self._kit.close()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
