"""Many hosts at once: a code is accepted once, and the key is rotated while people log in."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from pam_totp.core import otp
from pam_totp.core.users import Authenticator, UserRecord
from pam_totp.core.verifier import RECOVERY_CODE, Answer
from tests.fleet.asking import Host, insert, stored
from tests.support.place import SECRET
from tests.support.postgres import ADMIN_KEY, Database

NOW = 1_800_000_000
HOSTS, CONNECTIONS = 4, 40


@pytest.fixture
def hosts(database: Database) -> Iterator[list[Host]]:
    database.stop_clock(NOW)
    hosts = [Host(database, name) for name in "abcd"[:HOSTS]]
    yield hosts
    for host in hosts:
        host.close()


def outcomes(
    database: Database, count: int, ask: Callable[[int, psycopg.Connection], str]
) -> Counter[str]:
    """Have ``count`` threads ask at the same moment, each by a connection of its own."""
    start = threading.Barrier(count)

    def run(number: int) -> str:
        with database.connect("totp_login") as connection:
            start.wait()
            return ask(number, connection)

    with ThreadPoolExecutor(count) as threads:
        return Counter(threads.map(run, range(count)))


def test_of_forty_connections_with_one_code_one_is_accepted(
    database: Database, hosts: list[Host]
) -> None:
    digest, salt = bytes(32), bytes(16)
    with database.connect() as owner:
        phone = Authenticator("a", "phone", SECRET)
        alice = UserRecord("alice", authenticators=(phone, phone._replace(id="b", label="b")))
        insert(owner, [alice.with_recovery_codes(salt, frozenset((digest, bytes([1] * 32))))])
        answers = {
            "accepted": (otp.hotp(SECRET, NOW // 30), "replayed"),
            "recovery_used": (Answer(RECOVERY_CODE, "X" * 16, salt, digest), "rejected"),
        }
        for once, (answer, others) in answers.items():
            owner.execute("UPDATE totp.policy SET throttle_after = 1000, max_failures = 1000")
            found = outcomes(
                database,
                CONNECTIONS,
                lambda number, connection, answer=answer: (
                    hosts[number % HOSTS].verify("alice", answer, connection=connection).outcome
                ),
            )
            assert {once: 1, others: CONNECTIONS - 1} == found
        after = stored(owner, "alice")
        events = owner.execute(
            "SELECT count(*), count(DISTINCT host) FROM totp.events "
            "WHERE user_name = 'alice' AND service <> 'database'"
        ).fetchall()
    assert {NOW // 30} == {a.last_accepted_step for a in after.authenticators}
    assert (CONNECTIONS - 1, 1) == (after.failures, len(after.recovery_digests))
    assert [(2 * CONNECTIONS, HOSTS)] == events


def test_of_forty_connections_with_codes_of_a_counter_each_is_accepted_once_and_in_order(
    database: Database, hosts: list[Host]
) -> None:
    token = Authenticator("t", "token", SECRET, kind=otp.HOTP, last_accepted_step=9)
    with database.connect() as owner:
        insert(owner, [UserRecord("alice", authenticators=(token,))])
        owner.execute("UPDATE totp.policy SET throttle_after = 1000, max_failures = 1000")
        found = outcomes(
            database,
            CONNECTIONS,
            lambda number, connection: (
                hosts[number % HOSTS]
                .verify("alice", otp.hotp(SECRET, 10 + number % 5), connection=connection)
                .outcome
            ),
        )
        accepted = owner.execute(
            "SELECT step FROM totp.events WHERE event = 'accepted' ORDER BY id"
        ).fetchall()
        after = stored(owner, "alice")
    assert 1 <= found["accepted"] <= 5
    assert found["accepted"] == len(accepted) == len(set(accepted))
    assert sorted(accepted) == accepted
    assert [15] == [a.counter for a in after.authenticators]
    assert found["rejected"] == after.untold


def test_a_request_that_is_asked_again_has_the_same_verdict_and_one_event(
    database: Database, hosts: list[Host]
) -> None:
    with database.connect() as owner:
        insert(owner, [UserRecord("alice", authenticators=(Authenticator("a", "phone", SECRET),))])
    for user, code in (("alice", otp.hotp(SECRET, NOW // 30)), ("nobody", "123456")):
        request = os.urandom(16)
        asked = [hosts[0].verify(user, code, request=request) for _ in range(2)]
        at_once = outcomes(
            database,
            8,
            lambda _, connection, user=user, code=code, request=request: str(
                hosts[0].verify(user, code, request=request, connection=connection)
            ),
        )
        assert {str(asked[0]): 8} == at_once
        assert asked[0] == asked[1]
        count = database.execute(
            "SELECT count(*) FROM totp.events WHERE user_name = %s AND service <> 'database'",
            (user,),
        )
        assert [(1,)] == count


def test_the_key_is_rotated_while_people_log_in_and_are_enrolled(
    database: Database, hosts: list[Host]
) -> None:
    people = [f"user {number}" for number in range(160)]
    code = otp.hotp(SECRET, NOW // 30)
    with database.connect() as owner:
        with owner.transaction():
            insert(
                owner,
                [
                    UserRecord(name, authenticators=(Authenticator(name, "phone", SECRET),))
                    for name in people
                ],
            )

        def ask(number: int, connection: psycopg.Connection) -> str:
            if number == 0:
                return rotated(database)
            if number == 1:
                return enrolled(database)
            mine = people[number - 2 :: 8]
            host = hosts[number % HOSTS]
            return " ".join(
                {host.verify(name, code, connection=connection).outcome for name in mine}
            )

        assert {"rotated": 1, "enrolled": 1, "accepted": 8} == outcomes(database, 10, ask)
        sealed_by = owner.execute(
            "SELECT count(DISTINCT substring(sealed_secret FROM 2 FOR 4)), count(*) "
            "FROM totp.authenticators"
        ).fetchall()
        assert [(1, len(people) + 40)] == sealed_by
    assert "accepted" == hosts[0].verify("new 39", code).outcome
    assert "rejected" == hosts[0].verify("nobody", code).outcome


def rotated(database: Database) -> str:
    with database.connect("test_admin") as admin:
        for number in range(5):
            admin.execute("SELECT totp.rotate(%s, %s)", (ADMIN_KEY, bytes([number] * 32)))
    return "rotated"


def enrolled(database: Database) -> str:
    with database.connect("test_admin") as admin:
        for number in range(40):
            name = f"new {number}"
            insert(admin, [UserRecord(name, authenticators=(Authenticator(name, "p", SECRET),))])
    return "enrolled"


def test_a_key_that_is_rotated_while_a_login_waits_for_its_row_is_read_again(
    database: Database, hosts: list[Host]
) -> None:
    with database.connect() as owner, ThreadPoolExecutor(1) as thread:
        insert(owner, [UserRecord("alice", authenticators=(Authenticator("a", "phone", SECRET),))])
        with owner.transaction():
            owner.execute("SELECT FROM totp.users FOR UPDATE")
            verdict = thread.submit(hosts[0].verify, "alice", otp.hotp(SECRET, NOW // 30))
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while database.execute(waiting) != [(1,)]:
                assert not verdict.done()
            rotated(database)
        assert "accepted" == verdict.result(30).outcome


def test_the_key_is_not_rotated_between_the_sealing_of_something_and_its_commit(
    database: Database, hosts: list[Host]
) -> None:
    database.execute("UPDATE totp.policy SET first_enrollment = true")
    database.execute(  # what hosts call commits; here it is to wait
        "CREATE OR REPLACE FUNCTION totp.refuse_in_transaction() RETURNS void LANGUAGE sql AS ''"
    )
    token = bytes(32)
    database.execute("SELECT totp.add_host(%s, 'new', %s, '{}', 60)", (ADMIN_KEY, token))
    host = hosts[0]
    sealing = {
        "SELECT totp.seal_secret(%s, '', 'alice', 'a', 'SHA1', 6, 30, 'totp')": (ADMIN_KEY,),
        "SELECT totp.add_host(%s, 'newer', %s, '{}', 60)": (ADMIN_KEY, token),
        "SELECT totp.take_token('new', %s, %s)": (token, token),
        "SELECT totp.keep_first(%s, %s, %s, 'eve', NULL, 'phone', 'SHA1', 6, 30, %s, 1, %s, "
        "'{}')": (host.name, host.key, bytes(16), SECRET, bytes(16)),
    }
    with database.connect() as rotating, database.connect() as owner:
        rotating.execute("SET lock_timeout = 50")
        for statement, values in sealing.items():
            with owner.transaction(force_rollback=True):
                owner.execute(statement, values)
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    rotating.execute("SELECT totp.rotate(%s, %s)", (ADMIN_KEY, bytes(32)))
        rotating.execute("SELECT totp.rotate(%s, %s)", (ADMIN_KEY, bytes(32)))
