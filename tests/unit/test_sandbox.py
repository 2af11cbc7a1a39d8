"""What a worker in a sandbox leaves to one that sees the machine as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pam_totp import sandbox
from tests.support.place import Place

# mount, its parent, device, what it shows, where
LINE = "36 35 98:0 {shown} {at} rw,noatime master:1 - ext4 /dev/root rw\n"


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_roots", None)
    monkeypatch.setattr(sandbox, "_looked_at", 0.0)


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders of these tests are of another file system than what the sandbox shows."""
    monkeypatch.setattr(sandbox, "_SHOWN", "/proc")


def arguments(place: Place) -> list[str]:
    return [f"config={place.config_path}"]


def test_files_that_are_there_are_no_reason(place: Place) -> None:
    sandbox.check_files(arguments(place))


@pytest.mark.usefixtures("hidden")
@pytest.mark.parametrize("which", ["config_path", "key_path", "store_path"])
def test_file_that_something_hides_is_left_to_another_worker(place: Place, which: str) -> None:
    path: Path = getattr(place, which)
    (path.parent if which == "store_path" else path).rename(f"{place.folder}.gone")
    with pytest.raises(sandbox.ShutOff, match="is not there in the sandbox"):
        sandbox.check_files(arguments(place))


def test_file_that_is_nowhere_is_left_to_the_login(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what is missing, at once."""
    monkeypatch.setattr(sandbox, "_SHOWN", str(place.folder))
    place.key_path.unlink()
    sandbox.check_files(arguments(place))


@pytest.mark.parametrize("now", ["/store.old", "/store//deleted", "/"])
def test_folder_that_was_moved_is_left_to_another_worker(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, now: str
) -> None:
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(sandbox, "_MOUNTS", str(mounts))
    at = os.path.dirname(place.store_path)
    mounts.write_text(LINE.format(shown="/", at="/") + LINE.format(shown="/store", at=at))
    sandbox.remember()
    sandbox.check_files(arguments(place))
    mounts.write_text(LINE.format(shown="/", at="/") + LINE.format(shown=now, at=at))
    sandbox.check_files(arguments(place))  # looked at a moment ago
    monkeypatch.setattr(sandbox, "_looked_at", 0.0)
    for _ in range(2):
        with pytest.raises(sandbox.ShutOff, match="was moved or replaced"):
            sandbox.check_files(arguments(place))


def test_mounts_that_cannot_be_read_stop_no_service(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_MOUNTS", "/no/such/file")
    sandbox.remember()
    sandbox.check_files(arguments(place))


def test_path_from_nowhere_is_left_to_the_login() -> None:
    sandbox.check_files(["config=no/such/file"])
