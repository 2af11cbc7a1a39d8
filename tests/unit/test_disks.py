"""Hints for where nothing can be written: the place, and what is used up there."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.system import disks


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 inodes, with a name that a shell would take apart."""
    folder = tmp_path / "a disk"
    folder.mkdir()
    options = "size=64k,nr_inodes=20"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.root
def test_inodes_that_are_used_up_are_told_from_blocks(mounted: Path) -> None:
    inside = mounted / "folder/store.db"
    inside.parent.mkdir()
    assert f"make room on the disk: df -h '{mounted}'" == disks.no_room_hint(str(inside))
    for number in range(10):
        (mounted / str(number)).touch()
    hint = disks.no_room_hint(str(inside))
    assert f"remove files, it has no inodes left: df -i '{mounted}'" == hint


@pytest.mark.root
def test_the_place_of_a_bind_mount_is_its_own(
    mounted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """os.path.ismount() takes it for a part of what is around it."""
    monkeypatch.setattr(disks, "_NAMESPACE", "/proc/self/ns/mnt")  # as an administrator's
    there, file = mounted / "bound", mounted / "bound/store.db"
    there.mkdir()
    file.touch()
    subprocess.run(["mount", "--bind", there, there], check=True)
    assert str(there) == disks.mount_point(str(file))
    subprocess.run(["mount", "-o", "remount,bind,ro", there], check=True)
    hint = disks.read_only_hint(str(file))
    assert hint == f"run: mount -o remount,bind,rw '{there}'; if that fails, look at: dmesg"
    with pytest.raises(OSError, match="Read-only"):
        file.touch()
    subprocess.run(hint.split(";")[0].removeprefix("run: "), shell=True, check=True)
    file.touch()
    subprocess.run(["umount", there], check=True)


@pytest.mark.root
@pytest.mark.parametrize("option", ["ro", "bind,ro"])
def test_a_read_only_file_system_is_told_from_a_read_only_mount_of_it(
    mounted: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """An overlay lets only its mount be changed: its file system refuses all changes."""
    monkeypatch.setattr(disks, "_NAMESPACE", "/proc/self/ns/mnt")
    subprocess.run(["mount", "-o", f"remount,{option}", mounted], check=True)
    hint = disks.read_only_hint(str(mounted / "store.db"))
    expected = option.replace("ro", "rw")
    assert hint == f"run: mount -o remount,{expected} '{mounted}'; if that fails, look at: dmesg"
    subprocess.run(hint.split(";")[0].removeprefix("run: "), shell=True, check=True)
    (mounted / "store.db").touch()


def test_what_is_not_mounted_read_only_may_be_immutable(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    expected = f"check whether chattr made it immutable: lsattr -d {tmp_path} {file}"
    assert expected == disks.read_only_hint(str(file))


def test_a_process_that_may_not_see_all_mounts_is_told_of_its_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "_NAMESPACE", str(tmp_path / "no{}"))
    hint = disks.read_only_hint("/no/such/folder/store.db")
    assert "BindPaths=/no/such/folder" in hint


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "df -h"),
        (errno.EMFILE, "LimitNOFILE"),
        (errno.ENOMEM, "free -m"),
        (errno.EIO, "dmesg"),
        (errno.EROFS, "lsattr"),
    ],
)
def test_what_ran_out_is_named(tmp_path: Path, number: int, words: str) -> None:
    error = OSError(number, os.strerror(number), str(tmp_path / "file"))
    assert words in disks.system_hint(error)


def test_holders_of_a_file_are_found_with_the_command_of_the_hint(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    with path.open("w"):
        done = subprocess.run(
            disks.holders_hint(str(path)), shell=True, capture_output=True, text=True, check=False
        )
    assert f"/proc/{os.getpid()}/fd/" in done.stdout


@pytest.mark.parametrize(
    ("options", "limited"),
    [("rw rw", False), ("rw rw,usrquota", True), ("rw rw,prjquota,size=1", True), ("ro rw", False)],
)
def test_quotas_are_told_by_the_options_of_the_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, limited: bool
) -> None:
    mounts = tmp_path / "mountinfo"
    mount, of_the_disk = options.split(" ")
    row = f"1 0 8:1 / {tmp_path} {mount} - ext4 /dev/sda1 {of_the_disk}\n"
    mounts.write_text(f"0 0 8:0 / / rw - ext4 /dev/sda usrquota\n{row}", encoding="utf-8")
    monkeypatch.setattr(disks, "_MOUNTS", str(mounts))
    assert limited is disks.has_quotas(f"{tmp_path}/store.db")
    assert disks.has_quotas("/usr/bin")


def test_mounts_that_cannot_be_read_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "_MOUNTS", "/no/such/file")
    assert "/" == disks.mount_point("/usr/bin")
