"""A store that somebody else is writing to, and what a login holds while a person types."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pam_totp.core import recovery, users
from pam_totp.login import flow
from pam_totp.login.flow import PAM_AUTH_ERR, PAM_AUTHINFO_UNAVAIL, PAM_SUCCESS
from pam_totp.store.sqlite import database
from pam_totp.system.errors import StoreBusy
from tests.faults.fake_pam import Clock, log_in
from tests.faults.processes import Meet, Waiting, together
from tests.support.logs import fields
from tests.support.place import Place

RECOVERY_CODE = "0123-4567-89AB-CDEF"


def holding(place: Place, user: str = "bob") -> Waiting:
    """A process that has begun a transaction of ``user`` and does not end it until let go."""

    def hold(pause: Meet) -> str:
        with place.open() as store, store.transaction(user) as transaction:
            pause()
            record = transaction.record or users.UserRecord(user)
            transaction.save(record._replace(failures=record.failures + 1))
        return "saved"

    return Waiting(hold)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)


def write_at_once(place: Place, user: str) -> None:
    """Write to the store from another process, one that waits for nobody."""

    def write(_number: int, _meet: Meet) -> str:
        database.BUSY_TIMEOUT = 0
        with place.open() as store, store.transaction(user) as transaction:
            record = transaction.record or users.UserRecord(user)
            transaction.save(record._replace(failures=record.failures + 1))
        return "written"

    assert ["written"] == together(1, write)


def open_files(folder: Path) -> list[str]:
    """Return what this process has open below ``folder``, but for the folder's log socket."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:  # the one that listdir had open
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return found


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("held", ["alice", "bob"])
@pytest.mark.parametrize("user", ["alice", "mallory"])
def test_a_store_locked_for_too_long_denies_the_login_and_says_so(
    place: Place, clock: Clock, news: Callable[[], list[str]], held: str, user: str
) -> None:
    """Of one who is enrolled, and of one who is not."""
    place.enrol("alice")
    with holding(place, held) as holder:
        for answer in (clock.code(), clock.wrong_code()):
            assert PAM_AUTHINFO_UNAVAIL == log_in(place, answer, user)
            error = fields(next(line for line in news() if "event=error" in line))
            assert error["reason"].startswith(f"{place.store_path}: has been locked")
            assert f"-lname '{place.store_path}*'" in error["hint"]
        holder.go()
        assert "saved" == holder.returned()
    assert PAM_SUCCESS == log_in(place, clock.code())


def test_a_login_waits_for_a_short_transaction_and_goes_on(place: Place, clock: Clock) -> None:
    place.enrol("alice")
    with holding(place) as holder:

        def typing() -> Iterator[str]:
            holder.go()
            yield clock.code()

        assert PAM_SUCCESS == log_in(place, typing())
        assert "saved" == holder.returned()
    assert 1 == place.record("bob").failures


@contextmanager
def recovering(place: Place) -> Iterator[None]:
    """Rebuild the index of the log meanwhile, as SQLite does after a crash."""
    index = os.open(f"{place.store_path}-shm", os.O_RDWR)
    locks_at, locks = 120, 8  # UNIX_SHM_BASE and SQLITE_SHM_NLOCK of os_unix.c
    header = os.pread(index, 136, 0)
    request = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, locks_at, locks, 0)
    fcntl.fcntl(index, fcntl.F_OFD_SETLK, request)
    os.pwrite(index, bytes(len(header)), 0)
    try:
        yield
    finally:
        os.pwrite(index, header, 0)
        os.close(index)


def test_who_reads_while_the_log_is_recovered_is_told_that_the_store_is_busy(place: Place) -> None:
    place.enrol("alice")
    with place.open(patience=0) as store:
        with recovering(place):
            for _ in range(2):
                with pytest.raises(StoreBusy, match="locked by another process"):
                    store.admission("alice")
        assert store.admission("alice").record is not None


def test_a_login_waits_five_seconds_for_the_store() -> None:
    assert 5.0 == database.BUSY_TIMEOUT


@pytest.mark.parametrize("user", ["alice", "mallory", "nobody"])
def test_nothing_is_held_while_a_person_types(place: Place, clock: Clock, user: str) -> None:
    place.enrol("alice")
    files = []

    def typing() -> Iterator[str]:
        files.extend(open_files(place.folder))
        write_at_once(place, "bob")
        yield clock.code()

    expected = PAM_SUCCESS if user == "alice" else PAM_AUTH_ERR
    assert expected == log_in(place, typing(), user)
    assert [] == files
    assert 1 == place.record("bob").failures


def test_nothing_is_held_between_two_attempts(place: Place, clock: Clock) -> None:
    place.enrol("alice")
    files = []

    def typing() -> Iterator[str]:
        yield clock.wrong_code()
        files.extend(open_files(place.folder))
        write_at_once(place, "bob")
        yield clock.code()

    assert PAM_SUCCESS == log_in(place, typing(), "alice", "attempts=2")
    assert [] == files


@pytest.mark.parametrize("user", ["alice", "mallory"])
def test_nobody_waits_while_a_recovery_code_is_hashed(
    place: Place, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    place.enrol("alice", recovery_codes=(RECOVERY_CODE,))
    written, digest = [], recovery.digest

    def write_and_hash(code: str, salt: bytes) -> bytes:
        write_at_once_from_here(place, "bob")
        written.append(user)
        return digest(code, salt)

    monkeypatch.setattr(recovery, "digest", write_and_hash)
    expected = PAM_SUCCESS if user == "alice" else PAM_AUTH_ERR
    assert expected == log_in(place, RECOVERY_CODE, user)
    assert [user] == written


def write_at_once_from_here(place: Place, user: str) -> None:
    """Write over a connection of this process: the login's own may be open, but in no lock."""
    with place.open() as store:
        store.database.execute("PRAGMA busy_timeout = 0")
        with store.transaction(user) as transaction:
            transaction.save(users.UserRecord(user, failures=1))


def test_what_changes_while_the_person_types_counts(place: Place, clock: Clock) -> None:
    """Suspended, removed, enrolled anew or throttled meanwhile: the answer is judged by that."""

    def typing(change: Callable[[users.UserRecord], users.UserRecord | None]):
        code = clock.code()
        with place.open() as store, store.transaction("alice") as transaction:
            assert transaction.record is not None
            transaction.save(change(transaction.record))
        yield code

    def changed(change: Callable[[users.UserRecord], users.UserRecord | None]) -> int:
        place.enrol("alice")
        code = log_in(place, typing(change))
        with place.open() as store, store.transaction("alice") as transaction:
            transaction.save(None)
        return code

    assert PAM_SUCCESS == changed(lambda record: record)
    assert PAM_AUTH_ERR == changed(lambda record: record._replace(status=users.SUSPENDED))
    assert PAM_AUTH_ERR == changed(lambda record: record._replace(authenticators=()))
    assert PAM_AUTH_ERR == changed(lambda record: None)
    locked = changed(lambda record: record._replace(failures=100))
    assert flow.PAM_MAXTRIES == locked
