"""The fleet's database as its administrators see it: records out, what changed in.

Secrets are sealed and opened by the database, with the administrators' key. Without one, as at a
help desk, records come without secrets, and nobody can be enrolled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.admission import GroupRule
from ...core.verifier import Policy
from ...system import fleet_file
from ...system.errors import StoreRefused
from .joint import JointUserTransaction
from .opening import open_fleet
from .rows import DOES_NOT_OPEN, POLICY_COLUMNS, is_storable, read
from .transactions import UserTransaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...core.users import UserRecord
    from ...system.fleet_file import Identity
    from .admin_connection import AdminConnection


class AdminStore:
    """See RecordStore of store/__init__.py."""

    def __init__(self, connection: AdminConnection, identity: Identity, path: str) -> None:
        """``identity``: who ``connection`` is logged in as, of the file ``path``."""
        self._connection = connection
        self._key = identity.key or None
        self._path = path

    def load(self, name: str) -> UserRecord | None:
        if not is_storable(name):
            return None
        return next(read(self._connection, [name]), None)

    def load_all(self, names: Sequence[str]) -> dict[str, UserRecord]:
        found = read(self._connection, [name for name in names if is_storable(name)])
        return {record.name: record for record in found}

    def records(self) -> Iterator[UserRecord]:
        return read(self._connection)

    def transaction(self, name: str, *, unseal: bool = True) -> UserTransaction:
        if unseal:
            self.check_key()
        return UserTransaction(self._connection, name, self._key, unseal=unseal)

    def joint_transaction(
        self, names: Sequence[str], *, unseal: bool = False
    ) -> JointUserTransaction:
        self.check_key()
        assert self._key is not None
        return JointUserTransaction(self._connection, names, self._key, unseal=unseal)

    def policy(self) -> Policy:
        (row,) = self._connection.execute(f"SELECT {', '.join(POLICY_COLUMNS)} FROM totp.policy")
        return Policy(*row)

    def check_key(self) -> None:
        if self._key is None:
            raise StoreRefused(
                self._path,
                "holds no key, so that nobody can be enrolled from here, and no code be checked",
                "run it on a machine of an administrator of the fleet",
            )

    def group_rules(self) -> tuple[GroupRule, ...]:
        rows = self._connection.execute(
            "SELECT name, rule, until FROM totp.group_rules ORDER BY name"
        )
        return tuple(GroupRule(*row) for row in rows)

    def save_group_rule(self, rule: GroupRule) -> None:
        self._connection.execute(
            "INSERT INTO totp.group_rules (name, rule, until) VALUES ($1, $2, $3) "
            "ON CONFLICT (name) DO UPDATE SET rule = excluded.rule, until = excluded.until",
            rule,
        )

    def remove_group_rule(self, name: str) -> None:
        self._connection.execute("DELETE FROM totp.group_rules WHERE name = $1", (name,))

    def check(self) -> list[str]:
        problems = []
        ((orphans,),) = self._connection.execute(
            "SELECT (SELECT count(*) FROM totp.authenticators a"
            " WHERE NOT EXISTS (SELECT FROM totp.users u WHERE u.name = a.user_name))"
            " + (SELECT count(*) FROM totp.recovery_codes r"
            " WHERE NOT EXISTS (SELECT FROM totp.users u WHERE u.name = r.user_name))"
        )
        if orphans:
            problems.append(f"store: {orphans} rows belong to no user")
        if self._key is not None:
            closed = self._connection.execute(
                "SELECT DISTINCT a.user_name FROM totp.authenticators a WHERE totp.open_secret("
                "$1, a.sealed_secret, a.user_name, a.id, a.algorithm, a.digits, a.period, a.kind) "
                "IS NULL "
                "ORDER BY a.user_name",
                (self._key,),
            )
            problems += [f"{name}: {DOES_NOT_OPEN}" for (name,) in closed]
        return problems

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> AdminStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_admin_store(
    url: str, path: str, *, patience: float | None = None, administrator: str = ""
) -> AdminStore:
    """Log in to the database ``url`` as the file ``path`` says. Raises Unavailable.

    ``administrator``: see AdminConnection.

    Where the file names one itself, that counts: logins of the same machine may use a pooler.
    """
    try:
        identity = fleet_file.read(path)
    except FileNotFoundError:
        raise StoreRefused(
            path,
            "is not on this machine: people of the fleet are administered elsewhere",
            "run it on a machine of an administrator; for accounts of this host alone: --local",
        ) from None
    connection = open_fleet(
        identity.store or url, identity, path, patience=patience, administrator=administrator
    )
    return AdminStore(connection, identity, path)
