"""Disks that are full, read-only, or give errors: no login without a commit, and no code twice."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from pam_totp import store
from pam_totp.login.flow import PAM_AUTH_ERR, PAM_AUTHINFO_UNAVAIL, PAM_SUCCESS
from pam_totp.store.sqlite import schema
from pam_totp.system.errors import Unavailable
from tests.faults.fake_pam import Clock, log_in
from tests.faults.processes import Meet, Waiting
from tests.faults.tracing import traced
from tests.support.logs import fields
from tests.support.place import Place

RECOVERY_CODE = "0123-4567-89AB-CDEF"
News = Callable[[], list[str]]


def fill(disk: Path, room: int = 0) -> None:
    """Take all of the disk but ``room`` bytes."""
    with open(disk / "filler", "wb", buffering=0) as filler:
        for block in (b"x" * 4096, b"x"):
            with suppress(OSError):
                while True:
                    filler.write(block)
        assert 0 == os.statvfs(disk).f_bavail
        filler.truncate(max(0, filler.tell() - room))


def remove_log(place: Place) -> None:
    """As another program does that was the last to have the store open: logins need room then."""
    for suffix in ("-wal", "-shm"):
        place.store_path.with_name(f"store.db{suffix}").unlink(missing_ok=True)


def make_room(disk: Path) -> None:
    (disk / "filler").unlink()


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


def the_error(news: News) -> dict[str, str]:
    """Return the fields of the one line that tells why a login was denied."""
    (line,) = [line for line in news() if "event=error" in line]
    found = fields(line)
    assert "hint" in found
    return found


def in_use(place: Place) -> Waiting:
    """Let another process have the store open, so that its -shm and -wal are there already."""

    def hold(pause: Meet) -> None:
        with place.open() as opened:
            opened.load("alice")
            pause()

    return Waiting(hold)


@pytest.mark.root
class TestASmallDisk:
    @pytest.fixture
    def disk(self, small_disk: Path) -> Path:
        return small_disk

    @pytest.fixture
    def place(self, disk: Path) -> Place:
        place = Place(disk)
        place.enrol("alice", recovery_codes=(RECOVERY_CODE,))
        return place

    def test_a_full_disk_denies_every_login_and_says_why(
        self, place: Place, disk: Path, clock: Clock, news: News
    ) -> None:
        used = clock.code()
        assert PAM_SUCCESS == log_in(place, used)
        clock.now += 30
        news()
        remove_log(place)
        fill(disk)
        for answer in (used, clock.code(), clock.wrong_code(), RECOVERY_CODE):
            assert PAM_AUTHINFO_UNAVAIL == log_in(place, answer)
            error = the_error(news)
            assert error["reason"].startswith(f"{place.store_path}: ")
            assert f"df -h {disk}" in error["hint"]
        make_room(disk)
        assert PAM_AUTH_ERR == log_in(place, used)
        assert PAM_SUCCESS == log_in(place, clock.code())
        assert PAM_SUCCESS == log_in(place, RECOVERY_CODE)

    def test_a_disk_that_fills_while_the_person_types_denies_the_login(
        self, place: Place, disk: Path, clock: Clock, news: News
    ) -> None:
        assert PAM_SUCCESS == log_in(place, clock.code(-1))
        news()

        def typing(answer: str) -> Iterator[str]:
            fill(disk)
            yield answer

        for answer in (clock.code(), clock.wrong_code(), RECOVERY_CODE):
            remove_log(place)
            with in_use(place):
                assert PAM_AUTHINFO_UNAVAIL == log_in(place, typing(answer))
            error = the_error(news)
            assert error["reason"].startswith(f"{place.store_path}: ")
            assert f"df -h {disk}" in error["hint"]
            make_room(disk)
        assert PAM_AUTH_ERR == log_in(place, clock.code(-1))
        assert PAM_SUCCESS == log_in(place, clock.code())
        assert PAM_SUCCESS == log_in(place, RECOVERY_CODE)

    def test_a_right_and_a_wrong_code_on_a_full_disk_read_the_same(
        self, place: Place, disk: Path, clock: Clock, news: News
    ) -> None:
        remove_log(place)
        fill(disk)
        lines = []
        for answer in (clock.code(), clock.wrong_code()):
            log_in(place, answer)
            lines.append(fields(news()[0]))
        assert lines[0] == lines[1]

    def test_a_full_disk_denies_nobody_while_the_log_is_there(
        self, place: Place, disk: Path, clock: Clock
    ) -> None:
        fill(disk)
        assert PAM_AUTH_ERR == log_in(place, clock.wrong_code())
        assert PAM_SUCCESS == log_in(place, clock.code())
        assert PAM_AUTH_ERR == log_in(place, clock.code())
        assert PAM_SUCCESS == log_in(place, RECOVERY_CODE)

    @pytest.mark.parametrize("user_of_the_store", ["nobody else", "another process"])
    def test_whatever_room_is_left_a_code_works_once_at_most(
        self, place: Place, disk: Path, clock: Clock, news: News, user_of_the_store: str
    ) -> None:
        outcomes = []
        for pages in range(20):
            clock.now += 60
            remove_log(place)
            with in_use(place) if user_of_the_store == "another process" else nullcontext():
                fill(disk, room=pages * 4096)
                outcomes.append(log_in(place, clock.code()))
            accepted = any("event=accepted" in line for line in news())
            make_room(disk)
            assert (outcomes[-1] == PAM_SUCCESS) is accepted
            again = log_in(place, clock.code())
            if accepted:
                assert PAM_AUTH_ERR == again
            assert PAM_AUTH_ERR == log_in(place, clock.code())
            assert PAM_SUCCESS == log_in(place, clock.code(1))
            news()
        assert {PAM_SUCCESS, PAM_AUTHINFO_UNAVAIL} == set(outcomes)
        with place.open() as opened:
            assert [] == opened.check()

    def test_a_file_system_gone_read_only_denies_every_login_and_says_why(
        self, place: Place, disk: Path, clock: Clock, news: News
    ) -> None:
        used = clock.code()
        assert PAM_SUCCESS == log_in(place, used)
        clock.now += 30
        news()
        remount(disk, "ro")
        try:
            for answer in (used, clock.code(), clock.wrong_code(), RECOVERY_CODE):
                assert PAM_AUTHINFO_UNAVAIL == log_in(place, answer)
                error = the_error(news)
                assert f"{place.store_path}: is read-only" == error["reason"]
                assert "remount,rw" in error["hint"]
        finally:
            remount(disk, "rw")
        assert PAM_AUTH_ERR == log_in(place, used)
        assert PAM_SUCCESS == log_in(place, clock.code())

    def test_a_file_system_can_go_read_only_while_the_person_types(
        self, place: Place, disk: Path, clock: Clock, news: News
    ) -> None:
        """The kernel refuses it where a file is open for writing: a login has none open."""

        def typing() -> Iterator[str]:
            remount(disk, "ro")
            yield clock.code()

        try:
            assert PAM_AUTHINFO_UNAVAIL == log_in(place, typing())
        finally:
            remount(disk, "rw")
        assert str(place.store_path) in the_error(news)["reason"]
        assert PAM_SUCCESS == log_in(place, clock.code())

    def test_a_store_that_found_no_room_is_created_when_there_is_some(
        self, place: Place, disk: Path
    ) -> None:
        remove_log(place)
        path = disk / "another" / "store.db"
        outcomes = []
        for pages in range(20):
            fill(disk, room=pages * 4096)
            try:
                outcomes.append(store.create_store(str(path), place.sealer()))
            except (Unavailable, OSError):
                outcomes.append("no room")
                assert not path.exists()
            make_room(disk)
        assert ["no room", True, False] == list(dict.fromkeys(outcomes))
        with store.open_store(str(path), place.sealer()) as opened:
            assert [] == opened.check()

    def test_a_migration_that_finds_no_room_leaves_everything_as_it_was(
        self, place: Place, disk: Path, clock: Clock
    ) -> None:
        large = (*schema.MIGRATIONS, "CREATE TABLE n (a); INSERT INTO n VALUES (zeroblob(500000))")
        connection = sqlite3.connect(place.store_path, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            schema.migrate(connection, "", large)
        connection.close()
        assert PAM_SUCCESS == log_in(place, clock.code())


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("pwrite64", "ENOSPC"),
        ("pwrite64", "EIO"),
        ("fdatasync", "EIO"),
        ("ftruncate", "EIO"),
        ("openat", "EMFILE"),
        ("openat", "EACCES"),
        ("openat", "EIO"),
        ("sendto", "ECONNREFUSED"),
    ],
)
@pytest.mark.parametrize("from_then_on", ["", "+"], ids=["once", "from then on"])
def test_a_call_that_fails_denies_the_login_or_changes_nothing_about_it(
    place: Place,
    clock: Clock,
    news: News,
    tmp_path: Path,
    call: str,
    error: str,
    from_then_on: str,
) -> None:
    """Each of the calls in turn, from the answer on."""
    place.enrol("alice")
    assert PAM_SUCCESS == log_in(place, clock.code())
    failed, number = 0, 0
    while failed == number:
        number += 1
        clock.now += 60
        news()

        def log_alice_in(pause: Meet) -> int:
            def typing() -> Iterator[str]:
                pause()
                yield clock.code()

            return log_in(place, typing())

        inject = f"{call}:error={error}:when={number}{from_then_on}"
        code, calls = traced(log_alice_in, tmp_path / "trace", inject)
        failed += any(rest.endswith("(INJECTED)") for _, rest in calls)
        step, lines = clock.now // 30, news()
        used = place.record("alice").authenticators[0].last_accepted_step == step
        assert code in (PAM_SUCCESS, PAM_AUTHINFO_UNAVAIL)
        if code == PAM_SUCCESS:
            assert used
        elif call != "sendto":
            (line,) = lines
            found = fields(line)
            assert "error" == found["event"]
            assert str(tmp_path) in found["reason"]
            assert "hint" in found
        with place.open() as opened:
            assert [] == opened.check()
        assert (PAM_AUTH_ERR if used else PAM_SUCCESS) == log_in(place, clock.code())
        assert PAM_AUTH_ERR == log_in(place, clock.code())
        assert PAM_SUCCESS == log_in(place, clock.code(1))
    assert failed > 0, f"a login never called {call}"


def test_a_dead_logger_locks_nobody_out(
    place: Place, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.enrol("alice")
    for path in (tmp_path, "/dev/null", "/nowhere", "x" * 200):
        monkeypatch.setattr("pam_totp.system.audit.SYSLOG_SOCKET", str(path))
        clock.now += 30
        assert PAM_SUCCESS == log_in(place, clock.code())
    assert os.listdir(tmp_path)
