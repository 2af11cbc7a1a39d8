"""What is mounted over the files that a service keeps counts from the moment it is."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.service.kept import Kept
from pam_totp.store.sealing import generate_key_file
from pam_totp.system import marks
from pam_totp.system.errors import SealingError, StoreMissing, Unavailable
from tests.faults.conftest import disk_of
from tests.support.kept import settings_of
from tests.support.place import Place

YOUNG_NS = 20_000_000  # more than a tick of the kernel's clock


@contextlib.contextmanager
def mounted_over(path: Path, source: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", str(source), str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """One that knows alice, and whose files are not young."""
    place.enrol("alice", failures=1)
    monkeypatch.setattr(marks, "YOUNG_NS", YOUNG_NS)
    kept = Kept()
    failures(kept, place)
    time.sleep(2 * YOUNG_NS / 1e9)
    failures(kept, place)
    kept.look_again()
    assert kept.is_current(settings_of(place))
    yield kept
    kept.close()


def failures(kept: Kept, place: Place) -> int | None:
    kept.look_again()
    record = kept.ask(settings_of(place), lambda opened: opened.load("alice"))
    return record and record.failures


def test_folder_with_another_store(kept: Kept, place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(0o700)
    for path in place.store_path.parent.iterdir():
        (other / path.name).write_bytes(b"" if path.name.endswith("-shm") else path.read_bytes())
        (other / path.name).chmod(0o600)
    (other / "store.db-shm").unlink()
    place.enrol("bob")
    with place.open() as opened, opened.transaction("alice") as transaction:
        assert transaction.record is not None
        transaction.save(transaction.record._replace(failures=2))
    assert 2 == failures(kept, place)
    with mounted_over(place.store_path.parent, other):
        assert 1 == failures(kept, place)
    assert 2 == failures(kept, place)


def test_empty_disk(kept: Kept, place: Place) -> None:
    folder = place.store_path.parent
    with disk_of("256k", place.folder) as disk, mounted_over(folder, disk):
        disk.chmod(0o700)
        with pytest.raises(StoreMissing):
            failures(kept, place)
    assert 1 == failures(kept, place)


def test_folder_above(kept: Kept, place: Place, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(0o755)
    with mounted_over(place.folder, tmp_path / "empty"), pytest.raises(Unavailable):
        failures(kept, place)
    assert 1 == failures(kept, place)


def test_another_key(kept: Kept, place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other key"
    other.write_bytes(generate_key_file())
    other.chmod(0o600)
    with mounted_over(place.key_path, other), pytest.raises(SealingError):
        failures(kept, place)
    assert 1 == failures(kept, place)
