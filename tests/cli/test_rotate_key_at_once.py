"""totpctl rotate-key while somebody holds a lock that it may wait for."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click.testing
import pytest

from admin_cli import setup
from admin_cli.main import totpctl as group
from tests.cli.command import Totpctl
from tests.support.place import Place


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Do what anybody can who may read ``folder``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def test_who_can_read_the_folder_of_the_key_cannot_keep_the_old_one_in_use(
    totpctl: Totpctl, place: Place
) -> None:
    before = place.sealer().key_id
    with locked(place.key_path.parent):
        totpctl.done("rotate-key", "--yes")
    assert before != place.sealer().key_id


def test_the_folder_that_is_locked_is_closed_to_others(place: Place) -> None:
    assert 0 == place.store_path.parent.stat().st_mode & 0o077


def test_it_waits_for_another_rotation_and_not_for_ever(
    place: Place, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup.time, "sleep", lambda _seconds: None)
    key = place.key_path.read_bytes()
    arguments = ["--config", str(place.config_path), "rotate-key", "--yes"]
    with locked(place.store_path.parent):
        result = click.testing.CliRunner().invoke(group, arguments)
    expected = f"{place.store_path.parent} is locked by another process"
    assert (1, expected) == (result.exit_code, str(result.exception))
    assert key == place.key_path.read_bytes()
