"""A host's and an administrator's side of the SQL, in as few words as tests allow."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

import psycopg

from pam_totp.core.places import KnownPlace
from pam_totp.core.remembering import Remembered, Wish
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.core.verifier import CODE, Answer, Verdict
from tests.fleet.reporting import Reporter
from tests.support.postgres import ADMIN_KEY, Database

_VERIFY = f"CALL totp.verify({', '.join(['%s'] * 13 + ['NULL'] * 8)})"
_OWN = (
    "id, label, algorithm, digits, period, drift, last_accepted_step, created_at, last_used_at, "
    "clock_offset, clock_sightings, kind, serial, learned"
)


_PLACES, _REMEMBERED = (
    "(SELECT coalesce(array_agg(x), '{}') "
    f"FROM jsonb_populate_recordset(NULL::totp.{kind}, %s::jsonb) AS x)"
    for kind in ("place", "remembered")
)


class Host:
    """A host that has joined. ``connection`` is one of totp_login."""

    def __init__(self, database: Database, name: str = "w", groups: str = "{*}") -> None:
        self.name = name
        self.key = Reporter(database, name, groups=groups).key
        self.connection = database.connect("totp_login")

    def verify(
        self,
        user: str,
        answer: Answer | str,
        *,
        window: int | None = None,
        is_decoy: bool = False,
        request: bytes | None = None,
        connection: psycopg.Connection[Any] | None = None,
        place: str | None = "192.0.2.1",
        remember: Wish | None = None,
    ) -> Verdict:
        """Have ``answer`` judged; a text is a code."""
        if isinstance(answer, str):
            answer = Answer(CODE, answer)
        code = answer.code if answer.kind == CODE else None
        arguments = (
            *(self.name, self.key, request or os.urandom(16), user, code),
            *(answer.salt, answer.digest or None, is_decoy, window, "sshd", "192.0.2.1", place),
            None if remember is None else json.dumps(remember._asdict()),
        )
        row = (connection or self.connection).execute(_VERIFY, arguments).fetchone()
        assert row is not None
        return Verdict(*row)

    def ask(self, procedure: str, *arguments: Any) -> Any:
        """Call another procedure of hosts, and return its one result."""
        marks = "%s, " * (2 + len(arguments))
        row = self.connection.execute(
            f"CALL totp.{procedure}({marks}NULL)", (self.name, self.key, *arguments)
        ).fetchone()
        assert row is not None
        return row[0]

    def close(self) -> None:
        self.connection.close()


def _as_json(places: Iterable[KnownPlace | Remembered]) -> str:
    return json.dumps([place._asdict() for place in places])


def insert(connection: psycopg.Connection[Any], records: Iterable[UserRecord]) -> None:
    """Write ``records``, with their secrets."""
    records = list(records)
    created_at = UserRecord._fields.index("created_at")
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO totp.users (name, status, failures, throttled_until, recovery_salt, "
            "created_at, updated_at, exempt_until, uid, bound_at, untold, guesses_until, "
            "known_places, remembered) "
            f"VALUES ({', '.join(['%s'] * 12)}, {_PLACES}, {_REMEMBERED})",
            [
                (
                    *(*record[:5], *record[created_at:-3]),
                    *(_as_json(record.known_places), _as_json(record.remembered)),
                )
                for record in records
            ],
        )
        cursor.executemany(
            f"INSERT INTO totp.authenticators (user_name, sealed_secret, {_OWN}) VALUES (%s, "
            f"totp.seal_secret(%s, %s, %s, %s, %s, %s, %s, %s), {', '.join(['%s'] * 14)})",
            [
                (
                    *(record.name, ADMIN_KEY, a.secret, record.name),
                    *(a.id, a.algorithm, a.digits, a.period, a.kind),
                    *(a.id, a.label),
                    *a[a._fields.index("algorithm") :],
                )
                for record in records
                for a in record.authenticators
            ],
        )
        cursor.executemany(
            "INSERT INTO totp.recovery_codes VALUES (%s, %s)",
            [(record.name, digest) for record in records for digest in record.recovery_digests],
        )


def stored(connection: psycopg.Connection[Any], name: str) -> UserRecord:
    """Return what the tables hold of ``name``, without secrets."""
    row = connection.execute(
        "SELECT name, status, failures, throttled_until, recovery_salt, created_at, updated_at, "
        "exempt_until, uid, bound_at, untold, guesses_until, to_jsonb(known_places), "
        "to_jsonb(remembered) "
        "FROM totp.users WHERE name = %s",
        (name,),
    ).fetchone()
    assert row is not None
    digests = connection.execute(
        "SELECT digest FROM totp.recovery_codes WHERE user_name = %s", (name,)
    ).fetchall()
    held = connection.execute(
        f"SELECT {_OWN} FROM totp.authenticators WHERE user_name = %s ORDER BY label", (name,)
    ).fetchall()
    return UserRecord(
        *row[:5],
        frozenset(digest for (digest,) in digests),
        tuple(Authenticator(*a[:2], None, *a[2:]) for a in held),
        *row[5:-2],
        tuple(KnownPlace(**place) for place in row[-2]),
        tuple(Remembered(**one) for one in row[-1]),
    )


def without_secrets(record: UserRecord) -> UserRecord:
    """Return ``record`` as stored() does."""
    held = tuple(a._replace(secret=None) for a in record.authenticators)
    return record._replace(authenticators=held)
