"""What a service keeps open between logins makes no difference to what they come to."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.core import verifier
from pam_totp.login import in_process
from pam_totp.store.sealing import generate_key_file
from pam_totp.store.sqlite import lasting_files, schema
from tests.faults import fake_pam, processes
from tests.native import worker_side as side
from tests.native.worker_side import Worker
from tests.support import rotating
from tests.support.place import Place, code_now, wrong_code

LOCKED = verifier.locked_from(verifier.Policy().max_failures)

IMPATIENT = ("service/loop.py", "BUSY_SECONDS = 5.0", "BUSY_SECONDS = 1.0")
LINGERS = ("service/kept.py", "LINGER_SECONDS = 60.0", "LINGER_SECONDS = 3.0")
ME = "root"  # everybody's first account: these tests log in through the real directory too


@pytest.fixture
def worker() -> Iterator[Worker]:
    with side.worker_in_a_folder(side.EVERYBODY, IMPATIENT, LINGERS) as worker:
        worker.listen()
        yield worker


@pytest.fixture
def packet(place: Place) -> bytes:
    place.enrol(ME)
    arguments = side.of_place(place.config_path, b"attempts=1")
    return side.request(ME.encode(), os.urandom(4).hex().encode(), arguments=arguments)


def service_of(packet: bytes) -> str:
    return packet.split(ME.encode())[1][2:10].decode()


@pytest.fixture(autouse=True)
def _keeps_connections(worker: Worker, packet: bytes) -> None:
    """One login before: so there is a connection that may be stale."""
    assert side.PAM_AUTH_ERR == worker.log_in(packet, wrong_code()).code


def beside(place: Place) -> list[str]:
    return sorted(path.name for path in place.store_path.parent.iterdir())


def is_denied(worker: Worker, packet: bytes, *words: str) -> bool:
    """Tell whether a right code is denied, as the store is no use, with a line that says why."""
    outcome = worker.log_in(packet, code_now())
    worker.log.wait_for(f"{service_of(packet)}:auth", "event=error", *words)
    return outcome.code == side.PAM_AUTHINFO_UNAVAIL


def test_kept_connections_close_after_a_moment(worker: Worker, place: Place, packet: bytes) -> None:
    assert ["store.db", "store.db-shm", "store.db-wal"] == beside(place)
    side.wait_until(lambda: not lasting_files.has_content(f"{place.store_path}-wal"))
    assert ["store.db", "store.db-shm", "store.db-wal"] == beside(place)


def test_a_code_is_good_once_for_forty_at_the_same_moment(
    worker: Worker, place: Place, packet: bytes
) -> None:
    code = code_now()
    outcomes = side.many(40, lambda _: worker.log_in(packet, code))
    assert [0] + [7] * 39 == sorted(outcome.code for outcome in outcomes)


def test_a_code_is_good_once_for_the_service_and_other_processes_at_the_same_moment(
    worker: Worker, place: Place, packet: bytes
) -> None:
    code = code_now()

    def log_in(number: int, meet: processes.Meet) -> int:
        meet()
        if number % 2:
            return worker.log_in(packet, code).code
        handle = fake_pam.Handle(ME, (code,))
        return in_process.authenticate(handle, 0, [f"config={place.config_path}", "attempts=1"])

    codes = processes.together(20, log_in)
    assert [0] + [7] * 19 == sorted(codes)


def test_another_process_changes_a_user_between_two_logins(
    worker: Worker, place: Place, packet: bytes
) -> None:
    with place.open() as store, store.transaction(ME) as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(failures=LOCKED - 1))
    assert side.PAM_AUTH_ERR == worker.log_in(packet, wrong_code()).code
    assert side.PAM_MAXTRIES == worker.log_in(packet, code_now()).code


def test_a_store_that_was_removed_is_missed(worker: Worker, place: Place, packet: bytes) -> None:
    for path in place.store_path.parent.iterdir():
        path.unlink()
    assert is_denied(worker, packet, "there is no store", "totpctl init")
    assert [] == beside(place)


def test_a_store_that_was_replaced_is_the_one_that_counts(
    worker: Worker, place: Place, packet: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Restored from a backup, say, while somebody types: that code was never used in there."""
    other = Place(tmp_path_factory.mktemp("other"))
    other.enrol(ME, b"another secret of 20")
    with side.Client(worker.socket) as client:
        client.send(packet)
        client.until_prompt()
        for path in place.store_path.parent.iterdir():
            path.unlink()
        shutil.copy(other.store_path, place.store_path)
        shutil.copy(other.key_path, place.key_path)
        client.send(side.answer(code_now(secret=b"another secret of 20")))
        assert side.PAM_SUCCESS == client.answers().code
    assert side.PAM_AUTH_ERR == worker.log_in(packet, code_now()).code
    assert place.record(ME).authenticators[0].last_accepted_step


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_log_that_was_removed_makes_no_code_good_again(
    worker: Worker, place: Place, packet: bytes, suffix: str
) -> None:
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now()).code
    Path(f"{place.store_path}{suffix}").unlink()
    assert side.PAM_AUTH_ERR == worker.log_in(packet, code_now()).code
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now(1)).code


def test_a_newer_release_s_store_is_refused(worker: Worker, place: Place, packet: bytes) -> None:
    other = sqlite3.connect(place.store_path)
    other.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    other.close()
    assert is_denied(worker, packet, "this release knows")


def test_a_key_that_was_changed_opens_nothing(worker: Worker, place: Place, packet: bytes) -> None:
    place.key_path.write_bytes(generate_key_file())
    assert is_denied(worker, packet, "is sealed with another")


def test_a_rotated_key_is_the_one_that_counts(worker: Worker, place: Place, packet: bytes) -> None:
    new = rotating.keep_both(place)
    rotating.reseal(place)
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now()).code
    place.key_path.write_bytes(new.key_file())
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now(1)).code


@pytest.mark.parametrize("name", ["store.db", "store.db-wal", "."])
def test_what_others_may_write_is_refused(
    worker: Worker, place: Place, packet: bytes, name: str
) -> None:
    (place.store_path.parent / name).chmod(0o777)
    assert is_denied(worker, packet, "is writable by others", "chmod go-w")


def test_a_store_locked_by_another_process_denies_and_serves_again(
    worker: Worker, place: Place, packet: bytes
) -> None:
    other = sqlite3.connect(place.store_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcomes = side.many(3, lambda _: worker.log_in(packet, code_now()))
    assert [side.PAM_AUTHINFO_UNAVAIL] * 3 == [outcome.code for outcome in outcomes]
    other.execute("ROLLBACK")
    other.close()
    worker.log.wait_for(f"{service_of(packet)}:auth", "locked by another process for too long")
    assert side.PAM_SUCCESS == worker.log_in(packet, code_now()).code


@pytest.mark.root
def test_a_full_disk_denies_and_serves_again(
    worker: Worker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    disk = tmp_path_factory.mktemp("disk")
    options = "size=1m,mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
    try:
        place = Place(disk)
        place.enrol(ME)
        arguments = side.of_place(place.config_path, b"attempts=1")
        packet = side.request(ME.encode(), b"fulldisk", arguments=arguments)
        assert side.PAM_AUTH_ERR == worker.log_in(packet, wrong_code()).code
        side.wait_until(lambda: not holds_open(worker, place))
        for suffix in ("-wal", "-shm"):  # as another program does that closes the store last
            place.store_path.with_name(f"store.db{suffix}").unlink()
        fill(disk / "filler")
        assert side.PAM_AUTHINFO_UNAVAIL == worker.log_in(packet, code_now()).code
        worker.log.wait_for("fulldisk:auth", "event=error", "df ")
        side.wait_until(lambda: not holds_open(worker, place))
        (disk / "filler").unlink()
        assert side.PAM_SUCCESS == worker.log_in(packet, code_now()).code
        side.wait_until(lambda: not lasting_files.has_content(f"{place.store_path}-wal"))
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def holds_open(worker: Worker, place: Place) -> bool:
    names = side.open_files_of(worker.processes[0].pid)
    return any(name.startswith(str(place.store_path)) for name in names)


def fill(filler: Path) -> None:
    """Leave no byte on the disk."""
    descriptor = os.open(filler, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, bytes(1024))
    os.close(descriptor)
