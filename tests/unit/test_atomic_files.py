"""A new file is there whole, for its owner alone, or not at all; what is there stays."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pam_totp.system import atomic_files

CONTENT = b"secret" * 1000


@pytest.fixture(params=["nameless", "named from the beginning", "without links"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new file, on a file system that has files without names, and on one that has none.

    The last has them, and gives them no name; so it is where /proc is missing.
    """
    if request.param == "without links":

        def link(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOENT, "no such file")

        monkeypatch.setattr(os, "link", link)
    elif request.param != "nameless":
        opened = os.open

        def refuse(name: str, flags: int, *rest: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "not supported")
            return opened(name, flags, *rest)

        monkeypatch.setattr(os, "open", refuse)
    return tmp_path / "new"


def test_it_is_whole_and_for_its_owner_alone(path: Path) -> None:
    umask = os.umask(0)
    try:
        atomic_files.write_new_whole(str(path), CONTENT)
    finally:
        os.umask(umask)
    assert CONTENT == path.read_bytes()
    assert (0o600, 1) == (stat.S_IMODE(path.stat().st_mode), path.stat().st_nlink)
    assert [path.name] == os.listdir(path.parent)


def test_a_name_without_a_folder_is_in_the_current_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    atomic_files.write_new_whole(path.name, CONTENT)
    assert CONTENT == path.read_bytes()


@pytest.mark.parametrize("kind", ["file", "link to nothing", "link to a file", "folder"])
def test_what_is_there_stays(path: Path, tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    if kind == "file":
        path.write_bytes(b"of somebody else")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(other)
        if kind == "link to a file":
            other.write_bytes(b"of somebody else")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(FileExistsError):
        atomic_files.write_new_whole(str(path), CONTENT)
    assert before == sorted(os.listdir(tmp_path))
    for file in (path, other):
        assert not file.is_file() or b"of somebody else" == file.read_bytes()


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_what_cannot_be_finished_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, request: pytest.FixtureRequest
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    if call == "link" and "named from" in request.node.callspec.id:
        return  # a file that has its name from the beginning needs no link
    with pytest.raises(OSError, match="No space left"):
        atomic_files.write_new_whole(str(path), CONTENT)
    assert [] == os.listdir(path.parent)


def test_the_name_is_there_only_once_all_of_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    synced = os.fsync

    def sync(descriptor: int) -> None:
        seen.append(os.listdir(tmp_path))
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    atomic_files.write_new_whole(str(tmp_path / "new"), CONTENT)
    assert [[], ["new"]] == seen  # the file, then its folder


def test_a_folder_that_is_missing_is_said(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_files.write_new_whole(str(path.parent / "none" / "new"), CONTENT)
