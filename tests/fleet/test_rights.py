"""What hosts, the help desk, auditors and administrators may do in the database: no more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from pam_totp.core import otp
from pam_totp.core.places import KnownPlace
from pam_totp.core.remembering import Remembered
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.store.postgresql.administration import Administration
from pam_totp.store.postgresql.kept_kit import AWAY_PATIENCE
from pam_totp.store.postgresql.opening import open_fleet
from pam_totp.system.errors import StoreRefused
from tests.fleet.asking import Host, insert, stored, without_secrets
from tests.support.fleet import ADMINISTRATOR, socket_url
from tests.support.place import SECRET, code_now, wrong_code
from tests.support.postgres import ADMIN_KEY, Database

TABLES = {
    *("authenticators", "decoys", "events", "group_rules", "hosts", "kits", "meta", "policy"),
    *("recovery_codes", "users"),
}
HOST_ROUTINES = {
    *("admission", "codes_ahead", "enroll_first", "give_codes", "have_told", "join", "judge"),
    *("keep_first", "look_beyond", "look_up", "merge_offline", "schema_version", "take_report"),
    *("take_told", "take_token", "unix_time", "verify"),
}
ADMIN_ROUTINES = {
    *("add_host", "open_secret", "prune", "remove_host", "rotate"),
    *("schema_version", "seal_secret", "unix_time"),
}
STEP_ROUTINES = {"base_step", "current_step", "followed", "latest_step"}
ROUTINES = {
    "test_host": HOST_ROUTINES,
    "test_admin": ADMIN_ROUTINES | STEP_ROUTINES,
    "test_helpdesk": {"schema_version", "unix_time"} | STEP_ROUTINES,
    "test_auditor": {"schema_version", "unix_time"},
    "nobody": set(),
}
EVERYTHING = "SELECT INSERT UPDATE DELETE"
# To which columns, where it is not all of them, the tests of each role say.
RIGHTS = {
    "test_host": {},
    "test_admin": {
        "authenticators": EVERYTHING,
        "decoys": "SELECT UPDATE",
        "events": "SELECT INSERT",
        "group_rules": EVERYTHING,
        "hosts": "SELECT UPDATE",
        "kits": "SELECT",
        "policy": "SELECT UPDATE",
        "recovery_codes": EVERYTHING,
        "users": EVERYTHING,
    },
    "test_helpdesk": {
        "authenticators": "SELECT UPDATE",
        "group_rules": "SELECT",
        "policy": "SELECT",
        "recovery_codes": "SELECT",
        "users": "SELECT UPDATE",
    },
    "test_auditor": {"events": "SELECT"},
    "nobody": {},
}


@pytest.fixture
def host(database: Database) -> Iterator[Host]:
    host = Host(database)
    yield host
    host.close()


@pytest.fixture
def alice(database: Database) -> UserRecord:
    alice = UserRecord("alice", failures=2, authenticators=(Authenticator("a", "phone", SECRET),))
    with database.connect() as owner:
        insert(owner, [alice])
    return alice


@pytest.fixture
def nobody(database: Database) -> Iterator[None]:
    with database.connect() as owner:
        owner.execute("CREATE ROLE nobody LOGIN")
        yield
        owner.execute("DROP ROLE nobody")


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("role", ROUTINES)
def test_a_role_may_call_and_touch_this_and_nothing_else(database: Database, role: str) -> None:
    role = "totp_login" if role == "test_host" else role
    with database.connect() as owner:
        callable_ = owner.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'totp'::regnamespace "
            "AND has_function_privilege(%s, oid, 'EXECUTE') ORDER BY proname",
            (role,),
        ).fetchall()
        tables = owner.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'totp'::regnamespace "
            "AND relkind = 'r' ORDER BY relname"
        ).fetchall()
        may = owner.execute(
            "SELECT relname, right_ FROM pg_class, unnest(%s::text[]) AS right_ "
            "WHERE relnamespace = 'totp'::regnamespace AND relkind = 'r' AND CASE right_ "
            "WHEN 'DELETE' THEN has_table_privilege(%s, oid, right_) "
            "ELSE has_any_column_privilege(%s, oid, right_) END",
            (EVERYTHING.split(), role, role),
        ).fetchall()
        other = owner.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'totp'::regnamespace "
            "AND relkind = 'r' AND has_table_privilege(%s, oid, 'TRUNCATE, REFERENCES, TRIGGER')",
            (role,),
        ).fetchall()
        reaches_crypto = owner.execute(
            "SELECT has_schema_privilege(%s, 'totp_crypto', 'USAGE')", (role,)
        ).fetchall()
    name = "test_host" if role == "totp_login" else role
    assert ROUTINES[name] == {routine for (routine,) in callable_}
    assert TABLES == {table for (table,) in tables}
    wanted = {(table, right) for table, rights in RIGHTS[name].items() for right in rights.split()}
    assert wanted == set(may)
    assert [] == other
    assert [(False,)] == reaches_crypto


FORBIDDEN_TO_HOSTS = [
    *(f"SELECT * FROM totp.{table}" for table in TABLES),
    *(f"DELETE FROM totp.{table}" for table in TABLES),
    *(f"TRUNCATE totp.{table}" for table in TABLES),
    "INSERT INTO totp.users (name, status) VALUES ('eve', 'exempt')",
    "UPDATE totp.users SET failures = 0",
    "UPDATE totp.authenticators SET last_accepted_step = -1",
    "COPY totp.authenticators TO STDOUT",
    "BEGIN; LOCK TABLE totp.users IN ACCESS SHARE MODE",
    "SELECT totp.unseal('', '', '')",
    "SELECT totp.data_key('w', '')",
    "SELECT totp.decoy_key('')",
    "SELECT totp.open_data_key('')",
    "SELECT totp.open_secret('', '', 'alice', 'a', 'SHA1', 6, 30, 'totp')",
    "SELECT totp.rotate('', '')",
    "SELECT totp.add_host('', 'x', '', '{}', 1)",
    "SELECT totp.remove_host('w')",
    "SELECT totp.make_keys('')",
    "SELECT totp.matching_offsets('', '', 1, '{}', 'SHA1', 6)",
    "SELECT totp_crypto.hmac('', '', 'sha1')",
    "CREATE OR REPLACE FUNCTION totp.unix_time() RETURNS bigint RETURN 1",
    "CREATE FUNCTION public.f() RETURNS int RETURN 1",
    "CREATE TABLE public.t (a int)",
    "CREATE TEMP TABLE users (name text)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "CREATE EXTENSION dblink SCHEMA pg_catalog",
    "DO $$ BEGIN COMMIT; END $$",
    "DO LANGUAGE plpgsql 'BEGIN NULL; END'",
    "SET ROLE totp_owner",
    "SET ROLE totp_admin",
    "SET SESSION AUTHORIZATION postgres",
    "SET session_replication_role = replica",
    "SET log_min_messages = debug5",
    "SET log_statement = 'all'",
    "SET zero_damaged_pages = on",
    "LOAD 'auto_explain'",
    "ALTER ROLE totp_host SUPERUSER",
    "ALTER ROLE totp_owner LOGIN",
    "GRANT totp_owner TO totp_login",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_statistic",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "SELECT lo_create(0)",
    "SELECT lo_creat(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT pg_cancel_backend(1)",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
    "SELECT * FROM pg_locks",
    "SELECT * FROM pg_stat_user_tables",
    "SELECT * FROM pg_stat_xact_user_tables",
    "SELECT pg_current_wal_insert_lsn()",
    "SELECT pg_logical_emit_message(false, '', '')",
    "SELECT * FROM pg_replication_slots",
    "SELECT * FROM pg_control_checkpoint()",
    "SELECT pg_relation_size('totp.events')",
    "SELECT pg_reload_conf()",
    "SELECT pg_promote()",
    "SELECT pg_create_physical_replication_slot('x')",
]


@pytest.mark.usefixtures("alice")
def test_a_host_may_run_none_of_these(host: Host) -> None:
    allowed = []
    for statement in FORBIDDEN_TO_HOSTS:
        try:
            host.connection.execute(statement)
        except errors.InsufficientPrivilege:
            host.connection.rollback()
            continue
        allowed.append(statement)
    # Statistics are a view: of what they may not read, they see nothing.
    assert [] == allowed
    seen = host.connection.execute("SELECT count(*) FROM pg_stats WHERE schemaname = 'totp'")
    assert [(0,)] == seen.fetchall()


JUDGE = (
    "totp.judge(%(host)s, %(key)s, uuid_send(gen_random_uuid()), 'alice', %(code)s, NULL, NULL, "
    "false, 1, 'sshd', '', '', NULL)"
)
VERIFY = (
    "CALL totp.verify(%(host)s, %(key)s, uuid_send(gen_random_uuid()), 'alice', %(code)s, NULL, "
    "NULL, false, 1, 'sshd', '', '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
)
IN_A_TRANSACTION = [
    [f"SELECT {JUDGE}"],
    ["BEGIN", f"SELECT {JUDGE}"],
    ["BEGIN", "SAVEPOINT s", f"SELECT {JUDGE}"],
    ["BEGIN", VERIFY],
    ["BEGIN", f"DECLARE c CURSOR FOR SELECT {JUDGE}", "SELECT pg_sleep(0.01)", "FETCH c"],
    ["BEGIN ISOLATION LEVEL REPEATABLE READ", f"SELECT {JUDGE}"],
    [f"SELECT {JUDGE}; SELECT 1 / 0"],
    [f"{VERIFY}; SELECT 1 / 0"],
    [f"EXPLAIN ANALYZE SELECT {JUDGE}"],
    ["SET default_transaction_isolation = 'serializable'", VERIFY],
    ["SET default_transaction_isolation = 'repeatable read'", VERIFY],
]


def test_no_verdict_is_told_that_could_be_taken_back(
    database: Database, host: Host, alice: UserRecord
) -> None:
    client = psycopg.ClientCursor(host.connection)
    values = {"host": host.name, "key": host.key, "code": code_now()}
    for statements in IN_A_TRANSACTION:
        *before, last = statements
        for statement in before:
            client.execute(statement, values)
        with pytest.raises((errors.InsufficientPrivilege, errors.InvalidTransactionTermination)):
            client.execute(last, values)
        client.execute("ROLLBACK")
    with database.connect() as owner:
        assert alice.failures == stored(owner, "alice").failures
        assert -1 == stored(owner, "alice").authenticators[0].last_accepted_step


HELD = (
    *(
        "admission(%(host)s, %(key)s, 'alice', '', NULL)",
        "have_told(%(host)s, %(key)s, 'alice', 0)",
    ),
    """merge_offline(%(host)s, %(key)s, '[{"number": 1, "user": "alice"}]', NULL)""",
    """enroll_first(%(host)s, %(key)s, %(zeros)s, 'alice', NULL, 'x',
        'SHA1', 6, 30, %(zeros)s, 0, %(zeros)s, '{}', NULL)""",
    "join(%(host)s, %(key)s, %(key)s)",
)
BEHIND = (
    *("look_up(%(host)s, %(key)s, 'alice', '')", "take_told(%(host)s, %(key)s, 'alice', 0)"),
    *("take_report(%(host)s, %(key)s, '[]')", "take_token(%(host)s, %(key)s, %(key)s)"),
    """keep_first(%(host)s, %(key)s, %(zeros)s, 'alice', NULL, 'x',
        'SHA1', 6, 30, %(zeros)s, 0, %(zeros)s, '{}')""",
    """look_beyond(%(host)s, %(key)s, %(zeros)s, 'alice', '123456', false, 1,
        ROW('rejected', '', 0, 0, 0, false, NULL, false)::totp.verdict)""",
)


@pytest.mark.usefixtures("alice")
def test_a_host_locks_no_row_for_longer_than_a_call(database: Database, host: Host) -> None:
    """Not even its own: it could not be removed."""
    database.execute("UPDATE totp.hosts SET last_seen_at = 0")
    database.execute("UPDATE totp.users SET untold = 5")
    database.execute("UPDATE totp.policy SET first_enrollment = true")
    values = {"host": host.name, "key": host.key, "zeros": bytes(16)}
    client = psycopg.ClientCursor(host.connection)
    refused = (errors.InsufficientPrivilege, errors.InvalidTransactionTermination)
    statements = [f"CALL totp.{call}" for call in HELD] + [f"SELECT totp.{call}" for call in BEHIND]
    for statement in statements:
        client.execute("BEGIN")
        with pytest.raises(refused):
            client.execute(statement, values)
        client.execute("ROLLBACK")
    for call in BEHIND:
        with pytest.raises(refused):
            client.execute(f"SELECT totp.{call}", values)


@pytest.mark.usefixtures("alice")
def test_a_host_hears_of_a_lock_before_it_takes_the_database_for_silent(
    database: Database, host: Host
) -> None:
    with database.connect("test_helpdesk") as helpdesk:
        helpdesk.execute("BEGIN")
        helpdesk.execute("LOCK TABLE totp.users")
        since = time.monotonic()
        with pytest.raises(errors.LockNotAvailable):
            host.verify("alice", wrong_code())
        with pytest.raises(errors.LockNotAvailable):
            host.ask("admission", "alice", "")
        assert 2 * AWAY_PATIENCE > time.monotonic() - since
        helpdesk.execute("ROLLBACK")


@pytest.mark.usefixtures("alice")
def test_a_report_locks_nobody_whose_codes_the_host_was_not_given(
    database: Database, host: Host
) -> None:
    with database.connect() as owner, owner.transaction():
        owner.execute("SELECT FROM totp.users FOR UPDATE")
        assert 1 == host.ask("merge_offline", '[{"number": 1, "user": "alice"}]')


def test_a_wrong_code_is_counted_after_as_much_work_as_a_right_one(
    database: Database, host: Host, alice: UserRecord
) -> None:
    """Else whoever cancels between the two is told of right ones, and wrong ones do not count."""
    database.execute(
        "CREATE SEQUENCE totp.looked; ALTER SEQUENCE totp.looked OWNER TO totp_owner;"
        "CREATE SEQUENCE totp.written; ALTER SEQUENCE totp.written OWNER TO totp_owner;"
        "ALTER FUNCTION totp.matching_offsets RENAME TO offsets_that_match;"
        "CREATE FUNCTION totp.matching_offsets(text, bytea, bigint, int[], text, int) "
        "RETURNS int[] LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM setval('totp.looked', nextval('totp.looked') + cardinality($4)); "
        "RETURN totp.offsets_that_match($1, $2, $3, $4, $5, $6); END $$;"
        "GRANT EXECUTE ON FUNCTION totp.matching_offsets TO totp_owner;"
        "CREATE FUNCTION totp.note_work() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM setval('totp.written', last_value) FROM totp.looked; RETURN NEW; END $$;"
        "GRANT EXECUTE ON FUNCTION totp.note_work TO totp_owner;"
        "CREATE TRIGGER note_work BEFORE UPDATE ON totp.users "
        "FOR EACH ROW EXECUTE FUNCTION totp.note_work()"
    )
    work = []
    for code in (wrong_code(), code_now()):
        database.execute("SELECT setval('totp.looked', 1)")
        host.verify(alice.name, code)
        work.append(database.execute("SELECT last_value FROM totp.written"))
    assert work[0] == work[1]


def test_a_request_that_is_repeated_tells_of_no_other_code(
    database: Database, host: Host, alice: UserRecord
) -> None:
    """Else a code of later could be found before its time, and nothing would be counted."""
    request = bytes(16)
    told = host.verify(alice.name, wrong_code(), request=request)
    assert told == host.verify(alice.name, code_now(+10), request=request)
    with database.connect() as owner:
        record = stored(owner, alice.name)
    assert (alice.failures + 1, 0) == (record.failures, record.authenticators[0].clock_offset)
    assert host.verify(alice.name, code_now(+10)).clock_offset in (9, 10)


def test_what_a_pipeline_judges_is_kept_whatever_fails_after_it(
    database: Database, host: Host, alice: UserRecord
) -> None:
    values = {"host": host.name, "key": host.key, "code": code_now()}

    def ask() -> None:
        with host.connection.pipeline():
            host.connection.execute(VERIFY, values)
            host.connection.execute("SELECT 1 / 0")

    with pytest.raises(errors.DivisionByZero):
        ask()
    with database.connect() as owner:
        assert -1 < stored(owner, "alice").authenticators[0].last_accepted_step


def test_a_question_that_is_canceled_tells_nothing_of_its_verdict(
    database: Database, host: Host, alice: UserRecord
) -> None:
    database.execute(
        "CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(20); RETURN NEW; END $$; "
        "GRANT USAGE ON SCHEMA public TO totp_owner; "
        "CREATE TRIGGER wait BEFORE UPDATE ON totp.authenticators "
        "FOR EACH ROW EXECUTE FUNCTION public.wait(); "
        "CREATE TRIGGER wait BEFORE UPDATE ON totp.users "
        "FOR EACH ROW EXECUTE FUNCTION public.wait()"
    )
    host.connection.execute("SET statement_timeout = 200")
    said = []
    for code in (code_now(), wrong_code()):
        with pytest.raises(errors.QueryCanceled) as raised:
            host.verify("alice", code)
        said.append((str(raised.value), raised.value.diag.context))
    assert said[0] == said[1]


def test_only_a_host_that_has_joined_is_told_anything(
    database: Database, host: Host, alice: UserRecord
) -> None:
    def refused(key: bytes, name: str = host.name) -> bool:
        asked = Host.__new__(Host)
        asked.name, asked.key, asked.connection = name, key, host.connection
        for ask in (
            lambda: asked.verify("alice", wrong_code()),
            lambda: asked.ask("admission", "alice", ""),
            lambda: asked.ask("codes_ahead", ["alice"]),
            lambda: asked.ask("merge_offline", "[]"),
        ):
            with pytest.raises(psycopg.Error) as raised:
                ask()
            assert "TP001" == raised.value.sqlstate
        return True

    other = Host(database, "x")
    other.close()
    assert refused(other.key)
    assert refused(bytes(32))
    assert refused(b"")
    assert refused(host.key, "nowhere")
    token = bytes(range(32))
    database.execute(
        "SELECT totp.add_host(%s, 'y', %s, '{*}', 60)", (ADMIN_KEY, token), user="test_admin"
    )
    assert refused(token, "y")
    database.execute("SELECT totp.remove_host('w')", user="test_admin")
    assert refused(host.key)


def test_a_token_joins_one_host_once_and_in_time(database: Database) -> None:
    token, key = bytes(range(32)), bytes(32)
    join = "CALL totp.join(%s, %s, %s)"

    def add(name: str, seconds: int) -> None:
        statement = "SELECT totp.add_host(%s, %s, %s, '{*}', %s)"
        database.execute(statement, (ADMIN_KEY, name, token, seconds), user="test_admin")

    add("x", 60)
    add("late", 0)
    for name, one_time_key in (("x", key), ("late", token), ("nowhere", token)):
        with pytest.raises(psycopg.Error, match="was used, has expired"):
            database.execute(join, (name, one_time_key, key), user="totp_login")
    database.execute(join, ("x", token, key), user="totp_login")
    with pytest.raises(psycopg.Error, match="was used, has expired"):
        database.execute(join, ("x", token, bytes(32)), user="totp_login")


def test_of_two_who_add_a_host_at_once_one_is_told(database: Database) -> None:
    """Both tokens would look good, and one of them would not be."""
    waits = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE usename = 'test_admin' AND wait_event_type = 'Lock'"
    )
    with (
        database.connect("test_admin") as first,
        closing(open_fleet(socket_url(database), ADMINISTRATOR, "the file")) as second,
        ThreadPoolExecutor(1) as threads,
    ):
        with first.transaction():
            added = "SELECT totp.add_host(%s, 'x', %s, '{*}', 60)"
            first.execute(added, (ADMIN_KEY, bytes(32)))
            call = threads.submit(Administration(second, ADMIN_KEY).add_host, "x", ["*"], 60)
            while database.execute(waits) == [(0,)]:
                assert not call.done(), call.exception()
        error = call.exception()
    assert isinstance(error, StoreRefused)
    assert "somebody else has added this host at the same time" in str(error)


def test_users_of_other_hosts_are_unknown_to_a_host(database: Database, alice: UserRecord) -> None:
    database.execute("UPDATE totp.users SET groups = '{web}'")
    web, db = Host(database, "w", "{web}"), Host(database, "d", "{db}")
    assert None is db.ask("admission", "alice", "")["record"]
    assert "rejected" == db.verify("alice", code_now()).outcome
    assert "active" == web.ask("admission", "alice", "")["record"]["status"]
    with database.connect() as owner:
        assert 2 == stored(owner, "alice").failures
    assert "accepted" == web.verify("alice", code_now()).outcome
    web.close()
    db.close()


def test_a_demanded_standby_that_is_not_configured_refuses(
    database: Database, host: Host, alice: UserRecord
) -> None:
    database.execute("UPDATE totp.policy SET require_standby = true", user="test_admin")
    with pytest.raises(psycopg.Error) as raised:
        host.verify("alice", code_now())
    assert "TP002" == raised.value.sqlstate


def test_a_host_cannot_have_its_verdicts_committed_without_the_disk(
    database: Database, host: Host, alice: UserRecord
) -> None:
    database.execute(
        "CREATE TABLE public.seen AS SELECT ''::text AS setting; "
        "GRANT INSERT ON public.seen TO totp_owner; GRANT USAGE ON SCHEMA public TO totp_owner; "
        "CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
        "$$ BEGIN INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); "
        "RETURN NULL; END $$; "
        "CREATE CONSTRAINT TRIGGER see AFTER INSERT ON totp.events DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION public.see()"
    )
    for setting in ("off", "local", "remote_write", "remote_apply"):
        host.connection.execute(f"SET synchronous_commit = {setting}")
        host.verify("alice", wrong_code())
    found = database.execute("SELECT setting FROM public.seen WHERE setting <> ''")
    assert ["on", "on", "on", "remote_apply"] == [setting for (setting,) in found]


@pytest.mark.parametrize(
    ("of_host", "of_user"),
    [("{web,db}", ["web", "db"]), ("{web,*}", ["web"]), ("{*}", ["*"]), ("{}", ["*"])],
)
def test_a_first_enrollment_lets_nobody_in_on_hosts_of_other_groups(
    database: Database, of_host: str, of_user: list[str]
) -> None:
    database.execute("UPDATE totp.policy SET first_enrollment = true", user="test_admin")
    host = Host(database, "w", of_host)
    assert host.ask(
        "enroll_first", bytes(16), "carol", None, "phone", "SHA1", 6, 30, SECRET, 5, bytes(16), []
    )
    host.close()
    assert [(of_user,)] == database.execute("SELECT groups FROM totp.users WHERE name = 'carol'")


def test_a_first_enrollment_is_for_the_policy_to_allow_and_for_whoever_is_first(
    database: Database, host: Host
) -> None:
    def enroll(user: str, before: str | None, request: bytes) -> object:
        return host.ask(
            "enroll_first", request, user, before, "phone", "SHA1", 6, 30, SECRET, 5,
            bytes(16), [bytes(32), bytes([1] * 32)],
        )  # fmt: skip

    with pytest.raises(psycopg.Error) as raised:
        enroll("alice", None, bytes(16))
    assert "TP004" == raised.value.sqlstate
    database.execute("UPDATE totp.policy SET first_enrollment = true", user="test_admin")
    assert enroll("alice", None, bytes(16))
    assert enroll("alice", None, bytes(16)), "the same request, asked again"
    assert not enroll("alice", None, bytes([1] * 16))
    with database.connect() as owner:
        insert(owner, [UserRecord("bob", status="must_enroll", failures=3, untold=3)])
        before = Jsonb(host.ask("admission", "bob", "")["record"])
        assert not enroll("bob", Jsonb({"status": "must_enroll"}), bytes(16))
        assert enroll("bob", before, bytes(16))
        bob = stored(owner, "bob")
    assert ("active", 0, 3, bytes(16), 2) == (
        *(bob.status, bob.failures, bob.untold, bob.recovery_salt),
        len(bob.recovery_digests),
    )
    assert 5 == bob.authenticators[0].last_accepted_step
    assert "accepted" == host.verify("bob", code_now()).outcome


UNTOUCHED = [
    "UPDATE totp.users SET status = 'exempt'",
    "UPDATE totp.users SET status = 'active', exempt_until = 0 WHERE name = 'mallory'",
    "UPDATE totp.users SET exempt_until = 2000000000 WHERE name = 'eve'",
    "UPDATE totp.users SET recovery_salt = NULL WHERE name = 'suspended'",
    "UPDATE totp.users SET groups = '{*}'",
    "UPDATE totp.users SET untold = 0",
    "UPDATE totp.users SET uid = 0",
    "UPDATE totp.users SET name = 'mallory2' WHERE name = 'mallory'",
    "UPDATE totp.users SET failures = 7",
    "UPDATE totp.users SET last_request = NULL",
    "UPDATE totp.users SET status = 'active' WHERE name = 'nothing'",
    "UPDATE totp.authenticators SET last_accepted_step = -1",
    "UPDATE totp.authenticators SET sealed_secret = ''",
    "UPDATE totp.authenticators SET drift = 1",
    "UPDATE totp.policy SET code_window = 9",
    "SELECT sealed_secret FROM totp.authenticators",
    "SELECT * FROM totp.meta",
    "SELECT * FROM totp.events",
    "SELECT * FROM totp.hosts",
    "INSERT INTO totp.users (name, status) VALUES ('x', 'exempt')",
    "DELETE FROM totp.users",
    "DELETE FROM totp.recovery_codes",
    "ALTER TABLE totp.users DISABLE TRIGGER ALL",
    "SET session_replication_role = replica",
    "UPDATE totp.users SET failures = -1",
    "UPDATE totp.users SET throttled_until = -9223372036854775808",
    "UPDATE totp.users SET guesses_until = -9223372036854775808",
    "UPDATE totp.authenticators SET learned = 60",
    "UPDATE totp.users SET known_places = NULL",
    *(
        f"UPDATE totp.users SET known_places = ARRAY[{', '.join(places)}]::totp.place[] "
        "WHERE name = 'eve'"
        for places in (
            ["ROW('192.0.2.9', 5, 0, 0, 0)"],
            ["ROW('192.0.2.7', 6, 0, 0, 0)"],
            ["ROW('192.0.2.7', 5, 10, 0, 0)"],
            ["ROW('192.0.2.7', 5, -1, 0, 0)"],
            ["ROW('192.0.2.7', 5, NULL, 0, 0)"],
            ["ROW('192.0.2.7', 5, 0, 10, 0)"],
            ["ROW('192.0.2.7', 5, 0, 0, 10)"],
            ["NULL"],
            ["ROW('192.0.2.7', 5, 0, 0, 0)", "ROW('192.0.2.9', 5, 0, 0, 0)"],
        )
    ),
    "UPDATE totp.users SET known_places = ARRAY[ROW('192.0.2.7', 5, 0, 0, 0)]::totp.place[] "
    "WHERE name = 'mallory'",
    *(
        f"UPDATE totp.users SET remembered = {places} WHERE name = 'eve'"
        for places in (
            "NULL",
            "ARRAY[ROW('sshd', 'address', '192.0.2.9', 5, 9, '-', 'w')]::totp.remembered[]",
            "ARRAY[ROW('sshd', 'address', '192.0.2.7', 5, 10, '-', 'w')]::totp.remembered[]",
            "remembered || remembered",
        )
    ),
]


def test_the_help_desk_unlocks_suspends_and_resumes_and_nothing_else(database: Database) -> None:
    used = Authenticator("u", "phone", SECRET, last_accepted_step=int(time.time()) // 30)
    ahead = used._replace(id="f", last_accepted_step=used.last_accepted_step + 1000)
    with database.connect() as owner, database.connect("test_helpdesk") as helpdesk:
        records = [
            UserRecord(
                "eve",
                failures=9,
                untold=9,
                guesses_until=9,
                authenticators=(used,),
                uid=7,
                known_places=(KnownPlace("192.0.2.7", 5, 9, 9, 9),),
                remembered=(Remembered("sshd", "address", "192.0.2.7", 5, 9, "-", "w"),),
            ),
            UserRecord("mallory", status="exempt", exempt_until=2_000_000_000, uid=8),
            UserRecord("nothing", status="suspended", recovery_salt=bytes(16)),
        ]
        insert(owner, records)
        owner.execute("UPDATE totp.users SET groups = '{web}', last_request = ''")
        for statement in UNTOUCHED:
            with pytest.raises((errors.InsufficientPrivilege, errors.UniqueViolation)):
                helpdesk.execute(statement.replace("'suspended'", "'nothing'"))
        insert(owner, [UserRecord("future", failures=100, authenticators=(ahead,))])
        unlock = (
            "UPDATE totp.users SET failures = 0, throttled_until = 0, guesses_until = 0, "
            "updated_at = 5 WHERE name = %s"
        )
        helpdesk.execute(unlock, ("eve",))
        for left in ("ARRAY[ROW('192.0.2.7', 5, 0, 0, 0)]", "'{}'"):
            helpdesk.execute(
                f"UPDATE totp.users SET known_places = {left}::totp.place[] WHERE name = 'eve'"
            )
        helpdesk.execute("UPDATE totp.users SET remembered = '{}' WHERE name = 'eve'")
        helpdesk.execute(unlock, ("future",))
        brought_back = (
            "UPDATE totp.authenticators SET last_accepted_step = totp.unix_time() / 30 + %s "
            "WHERE id = 'f'"
        )
        with pytest.raises(errors.InsufficientPrivilege):
            helpdesk.execute(brought_back, (-1,))
        owner.execute("UPDATE totp.authenticators SET learned = 300 WHERE id = 'f'")
        with pytest.raises(errors.InsufficientPrivilege):
            helpdesk.execute(brought_back, (10,))
        helpdesk.execute(brought_back, (11,))
        token = used._replace(id="t", kind=otp.HOTP, last_accepted_step=10**9)
        insert(owner, [UserRecord("holder", authenticators=(token,))])
        with pytest.raises(errors.InsufficientPrivilege):
            helpdesk.execute(
                "UPDATE totp.authenticators SET last_accepted_step = 999999999 WHERE id = 't'"
            )
        suspend = "UPDATE totp.users SET status = 'suspended', exempt_until = 0 WHERE name = %s"
        resume = "UPDATE totp.users SET status = %s WHERE name = %s"
        for name, status in (("eve", "active"), ("nothing", "must_enroll")):
            helpdesk.execute(suspend, (name,))
            helpdesk.execute(resume, (status, name))
            assert status == stored(owner, name).status
        assert 0 == stored(owner, "eve").failures
        noted = owner.execute(
            "SELECT user_name, event FROM totp.events WHERE rhost LIKE 'test_helpdesk@%' "
            "ORDER BY id"
        ).fetchall()
    assert [
        ("eve", "failures_changed"), *[("eve", "places_changed")] * 3,
        ("future", "failures_changed"), ("future", "authenticator_changed"),
        ("eve", "status_suspended"), ("eve", "status_active"), ("nothing", "status_must_enroll"),
    ] == noted  # fmt: skip


@pytest.mark.usefixtures("alice")
def test_administrators_see_no_key_and_say_of_no_step_that_it_was_accepted(
    database: Database,
) -> None:
    with database.connect("test_admin") as admin:
        for statement in (
            "SELECT * FROM totp.meta",
            "SELECT wrapped_key FROM totp.hosts",
            "SELECT sealed_key FROM totp.hosts",
            "UPDATE totp.hosts SET joined_at = 1",
            "INSERT INTO totp.events (host, user_name, event, service, rhost, step) "
            "VALUES ('w', 'eve', 'accepted', '', '', 1)",
            "DELETE FROM totp.events",
            "SELECT totp.make_keys('')",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                admin.execute(statement)
        with pytest.raises(psycopg.Error) as raised:
            admin.execute("SELECT totp.rotate(%s, %s)", (bytes(32), bytes(32)))
        assert "TP001" == raised.value.sqlstate


ODD_NAMES = ["user", "current_user", 'a"b', "a'b", "a\\b", "$1", "%s", "ALICE", "Ω", "a;--", "*"]


def test_a_name_is_a_name(database: Database, host: Host, alice: UserRecord) -> None:
    secret = b"another secret of 20"
    with database.connect() as owner:
        for name in ODD_NAMES:
            held = Authenticator(f"of {name}", name, secret)
            insert(owner, [UserRecord(name, failures=1, authenticators=(held,))])
            assert 1 == host.ask("admission", name, "")["record"]["failures"]
            assert ("accepted", name) == host.verify(name, code_now(secret=secret))[:2]
        assert without_secrets(alice) == stored(owner, "alice")


SHADOWS = """
CREATE SCHEMA shadows;
GRANT USAGE ON SCHEMA shadows TO PUBLIC;
CREATE FUNCTION shadows.yes(a text, b text) RETURNS boolean IMMUTABLE RETURN true;
CREATE FUNCTION shadows.yes(a bytea, b bytea) RETURNS boolean IMMUTABLE RETURN true;
CREATE FUNCTION shadows.yes(a int, b int) RETURNS boolean IMMUTABLE RETURN true;
CREATE FUNCTION shadows.yes(a timestamptz, b timestamptz) RETURNS boolean IMMUTABLE RETURN false;
CREATE OPERATOR shadows.= (LEFTARG = text, RIGHTARG = text, FUNCTION = shadows.yes);
CREATE OPERATOR shadows.= (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = shadows.yes);
CREATE OPERATOR shadows.= (LEFTARG = int, RIGHTARG = int, FUNCTION = shadows.yes);
CREATE OPERATOR shadows.<= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = shadows.yes);
CREATE FUNCTION shadows.now() RETURNS timestamptz RETURN 'infinity'::timestamptz;
CREATE FUNCTION shadows.clock_timestamp() RETURNS timestamptz RETURN 'epoch'::timestamptz;
CREATE FUNCTION shadows.octet_length(bytea) RETURNS int RETURN 16;
CREATE FUNCTION shadows.substring(bytea, int, int) RETURNS bytea RETURN ''::bytea;
CREATE FUNCTION shadows.current_setting(text) RETURNS text RETURN 'on'::text;
CREATE FUNCTION shadows.coalesce(a text, b text) RETURNS text RETURN 'x'::text;
CREATE TABLE shadows.users AS SELECT * FROM totp.users;
CREATE TABLE shadows.hosts AS SELECT * FROM totp.hosts;
CREATE TABLE shadows.policy AS SELECT * FROM totp.policy;
GRANT SELECT ON ALL TABLES IN SCHEMA shadows TO PUBLIC;
"""


@pytest.mark.parametrize("path", ["shadows, pg_catalog, totp", "pg_temp, shadows, totp"])
def test_what_a_caller_puts_before_the_names_of_functions_changes_nothing(
    database: Database, host: Host, alice: UserRecord, path: str
) -> None:
    """A host may make none of this: here somebody else did, and left it to everybody."""
    database.execute(SHADOWS)
    with database.connect() as owner:
        owner.execute(f"GRANT TEMPORARY ON DATABASE {database.name} TO PUBLIC")
    host.connection.execute("CREATE TEMP TABLE policy AS SELECT 100 AS code_window")
    host.connection.execute("CREATE TEMP TABLE hosts (name text, wrapped_key bytea)")
    host.connection.execute(f"SET search_path = {path}")
    stranger = Host.__new__(Host)
    stranger.name, stranger.key, stranger.connection = host.name, bytes(32), host.connection
    with pytest.raises(psycopg.Error) as raised:
        stranger.verify("alice", code_now())
    assert "TP001" == raised.value.sqlstate
    with pytest.raises(errors.InsufficientPrivilege):
        host.connection.execute(
            f"SELECT {JUDGE}", {"host": host.name, "key": host.key, "code": code_now()}
        )
    assert "rejected" == host.verify("alice", wrong_code()).outcome
    assert "rejected" == host.verify("bob", code_now()).outcome
    assert None is host.ask("admission", "bob", "")["record"]
    code = code_now()
    assert ["accepted", "replayed"] == [host.verify("alice", code).outcome for _ in range(2)]
