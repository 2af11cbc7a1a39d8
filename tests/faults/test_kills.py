"""kill -9 at every step of what writes to the store, one step after the other.

A process is killed on entering a system call, so between two of them everything is tried that
can be found on the disk; by night at every call, else at those that change what is found.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp import store
from pam_totp.core.users import UserRecord
from pam_totp.login.flow import PAM_AUTH_ERR, PAM_SUCCESS
from pam_totp.store.sqlite import reserve, schema
from tests.faults.fake_pam import Clock, log_in
from tests.faults.processes import Meet, Waiting
from tests.faults.tracing import kills, traced
from tests.support.logs import LogSocket
from tests.support.place import Place

RECOVERY_CODE = "0123-4567-89AB-CDEF"
BOBS_SECRET = b"the secret of bob..."


@pytest.fixture
def folder(place: Place, clock: Clock) -> Path:
    """The folder of a store with alice and bob, whose every module has been imported."""
    place.enrol("alice", recovery_codes=(RECOVERY_CODE,))
    place.enrol("bob", BOBS_SECRET)
    assert PAM_AUTH_ERR == log_in(place, "8888-8888-8888-8888", "bob")
    return place.store_path.parent


def whole_record(place: Place, user: str) -> UserRecord | None:
    with place.open() as opened:
        assert [] == opened.check()
        with opened.transaction(user) as transaction:
            return transaction.record


def leave_a_log_behind(place: Place) -> None:
    """Let a process die with a commit of bob's that only the write-ahead log holds."""

    def die(pause: Meet) -> None:
        with place.open() as opened:
            with opened.transaction("bob") as transaction:
                assert transaction.record is not None
                transaction.save(transaction.record._replace(failures=4))
            pause()

    with Waiting(die):
        pass
    assert place.store_path.with_name("store.db-wal").stat().st_size > 0


@pytest.mark.parametrize(
    ("kind", "left_behind"),
    [("code", "nothing"), ("recovery code", "nothing"), ("code", "a log")],
)
def test_a_login_killed_at_any_step_uses_its_code_up_or_leaves_it_whole(
    place: Place,
    folder: Path,
    clock: Clock,
    news: Callable[[], list[str]],
    kind: str,
    left_behind: str,
) -> None:
    """After nothing but clean logins, and after one that was killed and left its log."""
    code = clock.code() if kind == "code" else RECOVERY_CODE
    before, after = whole_record(place, "alice"), None
    if left_behind == "a log":
        leave_a_log_behind(place)

    def log_alice_in(pause: Meet) -> int:
        def typing() -> Iterator[str]:
            if left_behind == "nothing":
                pause()
            yield code

        if left_behind == "a log":
            pause()  # the login finds the log as soon as it looks alice up
        return log_in(place, typing())

    start, states = clock.now, Counter()
    for result, killed in kills(folder, log_alice_in):
        accepted = any("accepted" in line or "recovery_used" in line for line in news())
        record = whole_record(place, "alice")
        if not killed:
            after = record
            assert (PAM_SUCCESS, True) == (result, accepted)
            assert before != after
        assert record in (before, after)
        used_up = record == after
        assert used_up or not accepted
        states[used_up] += 1
        assert (PAM_AUTH_ERR if used_up else PAM_SUCCESS) == log_in(place, code)
        news()
        clock.now += 30
        assert PAM_SUCCESS == log_in(place, clock.code())
        assert PAM_SUCCESS == log_in(place, clock.code(0, BOBS_SECRET), "bob")
        news()
        clock.now = start
        with place.open() as opened:
            assert [] == opened.check()
    assert states[True] > 5, "no kill came after the commit"
    assert states[False] > 5, "no kill came before the commit"


def test_an_enrolment_killed_at_any_step_is_whole_or_absent(place: Place, folder: Path) -> None:
    new = whole_record(place, "alice")
    assert new is not None
    (authenticator,) = new.authenticators
    new = new._replace(
        name="carol", authenticators=(authenticator._replace(id="id of carol's phone"),)
    )
    others = [whole_record(place, name) for name in ("alice", "bob")]

    def enrol(pause: Meet) -> str:
        with place.open() as opened:
            pause()
            with opened.transaction("carol") as transaction:
                transaction.save(new)
        return "enrolled"

    states: Counter[bool] = Counter()
    for result, killed in kills(folder, enrol):
        record = whole_record(place, "carol")
        assert killed or ("enrolled", new) == (result, record)
        assert record in (None, new)
        states[record is None] += 1
        assert others == [whole_record(place, name) for name in ("alice", "bob")]
        enrol(lambda: None)
        assert new == whole_record(place, "carol")
    assert 2 == len(states)


def test_a_removal_killed_at_any_step_is_done_or_not_begun(place: Place, folder: Path) -> None:
    before, bob = whole_record(place, "alice"), whole_record(place, "bob")

    def remove(pause: Meet) -> str:
        with place.open() as opened:
            pause()
            with opened.transaction("alice") as transaction:
                transaction.save(None)
        return "removed"

    states: Counter[bool] = Counter()
    for result, killed in kills(folder, remove):
        record = whole_record(place, "alice")
        assert killed or ("removed", None) == (result, record)
        assert record in (None, before)
        states[record is None] += 1
        assert bob == whole_record(place, "bob")
        remove(lambda: None)
        assert whole_record(place, "alice") is None
    assert 2 == len(states)


def test_a_migration_killed_at_any_step_is_done_or_not_begun(place: Place, folder: Path) -> None:
    newer = (*schema.MIGRATIONS, "ALTER TABLE users ADD COLUMN note TEXT; CREATE TABLE n (a TEXT)")
    users = [whole_record(place, name) for name in ("alice", "bob")]

    def migrate(pause: Meet) -> int:
        connection = sqlite3.connect(place.store_path, isolation_level=None)
        pause()
        schema.migrate(connection, "", newer)
        version = schema.version(connection)
        connection.close()
        return version

    states: Counter[bool] = Counter()
    for result, killed in kills(folder, migrate):
        assert killed or len(newer) == result
        connection = sqlite3.connect(place.store_path, isolation_level=None)
        done = schema.version(connection) == len(newer)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(users)")]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'n'")
        assert [int(done)] * 2 == [columns.count("note"), tables.fetchone()[0]]
        connection.close()
        states[done] += 1
        assert len(newer) == migrate(lambda: None)
        connection = sqlite3.connect(place.store_path, isolation_level=None)
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS)}")
        connection.close()
        assert users == [whole_record(place, name) for name in ("alice", "bob")]
    assert 2 == len(states)


def test_a_creation_killed_at_any_step_leaves_a_whole_store_or_none(place: Place) -> None:
    sealer = place.sealer()
    parent = place.folder / "parent"
    parent.mkdir(0o700)
    path = parent / "new" / "store.db"

    def create(pause: Meet) -> bool:
        pause()
        return store.create_store(str(path), sealer)

    states: Counter[bool] = Counter()
    for result, killed in kills(parent, create):
        assert killed or result is True
        there = path.exists()
        assert store.create_store(str(path), sealer) is not there
        with store.open_store(str(path), sealer) as opened:
            assert [] == opened.check()
            with opened.transaction("alice") as transaction:
                transaction.save(UserRecord("alice"))
        left = {file.name for file in path.parent.iterdir()}
        assert {"store.db", "store.db-shm", "store.db-wal"} == left - {"store.db.lock"}
        states[there] += 1
    assert 2 == len(states)


def test_room_that_is_being_set_aside_when_killed_costs_the_store_nothing(
    place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a small reserve: as many kills as it has pages are enough."""
    monkeypatch.setattr(reserve, "DECOY_PAGES", 8)
    path = str(place.store_path)
    sqlite3.connect(path).execute("VACUUM").connection.close()
    assert reserve.shortage(path)
    users = [whole_record(place, name) for name in ("alice", "bob")]
    sqlite3.connect(path).execute("VACUUM").connection.close()

    def set_aside(pause: Meet) -> str:
        pause()
        place.open().close()
        return "set aside"

    for result, killed in kills(folder, set_aside):
        assert killed or result == "set aside"
        assert users == [whole_record(place, name) for name in ("alice", "bob")]
        assert reserve.shortage(path) is None


def test_what_a_killed_login_had_committed_is_not_lost_with_its_process(
    place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is in the write-ahead log alone, which the next login must read."""
    place.enrol("alice")
    code = clock.code()

    def log_in_and_stay_open(pause: Meet) -> None:
        monkeypatch.setattr("pam_totp.store.sqlite.store.SQLiteStore.close", lambda _store: pause())
        log_in(place, [code])

    with Waiting(log_in_and_stay_open) as process:
        process.go()  # past the first look at the record; stays with the commit done
        process.pause_again()
    assert place.store_path.with_name("store.db-wal").stat().st_size > 0
    assert PAM_AUTH_ERR == log_in(place, code)
    assert PAM_SUCCESS == log_in(place, clock.code(1))


def test_a_login_succeeds_only_when_its_commit_has_reached_the_disk(
    place: Place, folder: Path, clock: Clock, log: LogSocket, tmp_path: Path
) -> None:
    """Another process keeps the store open: the log is not moved into the store on closing."""
    code = clock.code()

    def log_alice_in(pause: Meet) -> int:
        def typing() -> Iterator[str]:
            pause()
            yield code

        return log_in(place, typing())

    def hold(pause: Meet) -> None:
        with place.open() as opened:
            opened.load("alice")
            pause()

    with Waiting(hold):
        result, calls = traced(log_alice_in, tmp_path / "trace")
    assert PAM_SUCCESS == result
    written = [
        number
        for number, (name, rest) in enumerate(calls)
        if name.startswith("pwrite") and "store.db-wal>" in rest
    ]
    flushed = [
        number
        for number, (name, rest) in enumerate(calls)
        if name in ("fsync", "fdatasync") and "store.db-wal>" in rest and rest.endswith("= 0")
    ]
    told = [number for number, (name, _) in enumerate(calls) if name in ("sendto", "write")]
    assert written
    assert flushed
    assert "accepted" == log.events()[-1]
    assert written[-1] < flushed[-1] < told[0]
