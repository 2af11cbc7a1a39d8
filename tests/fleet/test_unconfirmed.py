"""An administrator hears of every commit that no standby has confirmed: it may be lost."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from pam_totp.core.admission import EXEMPT, GroupRule
from pam_totp.core.users import UserRecord
from pam_totp.store.postgresql.admin_connection import AdminConnection
from pam_totp.store.postgresql.admin_store import AdminStore
from pam_totp.store.postgresql.administration import Administration
from pam_totp.store.postgresql.client import Client
from pam_totp.store.postgresql.host_store import HostStore
from pam_totp.store.postgresql.importing import Sorted
from pam_totp.store.postgresql.opening import open_fleet
from pam_totp.system.errors import StoreUnavailable
from pam_totp.system.fleet_file import Identity
from tests.fleet.reporting import enroll
from tests.fleet.standby import cancel_waits, receiver_of, standby_of
from tests.support.fleet import ADMINISTRATOR, socket_url
from tests.support.postgres import ADMIN_KEY, Cluster, Database

RULE = GroupRule("robots", EXEMPT, 0)


def save(store: AdminStore) -> None:
    with store.transaction("bob", unseal=False) as transaction:
        transaction.save(UserRecord("bob", status="suspended"))


IN_THE_FLEET: dict[str, Callable[[Administration], object]] = {
    "add": lambda fleet: fleet.add_host("web2", ["web"], 60),
    "remove": lambda fleet: fleet.remove_host("web2"),
    "policy": lambda fleet: fleet.change_policy({"throttle_after": 4}),
    "allow": lambda fleet: fleet.allow("alice", ["web"]),
    "import": lambda fleet: fleet.take(Sorted((UserRecord("carol"),), (), (), (RULE,), ())),
    "rotate-key": lambda fleet: fleet.rotate_key(bytes(32)),
    "prune": lambda fleet: fleet.prune(30),
    "after-restore": lambda fleet: fleet.after_restore(void_recovery_codes=True),
}
WITH_PEOPLE: dict[str, Callable[[AdminStore], object]] = {
    "save": save,
    "require": lambda store: store.save_group_rule(GroupRule("users", EXEMPT, 0)),
    "no rule": lambda store: store.remove_group_rule("users"),
}
SAVED = """
SELECT (SELECT string_agg(name || ' ' || status, ', ' ORDER BY name) FROM totp.users),
    (SELECT string_agg(name, ', ') FROM totp.group_rules),
    (SELECT string_agg(event, ', ' ORDER BY id) FROM totp.events WHERE service = 'totpctl')
"""


@pytest.fixture
def alone() -> Iterator[Database]:
    """A database whose standby stands still."""
    cluster = Cluster()
    with contextlib.ExitStack() as closed:
        closed.callback(cluster.remove)
        database = closed.enter_context(cluster.database())
        enroll(database, "alice")
        with standby_of(cluster) as standby:
            receiver = receiver_of(standby)
            os.kill(receiver, signal.SIGSTOP)
            yield database
            cluster.configure({"synchronous_standby_names": ""})
            cluster.signal("HUP")
            os.kill(receiver, signal.SIGCONT)


def opened(database: Database) -> contextlib.closing[AdminConnection]:
    return contextlib.closing(open_fleet(socket_url(database), ADMINISTRATOR, "the file"))


def unconfirmed(database: Database, role: str, act: Callable[[], object]) -> str:
    """Cancel the wait of ``act`` for the standby, and return what it raises then."""
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(act)
        assert 0 < cancel_waits(database, role, call)
    error = call.exception()
    assert StoreUnavailable is type(error)
    return str(error)


def test_no_act_of_an_administrator_takes_a_cancelled_wait_for_success(alone: Database) -> None:
    expected = "store: it was saved, but the standby has not confirmed it"
    with opened(alone) as connection:
        fleet = Administration(connection, ADMIN_KEY)
        store = AdminStore(connection, ADMINISTRATOR, "the file")
        for name, act in IN_THE_FLEET.items():
            told = unconfirmed(alone, "test_admin", partial(act, fleet))
            assert (name, expected) == (name, told)
        for name, act_on in WITH_PEOPLE.items():
            told = unconfirmed(alone, "test_admin", partial(act_on, store))
            assert (name, expected) == (name, told)
    events = ("host_added, host_removed, policy_changed, allowed, imported, key_rotated, "
              "events_pruned, restored")  # fmt: skip
    assert [("alice active, bob suspended, carol active", "robots", events)] == alone.execute(SAVED)


def test_no_host_takes_it_for_having_joined(alone: Database) -> None:
    with alone.connect() as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute(
            "SELECT totp.add_host(%s, 'web1', %s, ARRAY['*'], 60)", (ADMIN_KEY, bytes(32))
        )
    identity = Identity(host="web1", key=bytes(32), user="totp_login")
    with contextlib.closing(Client(socket_url(alone), identity)) as client:
        told = unconfirmed(alone, "totp_login", lambda: HostStore(client).join(bytes(32)))
    assert "store: a write does not wait for its standby" == told
