"""The store contract over PostgreSQL: an administrator's face, and a host's, of one database."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from pam_totp.core import verifier
from pam_totp.core.remembering import Remembered
from pam_totp.core.users import EXEMPT, SUSPENDED, UserRecord
from pam_totp.store.postgresql.admin_connection import AdminConnection
from pam_totp.store.postgresql.admin_store import AdminStore, open_admin_store
from pam_totp.store.postgresql.client import Client
from pam_totp.store.postgresql.host_store import HostStore
from pam_totp.store.postgresql.migrations import MIGRATIONS
from pam_totp.system import fleet_file
from pam_totp.system.errors import SchemaTooNew, StoreBusy, StoreRefused, StoreUnavailable
from tests.contract.backend import Backend
from tests.contract.own_changes import CHANGES
from tests.contract.questions import ENROLLMENT, WRONG, judged, ready
from tests.contract.sample_records import NOW, full_record, phone, without_secrets
from tests.contract.store_contract import StoreContract
from tests.support import fleet
from tests.support.postgres import Cluster, Database

if TYPE_CHECKING:
    from tests.contract.backend import BothFaces


class FleetStore:
    """What a login asks of a host, and what an administrator does on another machine."""

    def __init__(self, administrator: AdminStore, client: Client) -> None:
        self._client = client
        host = HostStore(client)
        self.load = administrator.load
        self.load_all = administrator.load_all
        self.records = administrator.records
        self.transaction = administrator.transaction
        self.joint_transaction = administrator.joint_transaction
        self.check_key = administrator.check_key
        self.group_rules = administrator.group_rules
        self.save_group_rule = administrator.save_group_rule
        self.remove_group_rule = administrator.remove_group_rule
        self.check = administrator.check
        self.admission = host.admission
        self.verify = host.verify
        self.enroll_first = host.enroll_first
        self.have_told = host.have_told
        self.change_own = host.change_own
        self.batch = host.batch
        self.checkpoint = host.checkpoint
        self.confirm_absence = host.confirm_absence
        self._administrator = administrator

    def close(self) -> None:
        self._administrator.close()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class PostgreSQLBackend(Backend):
    owner = "user_name"

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.url = fleet.socket_url(database)
        database.stop_clock(NOW)
        database.execute("UPDATE totp.policy SET first_enrollment = true")
        self.admin_path = str(fleet.admin_file(database, folder))
        self.identity = fleet_file.read(str(fleet.host_file(database, folder)))
        self._elsewhere = open_admin_store(self.url, self.admin_path)

    def close(self) -> None:
        self._elsewhere.close()

    def open(self, *, patience: float | None = None) -> BothFaces:
        administrator = open_admin_store(self.url, self.admin_path, patience=patience)
        return FleetStore(administrator, Client(self.url, self.identity))

    # What is put in or looked at from elsewhere goes over one connection: a new one takes longer.

    def save(self, record: UserRecord) -> None:
        with self._elsewhere.transaction(record.name) as transaction:
            transaction.save(record)

    def load(self, name: str) -> UserRecord | None:
        return self._elsewhere.load(name)

    def load_with_secrets(self, name: str) -> UserRecord | None:
        with self._elsewhere.transaction(name) as transaction:
            return transaction.record

    def as_kept(self, record: UserRecord) -> UserRecord:
        """The database chooses ids, and notes no uid: accounts have another one on each host."""
        named = (a._replace(id=a.label) for a in record.authenticators)
        return record._replace(authenticators=tuple(named), uid=None, bound_at=0)

    def as_told(self, record: UserRecord) -> UserRecord:
        """Hosts are told of no digest either, of no serial, and of no other place."""
        record = self.as_kept(without_secrets(record)).without_places()
        held = tuple(a._replace(serial="") for a in record.authenticators)
        return record._replace(recovery_digests=frozenset(), authenticators=held)

    def place_name(self, place: str) -> str:
        is_local = place.startswith(("by ", "at "))
        return f"{self.identity.host}: {place}" if is_local else place

    def as_of_a_login(self, remembered: tuple[Remembered, ...]) -> tuple[Remembered, ...]:
        return tuple(one._replace(host=self.identity.host) for one in remembered)

    def tamper(self, statement: str) -> None:
        with self.database.connect() as connection:
            connection.execute("SET search_path = totp")
            connection.execute("SET session_replication_role = replica")  # no check of foreign keys
            assert 1 <= connection.execute(statement.encode()).rowcount

    def count(self, table: str) -> int:
        ((rows,),) = self.database.execute(f"SELECT count(*) FROM totp.{table}")
        return int(rows)


@pytest.fixture(scope="class")
def fresh_backend(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgreSQLBackend]:
    """One for all tests of a class."""
    with cluster.database() as database:
        backend = PostgreSQLBackend(database, tmp_path_factory.mktemp("fleet"))
        yield backend
        backend.close()


class TestPostgreSQLStore(StoreContract):
    @pytest.fixture
    def backend(self, fresh_backend: PostgreSQLBackend) -> Iterator[PostgreSQLBackend]:
        yield fresh_backend
        fresh_backend.database.empty()

    def test_a_host_changes_nobodys_enrollment(self, backend: PostgreSQLBackend) -> None:
        """Its rights are for logins alone; administrators change enrollments, elsewhere."""
        backend.save(ready())
        with backend.open() as store:
            for change in CHANGES.values():
                with pytest.raises(StoreRefused, match="administrators of the fleet"):
                    store.change_own("alice", change, without_secrets(ready()))
        assert ready() == backend.load_with_secrets("alice")

    def test_a_login_waits_for_a_transaction_on_its_user_and_for_no_other(
        self, backend: PostgreSQLBackend
    ) -> None:
        backend.save(ready())
        outcomes: list[str] = []

        def log_in(name: str) -> None:
            with backend.open() as store:
                verdict = judged(store, WRONG, name)
            assert verdict is not None
            outcomes.append(f"{name} {verdict.outcome}")

        with backend.open() as store:
            other = threading.Thread(target=log_in, args=("alice",))
            with store.transaction("alice") as transaction:
                assert transaction.record is not None
                other.start()
                log_in("bob")
                other.join(0.2)
                assert [f"bob {verifier.REJECTED}"] == outcomes
                transaction.save(transaction.record._replace(failures=100))
            other.join(60)
        assert f"alice {verifier.LOCKED}" == outcomes[-1]

    def test_nobody_enrolls_at_a_login_whom_an_administrator_is_adding(
        self, backend: PostgreSQLBackend
    ) -> None:
        kept: list[bool] = []

        def enroll() -> None:
            with backend.open() as store:
                kept.append(store.enroll_first("alice", ENROLLMENT, None))

        with backend.open() as store:
            other = threading.Thread(target=enroll)
            with store.transaction("alice") as transaction:
                assert transaction.record is None
                other.start()
                other.join(0.2)
                assert [] == kept
                transaction.save(UserRecord("alice", SUSPENDED))
            other.join(60)
        assert [False] == kept
        assert UserRecord("alice", SUSPENDED) == backend.load("alice")

    def test_a_user_who_was_not_added_after_all_is_unknown_as_before(
        self, backend: PostgreSQLBackend
    ) -> None:
        with backend.open() as store:
            with store.transaction("alice"):
                pass
            with suppress(ZeroDivisionError), store.transaction("alice") as transaction:
                transaction.save(UserRecord("alice"))
                raise ZeroDivisionError
            assert store.enroll_first("alice", ENROLLMENT, None)

    def test_who_waits_for_a_user_for_too_long_is_told_so(self, backend: PostgreSQLBackend) -> None:
        backend.save(ready())
        with (
            backend.open() as other,
            other.transaction("alice"),
            backend.open(patience=0) as store,
        ):
            with pytest.raises(StoreBusy, match="locked by another process"):
                store.transaction("alice").__enter__()
            with store.transaction("bob") as transaction:  # the connection is as good as before
                transaction.save(UserRecord("bob"))
        assert backend.load("bob") is not None

    def test_only_what_has_changed_is_written(self, backend: PostgreSQLBackend) -> None:
        """Rights of a column are those to name it; what is for others to change is not touched."""
        backend.save(full_record())
        with backend.database.connect() as connection:
            connection.execute(
                "CREATE FUNCTION totp.refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE 'this has not changed'; END $$"
            )
            for on in (
                "UPDATE OF failures, throttled_until, recovery_salt, groups ON totp.users",
                "INSERT OR DELETE OR UPDATE ON totp.authenticators",
                "INSERT OR DELETE OR UPDATE ON totp.recovery_codes",
            ):
                connection.execute(
                    f"CREATE TRIGGER refuse BEFORE {on} EXECUTE FUNCTION totp.refuse()"
                )
            try:
                for status in (EXEMPT, SUSPENDED):
                    with backend.open() as store, store.transaction("alice") as transaction:
                        assert transaction.record is not None
                        transaction.save(transaction.record._replace(status=status, updated_at=NOW))
            finally:
                connection.execute("DROP FUNCTION totp.refuse() CASCADE")
        assert without_secrets(full_record())._replace(updated_at=NOW) == backend.load("alice")

    def test_many_users_take_as_many_statements_as_a_few(
        self, backend: PostgreSQLBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        statements: list[str] = []
        execute = AdminConnection.execute

        def counted(self: AdminConnection, statement: str, *rest: Any) -> list[tuple[Any, ...]]:
            statements.append(statement)
            return execute(self, statement, *rest)

        monkeypatch.setattr(AdminConnection, "execute", counted)
        counts = []
        for count in (2, 50):
            names = [f"{count} {number}" for number in range(count)]
            with backend.open() as store:
                statements.clear()
                with store.joint_transaction(names) as joint:
                    for name in names:
                        device = phone(f"id of {name}")
                        joint.save(UserRecord(name, authenticators=(device,)))
                counts.append(len(statements))
        assert counts[0] == counts[1] < 10
        assert 52 == backend.count("authenticators")

    def test_what_no_standby_has_confirmed_is_not_taken_for_durable(
        self, backend: PostgreSQLBackend
    ) -> None:
        """A cancelled wait for the standby ends in a success, and a warning."""
        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        problems: list[str] = []

        def save() -> None:
            try:
                backend.save(UserRecord("alice"))
            except StoreUnavailable as error:
                problems.append(error.problem)

        administrator = threading.Thread(target=save)
        with backend.database.connect() as connection:
            try:
                connection.execute("ALTER ROLE test_admin SET client_min_messages = error")
                connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
                connection.execute("SELECT pg_reload_conf()")
                while connection.execute("SHOW synchronous_standby_names").fetchone() == ("",):
                    time.sleep(0.02)
                administrator.start()
                while not connection.execute(f"SELECT pg_cancel_backend(pid) {waiting}").fetchall():
                    time.sleep(0.02)
                administrator.join(60)
            finally:
                connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
                connection.execute("SELECT pg_reload_conf()")
                connection.execute("ALTER ROLE test_admin RESET client_min_messages")
        assert ["it was saved, but the standby has not confirmed it"] == problems

    def test_a_database_that_the_administrators_file_names_counts(
        self, backend: PostgreSQLBackend, tmp_path: Path
    ) -> None:
        backend.save(ready())
        path = fleet.admin_file(backend.database, tmp_path)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"store = {backend.url}\n")
        with open_admin_store("postgresql://pooler.invalid/other", str(path)) as store:
            assert ["alice"] == [record.name for record in store.records()]

    def test_a_help_desk_unlocks_suspends_and_resumes_and_nothing_else(
        self, backend: PostgreSQLBackend, tmp_path: Path
    ) -> None:
        ahead = ready().authenticators[0]._replace(last_accepted_step=NOW)
        backend.save(ready()._replace(failures=100, authenticators=(ahead,)))
        path = fleet.admin_file(backend.database, tmp_path, user="test_helpdesk", key=b"")
        with open_admin_store(backend.url, str(path)) as store:
            assert [] == store.check()
            assert ["alice"] == [record.name for record in store.records()]
            for change in (
                lambda record: record.unlocked(NOW, 1),
                UserRecord.suspended,
                UserRecord.resumed,
            ):
                with store.transaction("alice", unseal=False) as transaction:
                    assert transaction.record is not None
                    transaction.save(change(transaction.record))
            for change in (
                lambda record: record._replace(recovery_digests=frozenset((b"\1" * 32,))),
                lambda record: record.exempted(0),
                lambda record: None,
            ):
                transaction = store.transaction("alice", unseal=False)
                with transaction, pytest.raises(StoreRefused, match="does not have the rights"):
                    transaction.save(change(transaction.record))
            with store.transaction("trent", unseal=False) as transaction:
                assert transaction.record is None
            for ask in (store.check_key, lambda: store.transaction("alice")):
                with pytest.raises(StoreRefused, match="holds no key"):
                    ask()
        record = backend.load("alice")
        assert record is not None
        (phone,) = record.authenticators
        step = NOW // 30 + 1
        assert (0, "active", step) == (record.failures, record.status, phone.last_accepted_step)

    def test_another_fleet_s_key_opens_nothing(
        self, backend: PostgreSQLBackend, tmp_path: Path
    ) -> None:
        backend.save(ready())
        path = fleet.admin_file(backend.database, tmp_path, key=bytes(32))
        with open_admin_store(backend.url, str(path)) as store:
            for ask in (store.check, lambda: store.transaction("alice").__enter__()):
                with pytest.raises(StoreRefused, match="the key of this fleet"):
                    ask()

    def test_the_schema_of_another_release_is_refused(self, backend: PostgreSQLBackend) -> None:
        update = "UPDATE totp.meta SET value = int4send(%s) WHERE key = 'schema_version'"
        for version, kind in ((0, StoreRefused), (99, SchemaTooNew)):
            backend.database.execute(update, (version,))
            with pytest.raises(kind):
                backend.open()
        backend.database.execute(update, (len(MIGRATIONS),))
        backend.open().close()
