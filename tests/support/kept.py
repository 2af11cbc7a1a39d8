"""A store over what a service keeps between logins (pam_totp/service/kept.py).

Each question begins a round of its own, as if it were the only one of a login that just came. Where
others write, it is asked again, as the loop does. Whoever opens while the kept one is lent has a
connection of their own, as another process has.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from pam_totp.service.kept import Kept
from pam_totp.store.sqlite import database
from pam_totp.system.config import Config
from pam_totp.system.errors import StoreBusy, StoreUnavailable
from tests.support.place import Place

if TYPE_CHECKING:
    from pam_totp.store import Store

LASTING = ("batch", "transaction", "joint_transaction", "decoy_transaction")  # used, and left


class Keeper:
    """Lends the store of a place that is kept. Not to two at once."""

    def __init__(self) -> None:
        self.kept = Kept()
        self._lent: set[str] = set()
        self._lock = threading.Lock()  # tests have threads, as other processes
        self._open_alone = Place.open

    def open(
        self, place: Place, *, administers: bool = True, patience: float | None = None
    ) -> Store:
        """Stand in for Place.open()."""
        path = str(place.store_path)
        with self._lock:
            is_lent = path in self._lent
            self._lent.add(path)
        if is_lent:
            return self._open_alone(place, administers=administers, patience=patience)
        lent: Any = LentStore(self, settings_of(place), patience)
        try:
            lent.ask(lambda _: None)
        except BaseException:
            self.take_back(path)
            raise
        store: Store = lent
        return store

    def take_back(self, path: str) -> None:
        self._lent.discard(path)

    def close(self) -> None:
        self.kept.close()


class LentStore:
    """See store.Store."""

    def __init__(self, keeper: Keeper, settings: Config, patience: float | None) -> None:
        self._keeper = keeper
        self._settings = settings
        self._patience = database.BUSY_TIMEOUT if patience is None else patience
        self._inside: Store | None = None
        self._is_closed = False

    def ask(self, question: Callable[[Store], Any]) -> Any:
        if self._is_closed:
            raise StoreUnavailable(self._settings.store, "was left")
        if self._inside is not None:
            return question(self._inside)
        end = time.monotonic() + self._patience
        while True:
            self._keeper.kept.look_again()
            try:
                return self._keeper.kept.ask(self._settings, question)
            except StoreBusy:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.002)

    @contextmanager
    def _last(self, begin: Callable[[Store], AbstractContextManager[Any]]) -> Iterator[Any]:
        def enter(store: Store) -> tuple[Store, AbstractContextManager[Any], Any]:
            opened = begin(store)
            return store, opened, opened.__enter__()

        before = self._inside
        self._inside, opened, entered = self.ask(enter)
        try:
            yield entered
        except BaseException as error:
            self._leave(before, opened, error)
            raise
        self._leave(before, opened, None)

    def _leave(
        self,
        before: Store | None,
        opened: AbstractContextManager[Any],
        error: BaseException | None,
    ) -> None:
        """Leave it in a question, so that what fails there is dropped as after any other."""
        self._inside = before

        def leave(_: Store) -> None:
            opened.__exit__(None if error is None else type(error), error, None)
            if error is not None:
                raise error

        if before is None:
            self._keeper.kept.ask(self._settings, leave)
        else:
            leave(before)

    def __getattr__(self, name: str) -> Any:
        if name in LASTING:
            return lambda *arguments, **options: self._last(
                lambda store: getattr(store, name)(*arguments, **options)
            )
        if name == "records":
            return lambda: iter(self.ask(lambda store: list(store.records())))
        if callable(getattr(self.ask(lambda store: store), name)):
            return functools.partial(self._call, name)
        return self.ask(lambda store: getattr(store, name))

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        return self.ask(lambda store: getattr(store, name)(*arguments, **options))

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._keeper.take_back(self._settings.store)

    def __enter__(self) -> LentStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def settings_of(place: Place) -> Config:
    return Config(store=str(place.store_path), sealing_key=str(place.key_path))
