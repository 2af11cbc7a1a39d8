"""Configurations, keys and stores that the service keeps between logins; how long it trusts them.

All of it is kept with the marks (system/marks.py) of the files that it came from, which are looked
at once for each round of the loop, after the packets of that round have been read. So whoever sends
a packet after a change is answered after that change. A mark that has changed drops what depends
on it: then it is checked, read and opened again, with all the rules of trusted files.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from ..store import open_store, sealing
from ..system import config, languages
from ..system.config_values import split_store_url
from ..system.errors import PamTotpError, StoreBusy, StoreUnavailable, Unavailable
from ..system.marks import Marks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..store import Store
    from ..store.sealing import Sealer
    from ..system.config import Arguments, Config, Loaded
    from .kept_fleet import KeptFleet

LINGER_SECONDS = 60.0  # without a login; then a store is closed
# After the last write of a store: then a log that has grown is merged, before a login has to wait
# for that; and then it is made void.
MERGE_SECONDS = 0.1
SETTLE_SECONDS = 1.0
SETTLE_AT_LATEST = 10.0  # after the first write, however many follow
MAX_LINES = 64  # PAM lines of different arguments

Result = TypeVar("Result")


# What was done since the last write, and after how many seconds there is more to do.
_WRITTEN, _MERGED, _SETTLED = range(3)
_NEXT = (MERGE_SECONDS, SETTLE_SECONDS, LINGER_SECONDS)


class InUse(StoreUnavailable):
    """Another thread is in that store, or file, and has not come back."""


class _Kept:
    """Something that one thread at a time may use; it knows in which round it was looked at."""

    __slots__ = ("_in_use", "_marks", "_round", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._in_use = False
        self._marks: Marks | None = None
        self._round = 0

    @property
    def in_use(self) -> bool:
        return self._in_use

    def check_that_it_answers(self) -> None:
        """Raise InUse where another thread is in it."""
        if self._in_use:
            raise in_use(self.path)

    @contextmanager
    def in_use_here(self) -> Iterator[None]:
        """Raise InUse where another thread is in it, and for whoever comes meanwhile.

        On a disk that hangs, one thread is enough. Nothing is called between the two lines, so that
        no other thread comes between them.
        """
        if self._in_use:
            raise in_use(self.path)
        self._in_use = True
        try:
            yield
        finally:
            self._in_use = False

    def _hold(self, number: int) -> bool:
        """Tell whether the marks hold, in round ``number``."""
        if self._marks is None:
            return False
        if self._round == number:
            return True
        if not self._marks.hold():
            self._marks = None
            return False
        self._round = number
        return True


class KeptConfiguration(_Kept):
    """What one PAM line leads to."""

    __slots__ = ("_arguments", "_loaded", "seen_at")

    def __init__(self, arguments: Arguments) -> None:
        super().__init__(arguments.path)
        self._arguments = arguments
        self._loaded: Loaded | None = None
        self.seen_at = 0.0  # when the sandbox was asked for its files; 0.0: since they were read

    def read(self, number: int) -> Loaded:
        """Return it as it stands in round ``number``. Raises Unavailable."""
        with self.in_use_here():
            if self._loaded is not None and self._hold(number):
                return self._loaded
            self._loaded, self.seen_at = None, 0.0
            before = Marks(contents=(self.path,))
            loaded = config.load(self.path, self._arguments.settings)
            after = Marks(contents=(self.path,))
            if before == after and after.are_settled():
                self._loaded, self._marks, self._round = loaded, after, number
            return loaded


class KeptLocale(_Kept):
    """The languages that the locale of this host asks for."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        super().__init__(languages.LOCALE_FILES[0])
        self._found: tuple[tuple[str, ...], PamTotpError | None] = ((), None)

    def read(self, number: int) -> tuple[tuple[str, ...], PamTotpError | None]:
        """Return them as of round ``number``: see languages.asked_for()."""
        with self.in_use_here():
            if self._hold(number):
                return self._found
            before = self._mark_files()
            self._found = languages.asked_for("")
            after = self._mark_files()
            if before == after and after.are_settled():
                self._marks, self._round = after, number
            return self._found

    def _mark_files(self) -> Marks:
        """Mark them, and what they lead to: on Debian one of them is a link to the other."""
        files = languages.LOCALE_FILES
        return Marks(contents=dict.fromkeys((*files, *map(os.path.realpath, files))))


class KeptStore(_Kept):
    """A store with its key, on one connection."""

    __slots__ = (
        "_are_marks_old",
        "_content",
        "_key_path",
        "_sealer",
        "_settles_at",
        "_state",
        "_store",
        "_url",
        "_used_at",
    )

    def __init__(self, settings: Config) -> None:
        super().__init__(split_store_url(settings.store)[1])
        self._url = settings.store
        self._key_path = settings.sealing_key
        self._store: Store | None = None
        self._sealer: Sealer | None = None
        self._are_marks_old = False  # so that the next change of what they mark will show
        self._used_at = 0.0
        self._state = _SETTLED
        self._settles_at = 0.0  # at the latest
        self._content: tuple[int, int] | None = None  # as it was left: see _content_of()

    @property
    def is_open(self) -> bool:
        return self._store is not None

    def ask(
        self, question: Callable[[Store], Result], number: int, *, writes: bool = False
    ) -> Result:
        """Return the answer of the store that lies there in round ``number``."""
        with self.in_use_here():
            try:
                answer = question(self._current(number))
                if writes:
                    self._note_write()
                return answer
            except StoreBusy:
                raise
            except BaseException:  # nobody knows what the connection is good for
                self._close()
                raise
            finally:
                self._used_at = time.monotonic()

    def is_current(self, number: int) -> bool:
        """Tell whether it is open, and what lies there in round ``number``."""
        if self._store is None or self._in_use:
            return False
        with self.in_use_here():
            return self._is_believed(number)

    def close(self) -> None:
        """Close it; the log is merged. Nothing is kept of it."""
        with self.in_use_here():
            self._close()

    def tidy(self, now: float) -> None:
        """Do what is due at ``now``, a time of time.monotonic()."""
        idle = now - self._used_at
        with self.in_use_here():
            try:
                if idle >= LINGER_SECONDS:
                    self._close()
                elif idle >= SETTLE_SECONDS or now >= self._settles_at:
                    self._state = _SETTLED
                    self._settle()
                elif self._store is not None:
                    self._state = _MERGED
                    self._store.checkpoint()
                    self._content = _content_of(self.path)
            except (Unavailable, OSError):  # whoever comes next hears of it
                self._close()

    def _settle(self) -> None:
        """Close it, so that its log is merged and void, and open it for whoever comes next.

        Restored or moved to its place, another store finds no log that is not its own. What the
        next login reads, and how, is at hand then.
        """
        self._close()
        store = self._open()
        store.admission("")
        with store.batch():
            pass

    @property
    def next_tidying(self) -> float | None:
        """When tidy() has something to do; None: not until it was used once more."""
        if self._store is None or self._in_use:
            return None
        next_one = self._used_at + _NEXT[self._state]
        return next_one if self._state == _SETTLED else min(next_one, self._settles_at)

    def _note_write(self) -> None:
        if self._state == _SETTLED:
            self._settles_at = time.monotonic() + SETTLE_AT_LATEST
        self._state = _WRITTEN
        self._content = _content_of(self.path)

    def _current(self, number: int) -> Store:
        if self._store is None:
            return self._open(number)
        if self._is_believed(number):
            return self._store
        return self._look(number, self._same_or_new)

    def _is_believed(self, number: int) -> bool:
        """Tell whether it was looked at in round ``number``, or all is as it was left.

        What is written over the file by others is not in what SQLite has read of it.
        """
        return self._round == number or (
            self._are_marks_old and self._content == _content_of(self.path) and self._hold(number)
        )

    def _open(self, number: int = 0) -> Store:
        return self._look(number, self._new)

    def _look(self, number: int, find: Callable[[Sealer], Store]) -> Store:
        """Return what ``find`` finds with the key as it is now, and mark all that this rests on."""
        before = self._mark_what_is_read()
        try:
            self._store = store = find(sealing.read_sealer(self._key_path))
            self._marks = Marks(  # only now are its log and its index there
                contents=(self._key_path,),
                entries=(os.path.dirname(self.path),),
                opened=(self.path, f"{self.path}-shm"),
                seldom=(f"{self.path}-wal",),
            )
            after = self._mark_what_is_read()  # what has changed before those marks is in both
        except BaseException:
            self._close()
            raise
        self._content = _content_of(self.path)
        self._are_marks_old = before == after and self._marks.are_settled()
        self._round = number
        return store

    def _mark_what_is_read(self) -> Marks:
        files = (self.path, f"{self.path}-shm", f"{self.path}-wal")
        return Marks(contents=(self._key_path,), opened=files)

    def _new(self, sealer: Sealer) -> Store:
        self._sealer = sealer
        return open_store(self._url, sealer, patience=0.0, any_thread=True)

    def _same_or_new(self, sealer: Sealer) -> Store:
        """Return the one that is open if, with all the rules, it still is what lies there."""
        store, known = self._store, self._sealer
        assert known is not None
        assert store is not None
        is_as_it_was_left = self._content == _content_of(self.path)
        if is_as_it_was_left and sealer.key_file() == known.key_file() and store.is_current():
            return store
        self._close()
        return self._new(sealer)

    def _close(self) -> None:
        store, self._store, self._marks = self._store, None, None
        if store is not None:
            store.close()


class Kept:
    """All of it. One thread leads, and alone adds to it or takes away: see loop.py."""

    def __init__(self) -> None:
        self._round = 1
        self._configurations: dict[object, KeptConfiguration] = {}
        self._locale = KeptLocale()
        self._stores: dict[tuple[str, str], KeptStore] = {}
        self._fleets: dict[tuple[str, ...], KeptFleet] = {}

    def look_again(self) -> None:
        """Begin a round: what is asked from now on is looked at again, once."""
        self._round += 1

    def configuration(self, arguments: Arguments) -> KeptConfiguration:
        key = (arguments.path, arguments.settings)
        found = self._configurations.get(key)
        if found is None:
            if len(self._configurations) >= MAX_LINES:
                self._configurations.clear()
            found = self._configurations[key] = KeptConfiguration(arguments)
        return found

    def read(self, arguments: Arguments) -> Loaded:
        """Return the configuration that ``arguments`` lead to. Raises Unavailable."""
        return self.configuration(arguments).read(self._round)

    def languages(self, setting: str) -> tuple[tuple[str, ...], PamTotpError | None]:
        """Return what languages.asked_for() does, of ``setting``: the value of ``language``."""
        return languages.asked_for(setting) if setting else self._locale.read(self._round)

    def store(self, settings: Config) -> KeptStore:
        key = (settings.store, settings.sealing_key)
        found = self._stores.get(key)
        if found is None:
            found = self._stores[key] = KeptStore(settings)
        return found

    def fleet(self, settings: Config) -> KeptFleet:
        """Return the fleet whose database is the store of ``settings``."""
        kit = (settings.local_store, settings.sealing_key, settings.offline)
        key = (settings.store, settings.fleet_host, *kit)
        found = self._fleets.get(key)
        if found is None:
            from .kept_fleet import KeptFleet  # with the client of PostgreSQL

            found = self._fleets[key] = KeptFleet(settings)
        return found

    def ask(self, settings: Config, question: Callable[[Store], Result]) -> Result:
        """Return what the store of ``settings`` answers. Raises Unavailable."""
        return self.store(settings).ask(question, self._round)

    def asking(self, store: KeptStore) -> Callable[[Callable[[Store], object]], object]:
        """Return what asks ``store`` something that changes it, in this round."""
        number = self._round

        def ask(question: Callable[[Store], object]) -> object:
            return store.ask(question, number, writes=True)

        return ask

    def is_current(self, settings: Config) -> bool:
        """Tell whether the store of ``settings`` is open, and still the one that lies there."""
        return self.store(settings).is_current(self._round)

    def open_stores(self) -> tuple[str, ...]:
        """Return the paths of the stores that are open, and the URLs of databases."""
        paths = tuple(store.path for store in list(self._stores.values()) if store.is_open)
        urls = tuple(fleet.url for fleet in list(self._fleets.values()) if fleet.is_open)
        return paths + urls

    def next_quiet_work(self) -> float | None:
        """Return when tidy() has something to do; None: never, until somebody logs in."""
        times = [store.next_tidying for store in list(self._stores.values())]
        times += [fleet.next_tidying for fleet in list(self._fleets.values())]
        return min((time for time in times if time is not None), default=None)

    def tidy(self, now: float) -> None:
        """Do the first thing that is due: merge a log, or close what nobody uses.

        No more than one: if its disk hangs, another thread leads when this one comes back.
        """
        for key, store in list(self._stores.items()):
            if not store.is_open and not store.in_use:  # another thread may be in it
                del self._stores[key]
        for fleet in list(self._fleets.values()):
            due = fleet.next_tidying
            if due is not None and due <= now:
                fleet.tidy(now)
        for store in self._stores.values():
            due = store.next_tidying
            if due is not None and due <= now:
                store.tidy(now)
                return

    def close(self) -> None:
        for store in list(self._stores.values()):
            if not store.in_use:
                store.close()
        for fleet in self._fleets.values():
            fleet.close()
        self._stores.clear()
        self._fleets.clear()


def _content_of(path: str) -> tuple[int, int] | None:
    """Return the size of a file and when its content was changed, in ns; None: it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def in_use(path: str) -> InUse:
    return InUse(path, "does not answer", "look at the disk: dmesg; df")
