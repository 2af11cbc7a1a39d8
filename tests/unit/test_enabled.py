"""The list of what was enabled: kept whole, and read with suspicion."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from admin_cli.enable import enabled
from admin_cli.host import files
from pam_totp.system.errors import InsecureFile


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o755)
    path = tmp_path / "pam_totp" / "enabled.json"
    monkeypatch.setattr(enabled, "PATH", str(path))
    return path


def test_nothing_is_remembered_before_the_first_time() -> None:
    assert {} == enabled.remembered()


def test_services_are_remembered_with_what_sshd_was_told_about_keys() -> None:
    enabled.remember(["sshd", "sudo"], "skip")
    assert {"sshd": "skip", "sudo": None} == enabled.remembered()


def test_later_ones_are_added_and_win() -> None:
    enabled.remember(["sshd"], "skip")
    enabled.remember(["su"], None)
    enabled.remember(["sshd"], "code")
    assert {"sshd": "code", "su": None} == enabled.remembered()


def test_forgotten_services_are_gone_and_others_stay() -> None:
    enabled.remember(["sshd", "sudo"], "code")
    enabled.forget(["sudo", "never"])
    assert {"sshd": "code"} == enabled.remembered()


def test_forgetting_what_was_never_there_makes_no_file(path: Path) -> None:
    enabled.forget(["sudo"])
    assert not path.parent.exists()


def test_folder_and_file_are_roots_alone_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        enabled.remember(["sudo"], None)
    finally:
        os.umask(before)
    assert (0o700, 0o600) == (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777)
    assert ["enabled.json"] == [file.name for file in path.parent.iterdir()]


def test_left_over_of_a_write_that_was_cut_off_is_no_obstacle(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    Path(files.beside(str(path), files.NEW)).write_text("half")
    enabled.remember(["sudo"], None)
    assert {"sudo": None} == enabled.remembered()


@pytest.mark.parametrize(
    "content", ["", "junk", "[]", "[1]", "3", '{"sshd": "maybe"}', '{"sudo": []}', "[" * 10000]
)
def test_what_totpctl_did_not_write_is_refused_and_begun_anew(path: Path, content: str) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(enabled.NotOurs) as refused:
        enabled.remembered()
    assert f"{path}: is not what totpctl wrote" == str(refused.value)
    enabled.remember(["sudo"], None)
    assert {"sudo": None} == enabled.remembered()


def test_file_that_others_may_write_is_not_believed(path: Path) -> None:
    enabled.remember(["sudo"], None)
    path.chmod(0o666)
    with pytest.raises(InsecureFile):
        enabled.remembered()
    enabled.forget(["sudo"])  # nothing may stand in the way of a disable
    enabled.remember(["su"], None)
    assert {"su": None} == enabled.remembered()
