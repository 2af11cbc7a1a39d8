"""What administrators do to the fleet's database, beyond people's records.

Secrets and keys go as parameters of functions, which open and seal them in the database: see
docs/internals/postgresql.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from . import importing
from .rows import POLICY_COLUMNS

if TYPE_CHECKING:
    from typing import Any

    from ...core.admission import GroupRule
    from ...core.users import UserRecord
    from .admin_connection import AdminConnection
    from .connection import Value
    from .importing import Sorted

ONE_TIME_KEY_BYTES = 32
BOOLEAN = ("recovery_unlocks", "require_standby", "first_enrollment")
POLICY = (*POLICY_COLUMNS, "require_standby", "offline_hours", "first_enrollment")


class Host(NamedTuple):
    """One host. Times are unix times; None: never. ``join_until``: so long a token is good.

    ``offline_people``: for how many it holds codes of the next hours, until ``offline_until``.
    """

    name: str
    groups: tuple[str, ...]
    joined_at: int | None
    last_seen_at: int | None
    join_until: int | None
    offline_people: int
    offline_until: int


class Restored(NamedTuple):
    """How many authenticators were changed, who has recovery codes, and who has a counter."""

    authenticators: int
    with_recovery_codes: tuple[str, ...]
    with_counters: tuple[str, ...]


class Administration:
    """The database, as an administrator whose key opens it; each method is one transaction."""

    def __init__(self, connection: AdminConnection, key: bytes) -> None:
        self._connection = connection
        self._key = key

    # Hosts

    def hosts(self) -> list[Host]:
        rows = self._rows(
            "SELECT h.name, to_jsonb(h.groups), h.joined_at, h.last_seen_at, h.join_until, "
            "count(k.until), coalesce(max(k.until), 0) FROM totp.hosts h LEFT JOIN totp.kits k "
            "ON k.host = h.name AND k.until > totp.unix_time() GROUP BY h.name ORDER BY h.name"
        )
        return [Host(name, tuple(groups), *rest) for name, groups, *rest in rows]

    def add_host(self, name: str, groups: Sequence[str], valid_seconds: int) -> bytes:
        """Let ``name`` join within ``valid_seconds``; return the one-time key for that."""
        one_time_key = os.urandom(ONE_TIME_KEY_BYTES)
        with self._connection.transaction():
            self._rows(
                "SELECT totp.add_host($1, $2, $3, $4, $5)",
                self._key, name, one_time_key, list(groups), valid_seconds,
            )  # fmt: skip
            self._note("host_added", host=name)
        return one_time_key

    def remove_host(self, name: str) -> None:
        """Let the key of ``name`` open nothing any more."""
        with self._connection.transaction():
            self._rows("SELECT totp.remove_host($1)", name)
            self._note("host_removed", host=name)

    # Policy

    def policy(self) -> dict[str, int]:
        """Return the settings of POLICY; yes is 1, and no 0."""
        columns = ", ".join(f"{column}::int" for column in POLICY)
        (row,) = self._rows(f"SELECT {columns} FROM totp.policy")
        return dict(zip(POLICY, row, strict=True))

    def has_standby(self) -> bool:
        """Return whether the server is set to wait for a standby."""
        ((names,),) = self._rows("SELECT current_setting('synchronous_standby_names')")
        return bool(names)

    def change_policy(self, changed: Mapping[str, int]) -> None:
        with self._connection.transaction():
            for key, value in changed.items():
                assert key in POLICY
                kind = "boolean" if key in BOOLEAN else "int"
                self._rows(f"UPDATE totp.policy SET {key} = $1::int::{kind}", value)
                self._note("policy_changed", user=key)

    # People

    def allow(self, user: str, groups: Sequence[str]) -> bool:
        """Let ``user`` log in on hosts in one of ``groups``; False where there is no such user."""
        with self._connection.transaction():
            changed = self._rows(
                "UPDATE totp.users SET groups = $1 WHERE name = $2 RETURNING name",
                list(groups), user,
            )  # fmt: skip
            if changed:
                self._note("allowed", user=user)
        return bool(changed)

    def sort(self, records: Iterable[UserRecord], rules: Iterable[GroupRule]) -> Sorted:
        """Compare people and rules of another store with the fleet's."""
        with self._connection.transaction():
            return importing.sort(self._connection, records, rules)

    def take(self, chosen: Sorted) -> None:
        """Make them the fleet's, all or none."""
        with self._connection.transaction():
            importing.take(self._connection, self._key, chosen)
            for record in chosen.new:
                self._note("imported", user=record.name)

    # Upkeep

    def rotate_key(self, new_key: bytes) -> int:
        """Seal every secret with ``new_key``, wrapped for all; return how many secrets."""
        with self._connection.transaction():
            ((count,),) = self._rows("SELECT totp.rotate($1, $2)", self._key, new_key)
            self._note("key_rotated")
        return int(count)

    def events_older_than(self, days: int) -> int:
        ((count,),) = self._rows(
            "SELECT count(*) FROM totp.events WHERE at < now() - make_interval(days => $1)", days
        )
        return int(count)

    def prune(self, days: int) -> int:
        """Delete events that are older than ``days``; return how many there were."""
        with self._connection.transaction():
            ((count,),) = self._rows("SELECT totp.prune($1)", days)
            self._note("events_pruned")
        return int(count)

    def after_restore(self, *, void_recovery_codes: bool) -> Restored:
        """Void every code that any app can have shown so far, and all answers that were kept."""
        with self._connection.transaction():
            changed = self._rows(
                "UPDATE totp.authenticators a SET last_accepted_step = greatest("
                "a.last_accepted_step, totp.latest_step(a, totp.unix_time(), p.code_window)) "
                "FROM totp.policy p WHERE a.kind = 'totp' RETURNING a.id"
            )
            self._rows(
                "UPDATE totp.users SET last_request = NULL, last_verdict = NULL, remembered = '{}'"
            )
            self._rows("UPDATE totp.decoys SET last_request = NULL, last_verdict = NULL")
            names = self._rows("SELECT DISTINCT user_name FROM totp.recovery_codes ORDER BY 1")
            counting = self._rows(
                "SELECT DISTINCT user_name FROM totp.authenticators WHERE kind = 'hotp' ORDER BY 1"
            )
            if void_recovery_codes:
                self._rows("DELETE FROM totp.recovery_codes")
            self._note("restored")
        return Restored(
            len(changed),
            tuple(name for (name,) in names),
            tuple(name for (name,) in counting),
        )

    def _note(self, event: str, *, host: str = "", user: str = "") -> None:
        """Leave an event of an administrator, in the transaction of what it tells."""
        self._rows(
            "INSERT INTO totp.events (host, user_name, event, service, rhost) "
            "VALUES ($1, $2, $3, 'totpctl', session_user || '@' || $4::text)",
            host, user, event, os.uname().nodename,
        )  # fmt: skip

    def _rows(self, statement: str, *values: Value) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values)
