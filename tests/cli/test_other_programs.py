"""What totpctl asks of other programs and the kernel: nobody answers in their place."""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from admin_cli.doctor import service
from admin_cli.enable import automatic_undo
from admin_cli.host import listeners, units
from admin_cli.host.sshd import command as sshd_command
from admin_cli.host.sshd import process as sshd_process


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a systemctl of the caller's PATH writes."""
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\n: >{tmp_path}/said\n", "utf-8")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "said"


def test_path_of_the_caller_leads_to_no_program(said: Path) -> None:
    for ask in (lambda: sshd_process._systemctl("is-active", "x"), lambda: units.show(["x"])):
        try:
            ask()
        except FileNotFoundError:  # no systemd here at all
            pass
        assert not said.exists()


def test_program_gets_nothing_of_the_callers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_CALLER", "yes")
    assert "OF_THE_CALLER" not in sshd_command._run(["env"]).stdout


def no_sock_diag() -> Iterator[tuple[int, int]]:
    raise FileNotFoundError(errno.ENOENT, "a kernel without the module unix_diag")


@pytest.mark.parametrize("asks", ["sock_diag", "/proc"])
@pytest.mark.parametrize("before", ["", "\na b c zz e f g"])
def test_name_of_another_socket_is_not_taken_for_ours(
    before: str, asks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets without a file have any name that their owner likes."""
    if asks == "/proc":
        monkeypatch.setattr(listeners, "_files_listened_on", no_sock_diag)
    path = str(tmp_path / "sock")
    monkeypatch.setattr(service, "SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.bind(f"\0{before} {path}")
        other.listen()
        assert not service.is_listening()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ours:
            ours.bind(path)
            assert not service.is_listening()
            ours.listen()
            assert service.is_listening()


@pytest.mark.root
def test_cron_is_told_by_its_file_and_by_whom_it_runs_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link gives a process of su any name, and it is root's."""
    monkeypatch.setattr(automatic_undo, "CRON_PROGRAMS", ("cron-of-a-test",))
    tmp_path.chmod(0o755)
    shutil.copy("/bin/sleep", tmp_path / "cron-of-a-test")
    (tmp_path / "link").mkdir()
    (tmp_path / "link/cron-of-a-test").symlink_to("/bin/sleep")
    for program, user, expected in (
        ("link/cron-of-a-test", "root", False),
        ("cron-of-a-test", "nobody", False),
        ("cron-of-a-test", "root", True),
    ):
        command = [f"/proc/self/cwd/{program}", "60"]  # whoever may look into the folders above
        with subprocess.Popen(command, cwd=tmp_path, user=user) as started:
            try:
                assert expected is automatic_undo._cron_runs()
            finally:
                started.kill()
