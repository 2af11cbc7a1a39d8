"""libpq beside an environment that is somebody else's: sudo's is its caller's.

libpq takes whatever it was not told from PGHOST, PGOPTIONS, PGSERVICE and 30 more, and there is no
way to tell it about a service or a time zone that there is none. So none of them is there while it
connects. Nor is LANGUAGE: where sudo has set a locale, messages would come in its caller's
language, and some are told apart by their words.
"""

from __future__ import annotations

import _locale
import os
import threading
from typing import TYPE_CHECKING

from ...system.errors import StoreRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

_PREFIXES = ("PG", "PSYCOPG_")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class _OwnEnvironment:
    """A context manager, for several threads at once: the last one restores what was taken away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                # Usually nothing: in a service of several threads nobody should change it.
                changes = _changes()
                self._before = {name: os.environ.get(name) for name in changes}
                _set(changes)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                _set(self._before)


def _changes() -> dict[str, str | None]:
    changes: dict[str, str | None] = dict.fromkeys(
        name for name in os.environ if name.startswith(_PREFIXES)
    )
    if _locale.setlocale(_locale.LC_MESSAGES) not in ("C", "POSIX"):
        changes["LANGUAGE"] = "C"
    return changes


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


OWN_ENVIRONMENT = _OwnEnvironment()


def load_pq() -> ModuleType:
    """Return psycopg.pq, the module that has libpq's functions. Raises StoreRefused.

    The first time takes 0.1 s. psycopg has ctypes look for libpq, by ldconfig or else by whatever
    is a compiler in PATH.
    """
    with OWN_ENVIRONMENT:
        path = os.environ.get("PATH")
        _set({"PATH": _PATH})
        try:
            from psycopg import pq
        except ImportError as error:
            hint = "run: apt install python3-psycopg"
            raise StoreRefused("psycopg", f"cannot be loaded: {error}", hint) from None
        finally:
            _set({"PATH": path})
    return pq
