"""Several critical sections in one transaction: see questions.LoginStore.batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import reserve

if TYPE_CHECKING:
    from .database import Database


class Batch:
    """The transaction that the critical sections of one connection join while ``is_open``.

    It is rolled back as soon as one of them fails. SQLite may have done so itself by then, on a
    full disk, and would make each later statement a transaction of its own.
    """

    def __init__(self, database: Database) -> None:
        self.is_open = False
        self._database = database
        self._failure: BaseException | None = None
        self._key_page_is_touched = False
        self._has_enrolled = False

    def __enter__(self) -> None:
        self._database.begin("IMMEDIATE")
        self._failure = None
        self._key_page_is_touched = self._has_enrolled = False
        self.is_open = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.is_open = False
        failure, self._failure = self._failure, None
        if kind is not None:
            self._database.roll_back()
        elif failure is not None:
            raise failure
        else:
            self._database.commit()
            if self._has_enrolled:
                reserve.keep(self._database)

    def join(self) -> None:
        """Begin a section. Raises what an earlier one failed with: nothing of it is kept."""
        if self._failure is not None:
            raise self._failure

    def leave(self, *, has_enrolled: bool) -> None:
        """End a section that went well."""
        self._has_enrolled = self._has_enrolled or has_enrolled

    def fail(self, error: BaseException) -> None:
        """Undo all of it, and refuse what may still come."""
        self._failure = error
        self._database.roll_back()

    def touch_key_page(self) -> None:
        """See Database.touch_key_page: once is enough for a commit."""
        if not self._key_page_is_touched:
            self._database.touch_key_page()
            self._key_page_is_touched = True
