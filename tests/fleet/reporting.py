"""What a host asks about an outage, in plain SQL: also what no host of ours would ask."""

from __future__ import annotations

import json
import os
from typing import Any

from pam_totp.core import otp
from tests.support.place import SECRET
from tests.support.postgres import ADMIN_KEY, Database

ONE_TIME_KEY = b"t" * 32


class Reporter:
    """A host that has joined, as totp_login with its key."""

    def __init__(self, database: Database, name: str = "a", *, groups: str = "{*}") -> None:
        self.name = name
        self.key = name.encode() * 32
        self._database = database
        database.execute(
            "SELECT totp.add_host(%s, %s, %s, %s, 60)", (ADMIN_KEY, name, ONE_TIME_KEY, groups)
        )
        database.execute("CALL totp.join(%s, %s, %s)", (name, ONE_TIME_KEY, self.key))

    def verify(self, user: str, code: str) -> str:
        """Return the outcome."""
        rows = self._call(
            "CALL totp.verify(%s, %s, %s, %s, %s, NULL, NULL, false, 1, 'sshd', '', '', NULL, "
            "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            os.urandom(16),
            user,
            code,
        )
        return str(rows[0][0])

    def codes_ahead(self, *users: str) -> dict[str, Any]:
        rows = self._call("CALL totp.codes_ahead(%s, %s, %s::text[], NULL)", list(users))
        told = rows[0][0]
        assert isinstance(told, dict)
        return told

    def report(self, *entries: object) -> int:
        rows = self._call("CALL totp.merge_offline(%s, %s, %s, NULL)", json.dumps(entries))
        return int(rows[0][0])

    def _call(self, statement: str, *more: object) -> list[tuple[Any, ...]]:
        return self._database.execute(statement, (self.name, self.key, *more), user="totp_login")


def allow(database: Database, hours: int) -> None:
    """Let hosts keep codes of so many hours; 0: none."""
    database.execute("UPDATE totp.policy SET offline_hours = %s", (hours,))


def enroll(database: Database, user: str, secret: bytes = SECRET, **columns: object) -> str:
    """Add a user with an authenticator ``phone``; return its id. ``columns``: of the user."""
    database.execute("INSERT INTO totp.users (name, status) VALUES (%s, 'active')", (user,))
    for name, value in columns.items():
        database.execute(f"UPDATE totp.users SET {name} = %s WHERE name = %s", (value, user))
    return give(database, user, secret)


def give(
    database: Database,
    user: str,
    secret: bytes = SECRET,
    *,
    label: str = "phone",
    kind: str = otp.TOTP,
) -> str:
    """Add an authenticator to ``user``; return its id."""
    new_id = os.urandom(16).hex()
    database.execute(
        "INSERT INTO totp.authenticators (id, user_name, label, algorithm, digits, period, "
        "kind, sealed_secret) SELECT %(id)s::text, %(user)s::text, %(label)s, 'SHA1', 6, 30, "
        "%(kind)s::text, totp.seal_secret(%(key)s, %(secret)s, %(user)s, %(id)s, 'SHA1', 6, 30, "
        "%(kind)s::text)",
        {
            "id": new_id,
            "user": user,
            "label": label,
            "kind": kind,
            "key": ADMIN_KEY,
            "secret": secret,
        },  # type: ignore[arg-type]
    )
    return new_id


def numbers_of(codes: str) -> list[int]:
    """Return the numbers that ``codes``, as told, consists of."""
    told = bytes.fromhex(codes)
    return [int.from_bytes(told[at : at + 4], "big") for at in range(0, len(told), 4)]


def code_of(step: int, secret: bytes = SECRET) -> str:
    return otp.hotp(secret, step)
