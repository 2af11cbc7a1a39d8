"""The file itself: who may own, write and replace it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pam_totp.system import config
from pam_totp.system.errors import InsecureFile, Unavailable
from tests.unit.configurations import DEFAULTS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    path = tmp_path / "pam_totp.conf"
    path.write_bytes(b"window = 2\n")
    path.chmod(0o644)
    return path


def test_a_file_that_others_may_read_is_read(path: Path) -> None:
    assert (DEFAULTS._replace(window=2), ()) == config.load(str(path))


def test_arguments_are_applied_over_the_file(path: Path) -> None:
    assert DEFAULTS._replace(window=0) == config.load(str(path), [("window", "0")]).config


def test_a_problem_names_the_file_and_the_line(path: Path) -> None:
    path.write_bytes(b"window = 2\nwindow = x\n")
    problems = config.load(str(path)).problems
    assert f"{path}:2: window must be a whole number from 0 to 10; using the default 1" in problems


def test_absence_of_the_default_file_means_the_defaults_and_the_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "DEFAULT_PATH", str(tmp_path / "absent.conf"))
    loaded = config.load(config.DEFAULT_PATH, [("window", "0")])
    assert (DEFAULTS._replace(window=0), ()) == loaded


def test_a_file_that_was_named_and_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        config.load(str(tmp_path / "absent.conf"))
    assert str(tmp_path / "absent.conf") == caught.value.subject


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("exempt_groups", "# e.g. staff"),
        ("exempt_groups", "wheel # e.g. staff"),
        ("unenrolled", "skip # for now"),
        ("prompt", "Code: # the prompt"),
        ("window", "0 # strict"),
    ],
)
def test_a_comment_behind_a_value_is_no_part_of_it(key: str, value: str) -> None:
    loaded = config.parse(f"{key} = {value}".encode())
    assert DEFAULTS == loaded.config
    (problem,) = loaded.problems
    assert "comment" in problem


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o622])
def test_a_file_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(InsecureFile) as caught:
        config.load(str(path))
    assert (str(path), "is writable by others") == (caught.value.subject, caught.value.problem)
    assert f"run: chmod go-w {path}" == caught.value.hint


def test_a_link_is_refused(path: Path) -> None:
    link = path.with_name("link.conf")
    link.symlink_to(path)
    with pytest.raises(InsecureFile, match="is a symbolic link"):
        config.load(str(link))


def test_a_file_of_64_kib_is_read_and_a_larger_one_is_refused(path: Path) -> None:
    path.write_bytes(b"#" * 65535 + b"\n")
    assert DEFAULTS == config.load(str(path)).config
    path.write_bytes(b"#" * 65536 + b"\n")
    with pytest.raises(Unavailable, match="is larger than 65536 bytes"):
        config.load(str(path))


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(InsecureFile, match="is not a regular file"):
        config.load(str(tmp_path))
