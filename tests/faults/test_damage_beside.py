"""Damage beside the store: its write-ahead log and the index of that."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pam_totp.core.users import UserRecord
from pam_totp.login.flow import PAM_AUTH_ERR, PAM_AUTHINFO_UNAVAIL, PAM_SUCCESS
from tests.faults.damage import SECTOR, News, alices_place, noise
from tests.faults.fake_pam import Clock, log_in
from tests.faults.processes import Meet, Waiting
from tests.support import thorough
from tests.support.logs import fields
from tests.support.place import Place


@pytest.fixture
def place(tmp_path: Path, clock: Clock) -> Place:
    return alices_place(tmp_path / "place", clock)


def leave_a_log_behind(place: Place, user: str, failures: int) -> None:
    """Let a process die with a commit that only the write-ahead log holds."""

    def die(pause: Meet) -> None:
        with place.open() as opened:
            with opened.transaction(user) as transaction:
                record = transaction.record or UserRecord(user)
                transaction.save(record._replace(failures=failures))
            pause()

    with Waiting(die):
        pass


def beside(place: Place, suffix: str) -> Path:
    return place.store_path.with_name(f"store.db{suffix}")


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("content", [b"", bytes(SECTOR), noise(32768), noise(70001)], ids=len)
def test_noise_beside_a_clean_store_changes_nothing(
    place: Place, clock: Clock, suffix: str, content: bytes
) -> None:
    beside(place, suffix).write_bytes(content)
    beside(place, suffix).chmod(0o600)
    assert PAM_AUTH_ERR == log_in(place, clock.code(-1))
    assert PAM_SUCCESS == log_in(place, clock.code())
    with place.open() as opened:
        assert [] == opened.check()


@pytest.mark.parametrize("content", [None, b"", bytes(32768), noise(32768)])
def test_the_log_of_a_killed_process_counts_whatever_its_index_says(
    place: Place, clock: Clock, content: bytes | None
) -> None:
    leave_a_log_behind(place, "alice", failures=100)
    assert beside(place, "-wal").stat().st_size > 0
    if content is None:
        beside(place, "-shm").unlink()
    else:
        beside(place, "-shm").write_bytes(content)
    assert 100 == place.record("alice").failures
    assert PAM_SUCCESS != log_in(place, clock.code())


def test_the_log_of_a_killed_process_cut_off_anywhere_is_whole_or_absent(
    place: Place, clock: Clock
) -> None:
    leave_a_log_behind(place, "alice", failures=3)
    folder, original = place.store_path.parent, place.folder / "original"
    folder.rename(original)
    wal = (original / "store.db-wal").read_bytes()
    found = []
    lengths = [*range(0, len(wal) + 1, SECTOR - 4)]
    # The commit is in the first 64; what follows in the log was there before.
    for length in [*lengths[:64], *thorough.some(lengths[64:], one_of=16)]:
        shutil.copytree(original, folder)
        beside(place, "-wal").write_bytes(wal[:length])
        found.append(place.record("alice").failures)
        assert PAM_AUTH_ERR == log_in(place, clock.code(-1))
        assert PAM_SUCCESS == log_in(place, clock.code())
        with place.open() as opened:
            assert [] == opened.check()
        shutil.rmtree(folder)
    shutil.copytree(original, folder)
    assert 3 == place.record("alice").failures
    assert (0, 3) == (found[0], found[63])
    assert sorted(found) == found


@pytest.mark.parametrize("unenrolled", ["deny", "skip"])
def test_the_log_of_another_store_lets_nobody_past(
    place: Place, clock: Clock, news: News, tmp_path: Path, unenrolled: str
) -> None:
    """As where a store was restored and the log of the one before was left beside it."""
    place.configure(unenrolled=unenrolled)
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    leave_a_log_behind(other, "bob", failures=1)
    shutil.copy(beside(other, "-wal"), beside(place, "-wal"))
    beside(place, "-wal").chmod(0o600)
    news()
    assert PAM_AUTHINFO_UNAVAIL == log_in(place, clock.code())
    (line,) = news()
    assert str(place.store_path) in fields(line)["reason"]
