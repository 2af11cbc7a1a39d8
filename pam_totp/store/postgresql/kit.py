"""The kit: what a host answers by while the database of the fleet cannot be reached.

It is a store in a SQLite file, with everything that one has: checked, sealed, durable, with room
for logins on a full disk. Only, the secret of an authenticator is a run of its codes for the next
hours (codes_ahead.py), and answers are judged by these. Beside that, the file holds until when
each user's codes are good, and what was judged and not yet reported. No secret is ever in it.

Time never goes back here: the highest one that was seen counts, so that a clock that is set back
makes no code good again, and no kit last longer.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core import verifier
from ...system.errors import StoreUnavailable
from ..questions import Known
from ..sqlite.opening import open_database
from ..sqlite.questions import affordable
from ..sqlite.reading import read, storable
from ..sqlite.sealed import SealedDatabase
from ..sqlite.transactions import DecoyTransaction, Transaction
from . import codes_ahead

if TYPE_CHECKING:
    from ...core.users import UserRecord
    from ...core.verifier import Verdict
    from ...system.audit import Source
    from ..questions import LoginAttempt
    from ..sealing import Sealer
    from .codes_ahead import Fetched

MAX_ENTRIES = 2048  # not yet reported; they have their blocks from the beginning
MAX_ENTRIES_OF_A_USER = 256
_ENTRY_BYTES = 256  # as much as most take; a longer one takes a page of the reserve
_SERVICE_LENGTH, _RHOST_LENGTH = 32, 64
_CLOCK_SECONDS = 60  # that a clock may be behind the highest time seen, and nobody is told

_TABLES = (
    """
    CREATE TABLE kit (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        highest_time INTEGER NOT NULL,
        last_entry INTEGER NOT NULL,
        last_merged INTEGER NOT NULL,
        policy TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE kept (
        user TEXT PRIMARY KEY,
        fetched_at INTEGER NOT NULL,
        ends_at INTEGER NOT NULL,
        entries INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE entries (
        slot INTEGER PRIMARY KEY,
        number INTEGER NOT NULL,
        content TEXT NOT NULL
    ) STRICT
    """,
    "INSERT INTO kit VALUES (1, 0, 0, 0, '')",
    f"""
    WITH RECURSIVE slots (slot) AS (
        SELECT 0 UNION ALL SELECT slot + 1 FROM slots WHERE slot < {MAX_ENTRIES - 1}
    )
    INSERT INTO entries SELECT slot, 0, printf('%{_ENTRY_BYTES}s', '') FROM slots
    """,
)


class _State(NamedTuple):
    highest_time: int
    last_entry: int
    last_merged: int
    policy: str


class Kit(SealedDatabase):
    """What is kept, and what a login is told by it."""

    @classmethod
    def open(
        cls, path: str, sealer: Sealer, *, patience: float | None = None, any_thread: bool = False
    ) -> Kit:
        """Open the kit at ``path``. Raises StoreMissing where there is none: see open_store()."""
        database = open_database(path, patience=patience, any_thread=any_thread)
        return cls.over(database, sealer)

    @classmethod
    def create(cls, path: str, sealer: Sealer) -> bool:
        """Create one that keeps nobody's codes; False if there is one already."""
        from ..sqlite.creation import create_database  # no login makes one

        return create_database(path, sealer, _TABLES)

    def is_in_place(self) -> bool:
        """Tell whether its path still leads to the file that is open."""
        try:
            status = os.lstat(self.database.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self.database.files[""]

    def close(self) -> None:
        self.database.close()

    # What a login asks

    def admission(self, name: str, place: str = "") -> Known:  # noqa: ARG002  # of all of them
        found = read(self, name, unseal=False)
        state = self._state()
        now = _now(state)
        policy = verifier.Policy(**json.loads(state.policy)) if state.policy else None
        record = found.record if self._keeps(name, now) else None
        return Known(record, (), found.decoy, now, is_offline=True, policy=policy)

    def judge(self, attempt: LoginAttempt) -> Verdict:
        """Judge a code; what it changes, and that it has to be reported, is durable on return.

        A user whose codes are not kept, or have ended, is judged as a decoy is. Recovery codes are
        not kept: a code that 80 bits protect would be a secret.
        """
        opened: Transaction | DecoyTransaction
        if attempt.is_decoy or not self._keeps(attempt.name, _now(self._state())):
            opened = DecoyTransaction(self, attempt.name)
        else:
            opened = Transaction(self, attempt.name, "IMMEDIATE", unseal=True)
        answer, policy, source = attempt.answer, attempt.policy, attempt.source
        with opened as transaction:
            record = transaction.record
            if record is None:  # fetched again meanwhile, and not given out any more
                return verifier.Verdict(verifier.REJECTED, is_offline=True)
            state = self._state()
            now = _now(state)
            verdict, changed = verifier.verify(
                record, answer, now, policy, codes_ahead.matching_steps, place=source.place
            )
            # The database would not hear of a code that something learned here alone let in.
            changed = changed.with_learned_of(record)
            if changed != record:
                if isinstance(transaction, Transaction):
                    state = self._note(state, record, changed, verdict, source, now)
                self._save_state(state._replace(highest_time=now))
                transaction.save(affordable(self.database, record, changed))
        is_behind = verdict.clock_is_behind or time.time() < now - _CLOCK_SECONDS
        return verdict._replace(is_offline=True, clock_is_behind=is_behind)

    def have_told(self, name: str, count: int) -> None:
        """See LoginStore: what the database knows to be untold stays."""
        with Transaction(self, name, "IMMEDIATE", unseal=False) as transaction:
            if transaction.record is not None and transaction.record.untold:
                transaction.save(transaction.record.told(count))

    # What has to be reported

    @property
    def last_entry(self) -> int:
        return self._state().last_entry

    def entries(self, limit: int) -> list[dict[str, Any]]:
        """Return the first ``limit`` entries that the database has not heard of, by number."""
        state = self._state()
        if state.last_entry == state.last_merged:
            return []
        rows = self.database.execute(
            "SELECT number, content FROM entries WHERE number > ? ORDER BY number LIMIT ?",
            (state.last_merged, limit),
        )
        found = []
        for number, content in rows:
            try:
                entry = json.loads(content)
            except ValueError:
                entry = None
            if not isinstance(entry, dict):
                raise self.database.not_ours()
            found.append(entry | {"number": number})
        return found

    def forget(self, last_merged: int) -> None:
        """Forget the entries up to ``last_merged``, of which the database has heard."""
        with self.joined:
            state = self._state()
            last = min(last_merged, state.last_entry)
            if last > state.last_merged:
                self.database.touch_key_page()
                self._save_state(state._replace(last_merged=last))
                if last == state.last_entry:
                    self.database.execute("UPDATE kept SET entries = 0 WHERE entries > 0")

    # What is fetched while the database can be reached

    def due(self) -> list[str]:
        """Return the users of whose hours less than half are left, the most urgent first."""
        rows = self.database.execute(
            "SELECT user FROM kept WHERE 2 * (ends_at - ?) < ends_at - fetched_at ORDER BY ends_at",
            (_now(self._state()),),
        )
        return [name for (name,) in rows]

    def ends(self) -> list[int]:
        """Return until when it has codes, for each user of whom it still has some."""
        rows = self.database.execute(
            "SELECT ends_at FROM kept WHERE ends_at > ?", (_now(self._state()),)
        )
        return [end for (end,) in rows]

    def keeps(self, name: str) -> bool:
        """Tell whether there are codes of ``name``, which may have ended."""
        return bool(self.database.execute("SELECT 1 FROM kept WHERE user = ?", (name,)))

    def put(self, asked: list[str], fetched: Fetched, last_entry: int) -> bool:
        """Replace what is kept of the users ``asked`` by ``fetched``; of all, where that is none.

        ``last_entry``: that of the kit before the database was asked. False, and nothing was
        changed, if an answer was judged here since: what was fetched does not know of it.
        """
        with self.joined:
            state = self._state()
            if state.last_entry != last_entry or state.last_entry != state.last_merged:
                return False
            records = [
                _continued(read(self, record.name, unseal=False).record, record)
                for record in fetched.records
            ]
            self._drop(asked if fetched.hours else self._names())
            for record in records:
                with Transaction(self, record.name, "IMMEDIATE", unseal=False) as transaction:
                    transaction.save(record)
                self.database.execute(
                    "INSERT INTO kept VALUES (?, ?, ?, 0)",
                    (record.name, fetched.at, fetched.at + fetched.hours * 3600),
                )
            last = max(state.last_entry, fetched.last_merged)
            policy = json.dumps(fetched.policy._asdict())
            self.database.touch_key_page()
            self._save_state(_State(fetched.at, last, last, policy))
        return True

    def clear(self) -> None:
        """Keep no codes any more."""
        if self._names():
            with self.joined:
                self._drop(self._names())

    def _drop(self, names: list[str]) -> None:
        for name in names:
            with Transaction(self, name, "IMMEDIATE", unseal=False) as transaction:
                transaction.save(None)
            self.database.execute("DELETE FROM kept WHERE user = ?", (name,))

    def _names(self) -> list[str]:
        return [name for (name,) in self.database.execute("SELECT user FROM kept")]

    def _keeps(self, name: str, now: int) -> bool:
        rows = self.database.execute("SELECT ends_at FROM kept WHERE user = ?", (storable(name),))
        return bool(rows) and now < rows[0][0]

    def _note(
        self,
        state: _State,
        before: UserRecord,
        after: UserRecord,
        verdict: Verdict,
        source: Source,
        now: int,
    ) -> _State:
        """Write down what the database has to hear of ``verdict``, in this transaction.

        Without room for it nobody gets in; a wrong code counts all the same, here alone.
        """
        if verdict.outcome not in (verifier.ACCEPTED, verifier.REJECTED):
            return state
        ((entries,),) = self.database.execute(
            "SELECT entries FROM kept WHERE user = ?", (before.name,)
        )
        is_full = state.last_entry - state.last_merged >= MAX_ENTRIES
        if is_full or entries >= MAX_ENTRIES_OF_A_USER:
            if verdict.outcome == verifier.REJECTED:
                return state
            raise StoreUnavailable(
                self.database.path,
                "has no room for another login until the database was told of those before",
                "see why the database of the fleet cannot be reached: totpctl doctor",
            )
        known = dict(zip((a.id for a in before.authenticators), before.authenticators, strict=True))
        entry = {
            "user": before.name,
            "outcome": verdict.outcome,
            "at": now,
            "used": [
                [a.id, a.last_accepted_step]
                for a in after.authenticators
                if a.last_accepted_step != known[a.id].last_accepted_step
            ],
            "service": _text(source.module.partition(":")[0], _SERVICE_LENGTH),
            "rhost": _text(source.rhost, _RHOST_LENGTH),
        }
        number = state.last_entry + 1
        self.database.execute(
            "UPDATE entries SET number = ?, content = ? WHERE slot = ?",
            (number, json.dumps(entry).ljust(_ENTRY_BYTES), number % MAX_ENTRIES),
        )
        self.database.execute(
            "UPDATE kept SET entries = entries + 1 WHERE user = ?", (before.name,)
        )
        return state._replace(last_entry=number)

    def _state(self) -> _State:
        rows = self.database.execute(
            "SELECT highest_time, last_entry, last_merged, policy FROM kit"
        )
        if len(rows) != 1:
            raise self.database.not_ours()
        return _State(*rows[0])

    def _save_state(self, state: _State) -> None:
        self.database.execute(
            "UPDATE kit SET highest_time = ?, last_entry = ?, last_merged = ?, policy = ?", state
        )


def _continued(kept: UserRecord | None, fetched: UserRecord) -> UserRecord:
    """Return ``fetched`` with what was counted here for known places, as far as that still counts.

    No report tells of it: else a host could use up what is kept for them. Forgotten at each
    refresh, it would be there again in each outage, for whoever shares a place and can make some.
    A row ends with a right code, anywhere; what is slow outlasts that, and ends with an unlock.
    """
    if kept is None or not fetched.guesses_until:
        return fetched
    counted = {place.name: place for place in kept.known_places}
    used = {a.id: a.last_accepted_step for a in kept.authenticators}
    goes_on = fetched.failures > 0 and all(
        used.get(a.id) == a.last_accepted_step for a in fetched.authenticators
    )
    places = []
    for place in fetched.known_places:
        before = counted.get(place.name, place)
        place = place._replace(guesses_until=max(place.guesses_until, before.guesses_until))
        if goes_on:
            place = place._replace(
                failures=max(place.failures, before.failures),
                throttled_until=max(place.throttled_until, before.throttled_until),
            )
        places.append(place)
    return fetched._replace(known_places=tuple(places))


def _now(state: _State) -> int:
    return max(int(time.time()), state.highest_time)


def _text(value: str, length: int) -> str:
    """Return what of ``value`` a database of UTF-8 takes, without a word of complaint."""
    return storable(value[:length]).replace("\0", "")
