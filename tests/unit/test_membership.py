"""Whose member an account is: the file, the directory, and a directory that hangs."""

from __future__ import annotations

import grp
import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.login import membership

NAMES = ("wheel", "robots", "staff", "42", "gone")


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Beside those of other tests in this process, ended or not."""
    before = children()
    yield
    assert children() <= before


def children() -> set[str]:
    lists = Path("/proc/self/task").glob("*/children")
    return {child for list_ in lists for child in list_.read_text("ascii").split()}


def account(name: str = "alice", gid: int = 1000) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", 1000, gid, "", "/", "/bin/sh"))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A group file and a switch of one's own; ``getent`` says what its arguments were."""
    (tmp_path / "group").write_text(
        "# no line\n+@nis\nwheel:x:10:bob,alice\nrobots:x:11:bob\nwheel:x:12:\nusers:x:1000:\n"
        "broken:x:ten:alice\nshort:x:13\n",
        encoding="utf-8",
    )
    switch(tmp_path, "files")
    monkeypatch.setattr(membership, "GROUP_FILE", str(tmp_path / "group"))
    monkeypatch.setattr(membership, "SWITCH_FILE", str(tmp_path / "nsswitch.conf"))
    monkeypatch.setattr(membership, "PROGRAM", str(tmp_path / "getent"))
    monkeypatch.setattr(membership, "SECONDS", 0.5)
    return tmp_path


def switch(folder: Path, services: str, more: str = "") -> None:
    text = f"passwd: files\ngroup:  {services} # first\n{more}"
    (folder / "nsswitch.conf").write_text(text, encoding="utf-8")


def getent(folder: Path, script: str) -> None:
    """Let ``script`` stand for getent: $1 is the database, $3 the key."""
    (folder / "getent").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / "getent").chmod(0o755)


def asked(folder: Path, *names: str, **of: object) -> membership.Groups:
    return membership.groups_among(account(**of), names or NAMES)  # type: ignore[arg-type]


ANSWERS = """
case $1.$3 in
initgroups.alice) echo "alice                 7 42 77";;
group.staff) echo "staff:x:77:carol";;
group.42) echo "answer:x:42:";;
*) exit 2;;
esac
"""


# The file


def test_the_file_names_members_and_primary_groups(files: Path) -> None:
    names = ("wheel", "robots", "users", "broken", "short", "gone")
    assert ("wheel", "users") == membership.local_groups(account(), names).member_of
    assert ("robots",) == membership.local_groups(account("bob", 11), ("robots",)).member_of


@pytest.mark.parametrize("services", ["sss files", "compat", "[NOTFOUND=return]", ""])
def test_the_file_is_not_believed_where_something_else_is_asked_first(
    files: Path, services: str
) -> None:
    switch(files, services)
    assert () == membership.local_groups(account(), NAMES).member_of


def test_a_line_for_the_groups_of_a_user_counts_too(files: Path) -> None:
    switch(files, "files sss", "initgroups: sss files\n")
    assert () == membership.local_groups(account(), NAMES).member_of
    switch(files, "files sss", "initgroups: files sss\n")
    assert ("wheel",) == membership.local_groups(account(), NAMES).member_of


def test_without_files_nothing_is_certain(files: Path) -> None:
    (files / "group").unlink()
    (files / "nsswitch.conf").unlink()
    assert () == membership.local_groups(account(), NAMES).member_of


# The directory


def test_the_directory_adds_groups_by_their_numbers(files: Path) -> None:
    getent(files, ANSWERS)
    groups = asked(files)
    assert (("wheel", "staff"), ("42", "gone"), "") == groups


def test_a_name_that_is_a_number_is_no_number(files: Path) -> None:
    getent(files, 'case $1 in group) echo "$3:x:42:";; *) echo "$3 ";; esac')
    assert ("42",) == asked(files, "42", gid=42).member_of
    getent(files, 'case $1 in group) echo "answer:x:42:";; *) echo "$3 ";; esac')
    assert ((), ("42",), "") == asked(files, "42", gid=42)


def test_names_reach_the_directory_as_they_are(files: Path) -> None:
    getent(files, 'case $1 in group) echo "any:x:99:";; *) echo "$3 99";; esac')
    names = ("-x", "domain admins", "B\u00fccher", "a;b")
    assert names == asked(files, *names, name="-p\u00e4m").member_of


def test_the_real_getent_says_what_the_library_says() -> None:
    entry = pwd.getpwuid(os.getuid())
    names = tuple(group.gr_name for group in grp.getgrall())
    numbers = os.getgrouplist(entry.pw_name, entry.pw_gid)
    expected = tuple(name for name in names if grp.getgrnam(name).gr_gid in numbers)
    assert (expected, (), "") == membership.groups_among(entry, names)


# One that does not answer


@pytest.mark.parametrize(
    "script",
    [
        "exec sleep 30",
        "case $1 in group) exec sleep 30;; *) echo $3;; esac",
        "case $1 in group) exit 2;; *) exec sleep 30;; esac",
        "trap '' TERM; echo $3; exec sleep 30",
        "exec >&-; exec sleep 30",
    ],
)
def test_a_directory_that_hangs_is_left_in_time(files: Path, script: str) -> None:
    getent(files, script)
    begin = time.monotonic()
    groups = asked(files)
    assert 0.4 < time.monotonic() - begin < 3
    assert ("wheel",) == groups.member_of
    assert "the directory did not name the user's groups within 0 s" == groups.problem


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 1", "exit status 1"),
        ("exit 2", "no answer came"),
        ("echo mallory 10", "no answer came"),
        ("printf 'alice 10'", "no answer came"),
        ("echo $3 10; exit 3", "exit status 3"),
        ("echo $3; kill -9 $$", "exit status -9"),
        ("echo $3 ten", "invalid literal"),
        ("case $1 in group) exit 3;; *) echo $3;; esac", "exit status 3"),
        ("exec cat /dev/zero", "too long"),
    ],
)
def test_an_answer_that_is_none_is_a_problem(files: Path, script: str, problem: str) -> None:
    getent(files, script)
    groups = asked(files, "staff")
    assert () == groups.member_of
    assert problem in groups.problem


def test_without_the_program_there_is_a_problem(files: Path) -> None:
    groups = asked(files)
    assert ("wheel",) == groups.member_of
    assert groups.problem.endswith("getent: No such file or directory")


def test_a_process_that_waits_for_all_children_disturbs_nothing(files: Path) -> None:
    """As an application may that has SIGCHLD ignored."""
    getent(files, ANSWERS)
    before = membership._signal.signal(membership._signal.SIGCHLD, membership._signal.SIG_IGN)
    try:
        assert (("wheel", "staff"), ("42", "gone"), "") == asked(files)
    finally:
        membership._signal.signal(membership._signal.SIGCHLD, before)
