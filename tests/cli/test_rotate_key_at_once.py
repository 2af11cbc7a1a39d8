"""totpctl rotate-key while somebody holds a lock that it may wait for."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click.testing
import pytest

from admin_cli.main import totpctl as group
from pam_totp.system import lock_file
from tests.cli.command import Totpctl
from tests.support.place import Place


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Do what anybody can who may read ``path``."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("of", ["key_path", "store_path"])
def test_who_can_read_a_folder_cannot_keep_the_old_key_in_use(
    totpctl: Totpctl, place: Place, of: str
) -> None:
    before = place.sealer().key_id
    with locked(getattr(place, of).parent):
        totpctl.done("rotate-key", "--yes")
    assert before != place.sealer().key_id


def test_it_waits_for_another_rotation_and_not_for_ever(
    place: Place, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_file, "PATIENCE", 0)
    key = place.key_path.read_bytes()
    arguments = ["--config", str(place.config_path), "rotate-key", "--yes"]
    lock = Path(f"{place.store_path}.lock")
    lock.touch()
    with locked(lock):
        result = click.testing.CliRunner().invoke(group, arguments)
    expected = f"{lock}: is locked by another process"
    assert (1, expected) == (result.exit_code, str(result.exception))
    assert key == place.key_path.read_bytes()
