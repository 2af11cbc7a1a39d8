"""The files that say who a host or an administrator is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pam_totp.system import fleet_file
from pam_totp.system.errors import InsecureFile, Unavailable
from pam_totp.system.fleet_file import Identity

HOST = Identity(host="web1", key=bytes(range(32)), user="totp_login", password="p=w # d")


def written(folder: Path, content: bytes, mode: int = 0o600) -> str:
    path = folder / "pam_totp.fleet"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    assert HOST == fleet_file.read(written(tmp_path, fleet_file.content(HOST)))


def test_comments_and_empty_lines_say_nothing(tmp_path: Path) -> None:
    content = b"\n# a comment\n" + fleet_file.content(HOST)
    assert HOST == fleet_file.read(written(tmp_path, content))


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InsecureFile):
        fleet_file.read(written(tmp_path, fleet_file.content(HOST), mode=0o640))


@pytest.mark.parametrize("line", ["host web1", "colour = red", "host = a\nhost = b", "key = 00"])
def test_what_is_no_identity_is_refused_by_name(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, line.encode())
    with pytest.raises(Unavailable) as caught:
        fleet_file.read(path)
    assert path == caught.value.subject


def test_no_secret_is_in_its_name() -> None:
    shown = f"{HOST!r} {HOST}"
    assert "p=w" not in shown
    assert HOST.key.hex() not in shown


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fleet_file.read(os.path.join(tmp_path, "none"))
