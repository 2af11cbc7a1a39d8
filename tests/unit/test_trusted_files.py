from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from pam_totp.system import trusted_files
from pam_totp.system.errors import InsecureFile, Unavailable
from pam_totp.system.trusted_files import check_file, check_folder, read_trusted

STRANGER = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir(0o755)
    return folder


@pytest.fixture
def file(folder: Path) -> Path:
    file = folder / "file"
    file.write_bytes(b"content")
    file.chmod(0o600)
    return file


def refusal(path: Path, max_bytes: int = 100, *, secret: bool = False) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        read_trusted(str(path), max_bytes, secret=secret)
    return caught.value


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Make ``path`` somebody else's, or this process somebody else; return the file's owner."""
    if os.geteuid() == 0:
        os.chown(path, STRANGER, STRANGER)
        return STRANGER
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    return path.stat().st_uid


def test_the_content_of_a_trusted_file_is_returned(file: Path) -> None:
    assert b"content" == read_trusted(str(file), 100)
    assert b"content" == read_trusted(str(file), 100, secret=True)


def test_an_empty_file_is_read(file: Path) -> None:
    file.write_bytes(b"")
    assert b"" == read_trusted(str(file), 0)


def test_a_relative_path_is_looked_up_from_here(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert b"content" == read_trusted("file", 100)


def test_a_file_that_arrives_in_pieces_is_read_whole(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, n: read(descriptor, min(n, 2)))
    assert b"content" == read_trusted(str(file), 7)


def test_an_absent_file_is_told_apart(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_trusted(str(folder / "absent"), 100)
    with pytest.raises(FileNotFoundError):
        check_file(str(folder / "absent"))


def test_a_file_in_an_absent_folder_is_refused(folder: Path) -> None:
    error = refusal(folder / "absent" / "file")
    assert str(folder / "absent") == error.subject
    assert "No such file or directory" == error.problem
    assert error.hint.endswith("on a new machine run: totpctl init")


def test_a_symbolic_link_is_refused(file: Path) -> None:
    link = file.with_name("link")
    link.symlink_to(file)
    error = refusal(link)
    assert isinstance(error, InsecureFile)
    assert f"{link}: is a symbolic link" == str(error)
    assert str(link) in error.hint
    with pytest.raises(InsecureFile, match="is a symbolic link"):
        check_file(str(link))


def test_a_link_to_nowhere_is_refused(folder: Path) -> None:
    link = folder / "link"
    link.symlink_to(folder / "absent")
    assert "is a symbolic link" == refusal(link).problem


def test_a_fifo_is_refused_and_does_not_hang(folder: Path) -> None:
    fifo = folder / "fifo"
    os.mkfifo(fifo, 0o600)
    error = refusal(fifo)
    assert isinstance(error, InsecureFile)
    assert "is not a regular file" == error.problem
    assert f"look at: ls -l {fifo}" == error.hint


def test_a_folder_is_no_file(folder: Path) -> None:
    assert "is not a regular file" == refusal(folder).problem
    with pytest.raises(InsecureFile, match="is not a regular file"):
        check_file(str(folder))


def test_a_socket_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        error = refusal(folder / "socket")
    assert (str(folder / "socket"), "No such device or address") == error.args[:2]


def test_a_device_is_refused() -> None:
    assert "is not a regular file" == refusal(Path("/dev/null")).problem


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o622, 0o666, 0o660])
@pytest.mark.parametrize("secret", [False, True])
def test_a_file_that_others_may_write_is_refused(file: Path, mode: int, secret: bool) -> None:
    file.chmod(mode)
    error = refusal(file, secret=secret)
    assert isinstance(error, InsecureFile)
    assert "is writable by others" == error.problem
    assert f"run: chmod go-w {file}" == error.hint
    with pytest.raises(InsecureFile, match="is writable by others"):
        check_file(str(file))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o610, 0o601])
def test_a_secret_that_is_open_to_others_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    error = refusal(file, secret=True)
    assert isinstance(error, InsecureFile)
    assert "is readable by others" == error.problem
    assert f"run: chmod 0600 {file}" == error.hint
    assert b"content" == read_trusted(str(file), 100)
    check_file(str(file))


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_secret_of_its_owner_alone_is_read(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert b"content" == read_trusted(str(file), 100, secret=True)


def test_a_file_of_somebody_else_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusted_files, "check_folder", lambda path: None)
    owner = give_away(file, monkeypatch)
    error = refusal(file)
    assert isinstance(error, InsecureFile)
    assert f"is owned by uid {owner}, not by root" == error.problem
    assert f"run: chown root:root {file}" == error.hint
    with pytest.raises(InsecureFile, match="is owned by uid"):
        check_file(str(file))


def test_a_file_in_a_folder_of_somebody_else_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = give_away(file.parent, monkeypatch)
    error = refusal(file)
    assert isinstance(error, InsecureFile)
    assert str(file.parent) == error.subject
    assert f"is owned by uid {owner}, not by root" == error.problem


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_file_in_a_folder_that_others_may_write_is_refused(file: Path, mode: int) -> None:
    file.parent.chmod(mode)
    error = refusal(file)
    assert isinstance(error, InsecureFile)
    assert (str(file.parent), "is writable by others") == error.args[:2]
    assert f"run: chmod go-w {file.parent}" == error.hint


@pytest.mark.parametrize("mode", [0o775, 0o777])
def test_a_folder_higher_up_that_others_may_write_is_refused(file: Path, mode: int) -> None:
    file.parent.parent.chmod(mode)
    assert str(file.parent.parent) == refusal(file).subject


def test_a_sticky_folder_higher_up_is_no_danger(file: Path) -> None:
    """Nobody can rename what is not theirs in /tmp."""
    file.parent.parent.chmod(0o777 | stat.S_ISVTX)
    assert b"content" == read_trusted(str(file), 100)


def test_a_path_through_a_linked_folder_leads_to_a_check_of_the_real_one(file: Path) -> None:
    link = file.parent.parent / "linked"
    link.symlink_to(file.parent)
    assert b"content" == read_trusted(str(link / "file"), 100)
    file.parent.chmod(0o777)
    assert str(file.parent) == refusal(link / "file").subject


def test_a_link_of_somebody_else_on_the_way_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who owns it decides what the path means."""
    link = file.parent.parent / "linked"
    link.symlink_to(file.parent)
    lstat = os.lstat

    def of_a_stranger(path: str) -> os.stat_result:
        status = lstat(path)
        if path != str(link):
            return status
        return os.stat_result([*status[:4], os.geteuid() + 1, *status[5:]])

    monkeypatch.setattr(os, "lstat", of_a_stranger)
    assert str(link) == refusal(link / "file").subject


def test_a_folder_above_the_real_one_is_checked_where_a_link_leads(file: Path) -> None:
    above = file.parent.parent
    real = above / "real"
    real.mkdir(0o755)
    file.parent.rename(real / "folder")
    (above / "linked").symlink_to(real / "folder")
    real.chmod(0o777)
    assert str(real) == refusal(above / "linked" / "file").subject


def test_a_folder_with_a_link_on_the_way_is_checked(file: Path) -> None:
    """Whoever may write there may have another link lead elsewhere, or none."""
    beside = file.parent.parent / "beside"
    beside.mkdir(0o755)
    (beside / "linked").symlink_to("../folder")
    assert b"content" == read_trusted(str(beside / "linked" / "file"), 100)
    beside.chmod(0o777)
    assert str(beside) == refusal(beside / "linked" / "file").subject


@pytest.mark.parametrize("target", ["{beside}/linked", "beside/linked", "beside/inside/../linked"])
def test_a_link_that_leads_over_another_link_is_checked_all_the_way(
    file: Path, target: str
) -> None:
    above = file.parent.parent
    beside = above / "beside"
    (beside / "inside").mkdir(0o755, parents=True)
    beside.chmod(0o755)
    (beside / "linked").symlink_to(file.parent)
    (above / "chain").symlink_to(target.format(beside=beside))
    assert b"content" == read_trusted(str(above / "chain" / "file"), 100)
    passed = trusted_files.way_to(str(above / "chain"))
    assert {"/", str(above), str(beside / "linked"), str(file.parent)} <= set(passed)
    beside.chmod(0o777)
    assert str(beside) == refusal(above / "chain" / "file").subject


def test_links_that_lead_in_a_circle_lead_nowhere(folder: Path) -> None:
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    assert isinstance(refusal(folder / "one" / "file"), Unavailable)
    assert str(folder / "two") in trusted_files.way_to(str(folder / "one"))


def test_a_link_to_a_folder_that_is_not_there_is_refused(folder: Path) -> None:
    (folder / "linked").symlink_to(folder / "nowhere")
    error = refusal(folder / "linked" / "file")
    assert (str(folder / "nowhere"), "No such file or directory") == (error.subject, error.problem)


def test_a_path_that_begins_with_two_slashes_is_a_path(file: Path) -> None:
    assert b"content" == read_trusted(f"/{file}", 100)


def test_a_file_is_no_folder(file: Path) -> None:
    with pytest.raises(InsecureFile, match="is not a folder"):
        check_folder(str(file))


def test_a_folder_that_only_its_owner_can_write_is_trusted(folder: Path) -> None:
    check_folder(str(folder))
    folder.chmod(0o700)
    check_folder(str(folder))


@pytest.mark.parametrize("excess", [1, 2, 10**6])
def test_a_file_that_is_too_large_is_refused(file: Path, excess: int) -> None:
    file.write_bytes(b"x" * (100 + excess))
    error = refusal(file)
    assert "is larger than 100 bytes" == error.problem


def test_a_file_of_exactly_the_limit_is_read(file: Path) -> None:
    file.write_bytes(b"x" * 100)
    assert b"x" * 100 == read_trusted(str(file), 100)


def test_an_error_of_the_disk_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def fail(descriptor: int, n: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "read", fail)
    error = refusal(file)
    assert (str(file), "Input/output error") == error.args[:2]


def test_no_descriptor_is_left_open(file: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    read_trusted(str(file), 100)
    refusal(file, 3)
    file.chmod(0o666)
    refusal(file)
    assert before == len(os.listdir("/proc/self/fd"))
