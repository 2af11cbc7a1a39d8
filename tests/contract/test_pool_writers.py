"""Writers over connections that stay open: one at a time, and after a failure the next one."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable

import pytest

from pam_totp.store.sqlite import database
from pam_totp.store.sqlite.pool import Pool
from pam_totp.system.errors import PamTotpError, StoreUnavailable
from tests.support.place import Place


def count_failure(place: Place, name: str = "alice") -> int:
    """Log in wrongly, in a transaction; return the count."""
    with place.open() as opened, opened.transaction(name) as transaction:
        assert transaction.record is not None
        failures = transaction.record.failures + 1
        transaction.save(transaction.record._replace(failures=failures))
    return failures


def raise_in_a_transaction(place: Place) -> None:
    with place.open() as opened, opened.transaction("alice"):
        raise ZeroDivisionError


def save_what_cannot_be_saved(place: Place) -> None:
    with place.open() as opened, opened.transaction("alice") as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(name="somebody else"))


def open_without_a_key(place: Place) -> None:
    place.key_path.chmod(0o644)
    try:
        place.open()
    finally:
        place.key_path.chmod(0o600)


def damage_a_secret_and_read_it(place: Place) -> None:
    other = sqlite3.connect(place.store_path, isolation_level=None)
    (whole,) = other.execute("SELECT sealed_secret FROM authenticators").fetchone()
    other.execute("UPDATE authenticators SET sealed_secret = x'00'")
    try:
        with place.open() as opened, opened.transaction("alice"):
            pass
    finally:
        other.execute("UPDATE authenticators SET sealed_secret = ?", (whole,))
        other.close()


def close_in_the_middle(place: Place) -> None:
    opened = place.open()
    opened.transaction("alice").__enter__()
    opened.close()
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "fail",
    [
        raise_in_a_transaction,
        save_what_cannot_be_saved,
        open_without_a_key,
        damage_a_secret_and_read_it,
        close_in_the_middle,
    ],
)
def test_after_a_failure_the_next_one_may_write(
    place: Place, keeper: Pool, fail: Callable[[Place], None]
) -> None:
    place.enrol("alice")
    for number in (1, 2):
        with pytest.raises((PamTotpError, ValueError, ZeroDivisionError)):
            fail(place)
        assert not keeper.writer.locked()
        assert number == count_failure(place)


def test_after_a_commit_that_failed_the_next_one_may_write(
    place: Place, keeper: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.enrol("alice")
    execute = database.Database.execute

    def full(self: database.Database, statement: str, *rest: object) -> list[tuple[object, ...]]:
        if statement == "COMMIT":
            raise StoreUnavailable(self.path, "cannot be written: no space left")
        return execute(self, statement, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(database.Database, "execute", full)
        with pytest.raises(StoreUnavailable):
            count_failure(place)
    assert not keeper.writer.locked()
    assert 1 == count_failure(place)


def test_after_waiting_in_vain_for_another_process_the_next_one_may_write(
    place: Place, keeper: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.1)
    place.enrol("alice")
    keeper.close_idle(linger=0)
    other = sqlite3.connect(place.store_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="locked by another process for too long"):
            count_failure(place)
        assert not keeper.writer.locked()
    other.execute("ROLLBACK")
    other.close()
    assert 1 == count_failure(place)


def test_who_waits_in_vain_for_another_thread_is_told_the_same(
    place: Place, keeper: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.1)
    place.enrol("alice")
    with place.open() as opened, opened.transaction("alice"):
        with pytest.raises(StoreUnavailable, match="locked by another process for too long"):
            count_failure(place)
        assert keeper.writer.locked()
        with place.open() as reader:  # who only reads waits for nobody
            assert reader.load("alice")
    assert not keeper.writer.locked()
    assert 1 == count_failure(place)


def test_threads_write_one_after_the_other(place: Place, keeper: Pool) -> None:
    place.enrol("alice")
    seen: list[int] = []

    def run() -> None:
        for _ in range(10):
            seen.append(count_failure(place))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert list(range(1, 81)) == sorted(seen)


def test_nobody_looks_into_the_file_while_another_one_opens_it(
    place: Place, keeper: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """POSIX locks: a thread that closes the file would take the others' with it."""
    place.enrol("alice")
    keeper.close_idle(linger=0)
    looked: list[str] = []
    is_cut_off, migrate = database._is_cut_off, database.Database.migrate

    def look(path: str) -> bool:
        looked.append(threading.current_thread().name)
        return is_cut_off(path)

    def open_slowly(self: database.Database) -> None:
        migrate(self)
        if threading.current_thread() is not second:
            second.start()
            time.sleep(0.1)
            assert ["MainThread"] == looked

    monkeypatch.setattr(database, "_is_cut_off", look)
    monkeypatch.setattr(database.Database, "migrate", open_slowly)
    second = threading.Thread(target=lambda: place.open().close(), name="second")
    place.open().close()
    second.join(60)
    assert ["MainThread", "second"] == looked
