"""sshd_config and its includes, read in sshd's order."""

from __future__ import annotations

from pathlib import Path

import pytest

from admin_cli.host.sshd import files as sshd_files
from admin_cli.host.sshd.files import Setting


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sshd_files, "FOLDER", str(tmp_path))
    return tmp_path


def read(folder: Path, **files: str) -> list[tuple[str, int, str, str, tuple[str, ...]]]:
    """Write the files, and return what is read from the one named ``main``."""
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    lines = sshd_files.settings(str(folder / "main"))
    return [line._replace(file=Path(line.file).name)[:] for line in lines]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("UsePAM yes", ("usepam", "yes")),
        ("  usepam\tyes  ", ("usepam", "yes")),
        ("UsePAM=yes", ("usepam", "yes")),
        ("UsePAM = yes", ("usepam", "yes")),
        ("UsePAM =yes", ("usepam", "yes")),
        ("UsePAM yes # says who", ("usepam", "yes")),
        ("AllowUsers al#ice", ("allowusers", "al#ice")),
        ('AllowUsers "al ice" bob', ("allowusers", "al ice bob")),
        ("AuthenticationMethods 'publickey'", ("authenticationmethods", "publickey")),
        ("SetEnv A=b", ("setenv", "A=b")),
        ("ChallengeResponseAuthentication no", ("kbdinteractiveauthentication", "no")),
        ('Banner "no end', ("banner", '"no end')),
        ("# UsePAM yes", ("", "")),
        ("", ("", "")),
    ],
)
def test_line_is_split_as_sshd_does(line: str, expected: tuple[str, str]) -> None:
    assert expected == sshd_files.split(line)


def test_include_is_read_in_its_place_and_in_the_order_of_names(folder: Path) -> None:
    main = f"Port 1\nInclude {folder}/*.conf\nPort 4\n"
    found = read(folder, main=main, **{"b.conf": "Port 3\n", "a.conf": "\n\nPort 2\n"})
    assert [
        ("main", 1, "port", "1", ()),
        ("main", 2, "include", f"{folder}/*.conf", ()),
        ("a.conf", 3, "port", "2", ()),
        ("b.conf", 1, "port", "3", ()),
        ("main", 3, "port", "4", ()),
    ] == found


def test_include_of_no_path_is_below_the_folder_of_ssh(folder: Path) -> None:
    found = read(folder, main="Include part\n", part="Port 2\n")
    assert ("part", 1, "port", "2", ()) == found[1]


def test_match_block_goes_to_the_next_and_ends_with_its_file(folder: Path) -> None:
    main = "Include part\nPort 1\nMatch User bob\nBanner none\nMatch all\nBanner x\n"
    found = read(folder, main=main, part="Match Group a\nBanner y\n")
    assert [
        ("main", 1, "include", "part", ()),
        ("part", 2, "banner", "y", ("Group a",)),
        ("main", 2, "port", "1", ()),
        ("main", 4, "banner", "none", ("User bob",)),
        ("main", 6, "banner", "x", ("all",)),
    ] == found


def test_include_in_a_match_block_is_for_that_block(folder: Path) -> None:
    main = "Match User bob\nInclude part\nBanner z\n"
    found = read(folder, main=main, part="Banner x\nMatch Address ::1\nBanner y\n")
    assert [
        ("part", 1, "banner", "x", ("User bob",)),
        ("part", 3, "banner", "y", ("User bob", "Address ::1")),
        ("main", 3, "banner", "z", ("User bob",)),
    ] == found[1:]
    assert [str(folder / "main")] == sshd_files.files_read(str(folder / "main"))


def test_file_that_includes_itself_is_read_no_deeper_than_sshd_does(folder: Path) -> None:
    found = read(folder, main="Include main\n")
    assert [("main", 1, "include", "main", ())] * (sshd_files.MAX_DEPTH + 1) == found


def test_file_that_is_not_text_is_read(folder: Path) -> None:
    (folder / "main").write_bytes(b"Banner \xff\nPort 2\n")
    assert ("main", 2, "port", "2", ()) == read(folder)[1]


def test_missing_main_file_is_an_error_and_a_missing_include_is_not(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sshd_files.settings(str(folder / "main"))
    assert 1 == len(read(folder, main="Include nothing.conf\n"))


def test_setting_names_its_place() -> None:
    assert "/etc/ssh/sshd_config:7" == Setting("/etc/ssh/sshd_config", 7, "port", "1").place
