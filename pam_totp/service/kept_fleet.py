"""KeptFleet: the connections to one fleet's database, and the threads that wait for its answers.

The thread that leads the loop never asks the network. What a database is asked goes to helpers of
its own, as many as it has connections: while it does not answer, only its own logins wait, or are
denied. Nothing of it outlives a change of what says who this host is, and who the database.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..login import fleet
from ..login.fleet import Lent
from ..store.postgresql.client import MAX_CONNECTIONS, Client
from ..store.postgresql.host_store import HostStore
from ..store.postgresql.kept_kit import KeptKit
from ..store.postgresql.offline import OfflineStore
from ..system import trusted_files
from ..system.errors import Unavailable
from ..system.marks import Marks
from . import worker
from .helpers import Helpers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..system.config import Config
    from ..system.errors import StoreUnreachable
    from ..system.fleet_file import Identity

LINGER_SECONDS = 60.0  # without a question; then the connections are closed
STUCK_SECONDS = 5.0  # that all of its helpers wait for it; then nobody else does
MAX_FILE_BYTES = 1024 * 1024  # of a CA, a certificate or its key


class KeptFleet:
    """What the service keeps of one database; any thread may use it."""

    def __init__(self, settings: Config) -> None:
        self.url = settings.store
        self._settings = settings
        self.helpers = Helpers("fleet", MAX_CONNECTIONS)
        self.kit = KeptKit.of(settings)
        self._lock = threading.Lock()  # of what follows
        self._client: Client | None = None
        self._proof: tuple[Identity, tuple[bytes, ...]] | None = None  # what the client rests on
        self._marks: Marks | None = None
        self._used_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._client is not None

    def is_stuck(self) -> bool:
        """Tell whether nobody is left who would ask."""
        return self.helpers.are_stuck(STUCK_SECONDS)

    def too_slow(self) -> StoreUnreachable:
        """Return why nobody more may wait."""
        return fleet.too_slow(self.url)

    @contextmanager
    def lend(self) -> Iterator[Lent]:
        """Lend the client, and the kit.

        A client that has had its day is closed once its questions are answered.
        """
        self._used_at = time.monotonic()
        with self._lock:
            client = self._current()
        try:
            yield Lent(client, self.kit)
        finally:
            self._used_at = time.monotonic()

    @property
    def next_tidying(self) -> float | None:
        """When the connections have been idle for long enough, or the kit is to be renewed."""
        times = (self._used_at + LINGER_SECONDS if self.is_open else None, self.kit.next_refresh)
        return min((time for time in times if time is not None), default=None)

    def tidy(self, now: float) -> None:
        """Close the connections if they are idle at ``now``; later, if a helper is in the way.

        A kit that is to be renewed is left to a helper.
        """
        renewal = self.kit.next_refresh
        if renewal is not None and renewal <= now and self.kit.begin_refresh():
            self.helpers.do(self._renew_kit)
        if now - self._used_at >= LINGER_SECONDS and not self.close():
            self._used_at = now

    def close(self) -> bool:
        """Close the connections; False: a helper reads what they rest on, and may be held up."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._close()
            return True
        finally:
            self._lock.release()

    def _renew_kit(self) -> None:
        try:
            with self.lend() as lent:
                OfflineStore(HostStore(lent.client), lent.kit).refresh(at_once=True)
        except (Unavailable, OSError) as error:
            worker.log_not_renewed(error)

    def _current(self) -> Client:
        if self._client is not None and self._marks is not None and self._marks.hold():
            return self._client
        self._marks, path = None, self._settings.fleet_host
        try:
            before = Marks(contents=(path,))
            identity = fleet.identity(self._settings)
            files = (path, *_files_of(identity))
            marks = Marks(contents=files)
            proof = identity, _contents_of(identity)
        except BaseException:
            self._close()
            raise
        if self._client is None or proof != self._proof:
            self._close()
            self._client, self._proof = Client(self.url, identity), proof
        is_as_read = before == Marks(contents=(path,)) and marks == Marks(contents=files)
        if is_as_read and marks.are_settled():
            self._marks = marks
        return self._client

    def _close(self) -> None:
        client, self._client, self._proof = self._client, None, None
        if client is not None:
            client.close()
            self.kit.close()


def _files_of(identity: Identity) -> list[str]:
    named = (identity.ca, identity.certificate, identity.private_key)
    return [path for path in named if path]


def _contents_of(identity: Identity) -> tuple[bytes, ...]:
    """Return what the files hold that ``identity`` names; b"" for one that is not there.

    The client says what is wrong with them, where it needs them.
    """
    contents = []
    for path in _files_of(identity):
        try:
            contents.append(trusted_files.read_trusted(path, MAX_FILE_BYTES))
        except FileNotFoundError:
            contents.append(b"")
    return tuple(contents)
