"""A fleet's store that its host may stand in for, for some hours, while it cannot be reached.

The host then answers by its kit (kit.py). Only errors.StoreUnreachable leads there: a refusal, a
wrong certificate or a missing standby denies. What was judged by the kit is reported first of all
when the database is back: until it has taken that, it is asked nothing else for this host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ...core import verifier
from ...system.errors import StoreMissing, StoreRefused, StoreUnreachable, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from contextlib import AbstractContextManager
    from typing import Any, Protocol

    from ...core.enrollment import Enrollment
    from ...core.own_changes import OwnChange
    from ...core.users import UserRecord
    from ...core.verifier import Verdict
    from ..questions import Known, LoginAttempt, LoginStore
    from .codes_ahead import Fetched
    from .kept_kit import KeptKit
    from .kit import Kit

    class FleetStore(LoginStore, Protocol):
        """The database, as a host asks it: HostStore."""

        def codes_ahead(self, names: Collection[str]) -> Fetched:
            """Fetch the codes of the next hours of those of ``names`` whom this host may know."""

        def report(self, entries: list[dict[str, Any]]) -> int:
            """Report what was judged here; return the number of the last entry that is known.

            All of it is durable then. One that was reported before changes nothing.
            """

        def close(self) -> None: ...


Result = TypeVar("Result")

ENTRIES_AT_ONCE = 256  # in one report
USERS_AT_ONCE = 32  # whose codes are fetched by one question


class OfflineStore:
    """See LoginStore. ``fleet`` is asked first, always; it is closed with this one, ``kit`` is not.

    Where no answers may come from the kit, what it has to report is reported all the same.
    ``trouble``: why ``fleet`` is not even asked.
    """

    def __init__(
        self, fleet: FleetStore, kit: KeptKit, *, trouble: StoreUnreachable | None = None
    ) -> None:
        self._fleet = fleet
        self._kit = kit
        self._trouble = trouble

    # LoginStore

    def admission(self, name: str, place: str = "") -> Known:
        return self._ask(
            lambda: self._fleet.admission(name, place), lambda kit: kit.admission(name, place)
        )

    def verify(self, attempt: LoginAttempt) -> Verdict | None:
        """Only codes are judged by the kit. Recovery codes are the database's: none is in a kit.

        What the kit judges is not remembered: nobody could make it forget.
        """

        def by_kit(kit: Kit) -> Verdict:
            return kit.judge(attempt)

        is_code = attempt.answer.kind == verifier.CODE
        try:
            verdict = self._ask(lambda: self._fleet.verify(attempt), by_kit if is_code else None)
        except StoreUnreachable as error:
            if is_code:
                raise
            problem = f"{error.problem}; recovery codes are checked there alone"
            raise StoreUnreachable(error.subject, problem, error.hint) from None
        if verdict and verdict.outcome == verifier.ACCEPTED and not verdict.is_offline:
            self._kit.note_accepted(attempt.name)
        return verdict

    def enroll_first(self, name: str, enrollment: Enrollment, before: UserRecord | None) -> bool:
        return self._ask(lambda: self._fleet.enroll_first(name, enrollment, before), None)

    def change_own(self, name: str, change: OwnChange, before: UserRecord) -> bool:
        return self._ask(lambda: self._fleet.change_own(name, change, before), None)

    def have_told(self, name: str, count: int) -> None:
        self._ask(
            lambda: self._fleet.have_told(name, count), lambda kit: kit.have_told(name, count)
        )

    def confirm_absence(self) -> None:
        self._ask(self._fleet.confirm_absence, None)

    def batch(self) -> AbstractContextManager[None]:
        return self._fleet.batch()

    def checkpoint(self) -> None:
        """Refresh the kit, where that is due. It asks the network, so in a thread of its own."""
        try:
            self.refresh()
        except (Unavailable, OSError):  # it is tried again; doctor says what lasts
            pass

    def close(self) -> None:
        self._fleet.close()

    def __enter__(self) -> OfflineStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The kit

    def refresh(self, names: Iterable[str] = (), *, at_once: bool = False) -> None:
        """Fetch the codes of the next hours where less than half of them are left.

        Of the users who are kept, of ``names``, and of those who were accepted here since. It is
        bounded by kept_kit.USERS_AT_MOST, and by the patience of each question. After one that
        failed, or fetched nothing, it waits for a minute, unless ``at_once``. Raises Unavailable.
        """
        for name in names:
            self._kit.note_accepted(name)
        if not (self._kit.begin_refresh() or at_once):
            return
        while entries := self._entries():
            self._report(entries)
        if not self._kit.may_answer:
            self._discard()
            return
        due = self._kit.due()
        for at in range(0, len(due), USERS_AT_ONCE):
            if not self._fetch(due[at : at + USERS_AT_ONCE]):
                return
        self._kit.end_refresh(due)

    def _discard(self) -> None:
        """Keep no codes where none may be used: what was kept before goes."""
        try:
            self._kit.ask(lambda kit: kit.clear())
        except StoreMissing:
            pass

    def _fetch(self, names: list[str]) -> bool:
        """Fetch the codes of ``names``; False if there was nothing to keep, or no use in it."""
        try:
            last_entry = self._kit.ask(lambda kit: kit.last_entry)
        except StoreMissing:
            last_entry = 0
        fetched = self._fleet.codes_ahead(names)
        return self._kit.put(names, fetched, last_entry) and fetched.hours > 0

    def _ask(
        self, question: Callable[[], Result], by_kit: Callable[[Kit], Result] | None
    ) -> Result:
        """Return what the database says, or, while it cannot be reached, what the kit does.

        ``by_kit`` None: no kit knows that.
        """
        try:
            if self._trouble is not None:
                raise self._trouble
            while entries := self._entries_if_it_works():
                self._report(entries)
            answer = question()
        except StoreUnreachable as error:
            if by_kit is None or not self._kit.may_answer:
                raise
            unreachable = error
        else:
            self._kit.note_reached()
            return answer
        try:
            answer = self._kit.ask(by_kit)
        except StoreMissing:
            raise unreachable from None
        self._kit.note_unreachable()
        return answer

    def _report(self, entries: list[dict[str, Any]]) -> None:
        """Report what was judged here. Raises StoreUnreachable or StoreRefused."""
        last_merged = self._fleet.report(entries)
        if last_merged < entries[-1]["number"]:
            raise StoreRefused(
                self._kit.path,
                "holds logins from an outage that the database did not take",
                "look at the log of the database",
            )
        self._kit.ask(lambda kit: kit.forget(last_merged))

    def _entries(self) -> list[dict[str, Any]]:
        """Return the first of what has to be reported. Raises Unavailable."""
        try:
            return self._kit.ask(lambda kit: kit.entries(ENTRIES_AT_ONCE))
        except StoreMissing:
            return []

    def _entries_if_it_works(self) -> list[dict[str, Any]]:
        """Like that; [] where the kit cannot be used. Why, says the next refresh.

        A damaged file must not keep everybody out while the database answers. What is lost with it
        are reports; the codes that they were about end by themselves, within the window.
        """
        try:
            return self._entries()
        except Unavailable:
            return []
