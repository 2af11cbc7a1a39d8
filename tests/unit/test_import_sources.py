"""Where tokens are read from: files, pipes, folders; what is no file is left alone, unopened."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from admin_cli.errors import CommandFailed
from admin_cli.importing import sources
from admin_cli.importing.sources import MOST_BYTES_OF_A_PERSON
from admin_cli.importing.trust import MOST_BYTES


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    return path


@contextmanager
def writing(path: str, *pieces: bytes) -> Iterator[None]:
    """Write to a named pipe, each piece for itself, once it is open for reading."""

    def write() -> None:
        with open(path, "wb", buffering=0) as file:
            for piece in pieces:
                file.write(piece)

    thread = threading.Thread(target=write)
    thread.start()
    yield
    thread.join()


def test_a_named_pipe_that_nobody_writes_to_does_not_block_for_ever(
    pipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_WRITER_SECONDS", 0.05)
    with pytest.raises(CommandFailed, match=f"{pipe} is a named pipe, and nobody writes to it"):
        sources.named(pipe)
    with pytest.raises(CommandFailed, match="nobody writes to it"):
        sources.content(pipe)


def test_a_named_pipe_is_read_to_its_end(pipe: str) -> None:
    """Also one whose writer comes later."""
    with writing(pipe, b"a" * 100_000, b"", b"b"):
        ((file,), _) = sources.named(pipe)
    assert b"a" * 100_000 + b"b" == file.data


def test_a_writer_may_take_its_time(pipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be asked for a passphrase: somebody has the pipe open, and that is enough."""
    monkeypatch.setattr(sources, "_WRITER_SECONDS", 0.0)
    writer = os.open(pipe, os.O_RDWR)
    is_asked = threading.Event()

    def write() -> None:
        is_asked.wait()
        os.write(writer, b"late")
        os.close(writer)

    waits = sources._is_ready

    def ready(descriptor: int, seconds: float | None) -> bool:
        if seconds is None:
            is_asked.set()
        return waits(descriptor, seconds)

    monkeypatch.setattr(sources, "_is_ready", ready)
    thread = threading.Thread(target=write)
    thread.start()
    ((file,), _) = sources.named(pipe)
    thread.join()
    assert b"late" == file.data


def test_a_writer_that_writes_nothing_leaves_an_empty_file(pipe: str) -> None:
    with writing(pipe):
        ((file,), _) = sources.named(pipe)
    assert b"" == file.data


def test_what_a_shell_makes_of_a_command_is_read() -> None:
    """<(command) is /dev/fd/63."""
    reader, writer = os.pipe()
    os.write(writer, b"tokens")
    os.close(writer)
    ((file,), _) = sources.named(f"/dev/fd/{reader}")
    os.close(reader)
    assert b"tokens" == file.data


def test_a_pipe_that_never_ends_is_read_no_further_than_the_limit(pipe: str) -> None:
    stop = threading.Event()

    def write() -> None:
        try:
            with open(pipe, "wb", buffering=0) as file:
                while not stop.is_set():
                    file.write(bytes(65536))
        except BrokenPipeError:
            pass

    thread = threading.Thread(target=write)
    thread.start()
    with pytest.raises(CommandFailed, match=f"{pipe} is larger than 4 MiB"):
        sources.named(pipe)
    stop.set()
    thread.join()


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/random", "/dev/full"])
def test_a_device_is_not_opened(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them do something when they are: a watchdog restarts the machine."""

    def refuse(*_: object) -> int:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(CommandFailed, match=f"{path} is a device, not a file"):
            sources.named(path)


def test_nothing_may_be_named(tmp_path: Path) -> None:
    assert b"" == sources.named("/dev/null")[0][0].data
    with pytest.raises(FileNotFoundError):
        sources.named(str(tmp_path / "none"))


def test_a_socket_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        with pytest.raises(CommandFailed, match=f"{path} is a socket, not a file"):
            sources.named(path)
        found, refused = sources.named(str(tmp_path))
    assert ([], ["is not a regular file"]) == (found, [r.reason for r in refused.rejected])


def test_links_in_a_circle_are_named_and_followed_nowhere(tmp_path: Path) -> None:
    (tmp_path / "up").symlink_to(tmp_path)
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    found, refused = sources.named(str(tmp_path))
    assert [] == found
    assert ["is a symbolic link"] * 3 == [r.reason for r in refused.rejected]
    with pytest.raises(OSError, match="Too many levels"):
        sources.named(str(tmp_path / "one"))


def test_the_file_of_a_person_is_as_small_as_their_module_wants_it(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    file = tmp_path / "home" / sources.IN_A_HOME
    file.write_bytes(bytes(MOST_BYTES_OF_A_PERSON + 1))
    _, refused = sources.named(str(tmp_path))
    assert ["is larger than 64 KiB: is it the right file?"] == [r.reason for r in refused.rejected]


def test_the_files_of_a_folder_have_a_limit_together(tmp_path: Path) -> None:
    for number in range(9):
        with open(tmp_path / f"{number}", "wb") as file:
            file.truncate(MOST_BYTES)
    with pytest.raises(CommandFailed, match="are larger than 32 MiB"):
        sources.named(str(tmp_path))
