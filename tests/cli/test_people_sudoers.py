"""Whom sudoers lets become root, and whom it asks for nothing."""

from __future__ import annotations

import pwd
import shutil
from pathlib import Path

import pytest

from admin_cli.host import accounts, sudoers
from admin_cli.host.sudoers import Rule

pytestmark = pytest.mark.skipif(
    shutil.which("cvtsudoers") is None, reason="cvtsudoers comes with sudo"
)
GROUPS = {"alice": {"sudo"}, "bob": {"ops"}, "carol": set[str](), "dora": {"wheel"}}


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> dict[str, pwd.struct_passwd]:
    """alice, bob, carol and dora with the numbers 4000 and up; ops is group 5000."""
    monkeypatch.setattr(accounts.directory, "group_names", lambda entry: GROUPS[entry.pw_name])
    numbers = {"ops": 5000, "sudo": 27, "wheel": 10}
    ids = {name: {numbers[group] for group in groups} for name, groups in GROUPS.items()}
    monkeypatch.setattr(accounts.directory, "group_ids", lambda entry: ids[entry.pw_name])
    return {
        name: pwd.struct_passwd((name, "x", 4000 + number, 4000 + number, "", "/", "/bin/sh"))
        for number, name in enumerate(GROUPS)
    }


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sudoers"
    monkeypatch.setattr(sudoers, "MAIN", str(path))
    return path


def test_rules_are_read_with_aliases_and_includes(write: Path, tmp_path: Path) -> None:
    (tmp_path / "more").write_text("%ops ALL = PASSWD: /bin/ls, !/bin/rm\n", "utf-8")
    write.write_text(
        "User_Alias CHIEFS = alice, !bob\nCmnd_Alias BOTH = /bin/a, /bin/b\n"
        f"CHIEFS ALL = NOPASSWD: BOTH, PASSWD: ALL\n@include {tmp_path}/more\n",
        "utf-8",
    )
    assert [
        Rule(("alice",), ("bob",), ("/bin/a", "/bin/b"), asks=False),
        Rule(("alice",), ("bob",), ("ALL",), asks=True),
        Rule(("%ops",), (), ("/bin/ls",), asks=True),
    ] == sudoers.rules()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("carol ALL=(ALL) ALL", ["carol"]),
        ("%ops ALL=(ALL) ALL", ["bob"]),
        ("%#5000 ALL=(ALL) ALL", ["bob"]),
        ("#4002 ALL=(ALL) ALL", ["carol"]),
        ("%ops, carol, !bob ALL=(ALL) ALL", ["carol"]),
        ("carol ALL=(ALL) /bin/ls", []),
        ("carol ALL=(ALL) !ALL", []),
        ("ALL ALL=(ALL) ALL", []),
        ("+admins ALL=(ALL) ALL", []),
        ("Defaults:carol !authenticate", []),
    ],
)
def test_who_may_run_everything_is_an_administrator_beside_the_usual_groups(
    write: Path, entries: dict[str, pwd.struct_passwd], rule: str, expected: list[str]
) -> None:
    write.write_text(f"{rule}\n", "utf-8")
    found = sudoers.administrators(entries, sudoers.rules())
    assert sorted(["alice", "dora", *expected]) == sorted(found)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("alice ALL=(ALL) ALL", True),
        ("alice ALL=(ALL) NOPASSWD: ALL", False),
        ("alice ALL=(ALL) ALL, NOPASSWD: /bin/ls", True),
        ("alice ALL=(ALL) NOPASSWD: ALL\n%sudo ALL=(ALL) ALL", True),
        ("%sudo ALL=(ALL) ALL\nalice ALL=(ALL) NOPASSWD: ALL", False),
        ("Defaults !authenticate\n%sudo ALL=(ALL) ALL", False),
        ("Defaults:bob !authenticate\n%sudo ALL=(ALL) ALL", True),
        ("Defaults:alice !authenticate\n%sudo ALL=(ALL) ALL", False),
        ("bob ALL=(ALL) NOPASSWD: ALL", True),
    ],
)
def test_last_rule_that_fits_says_whether_sudo_asks(
    write: Path, entries: dict[str, pwd.struct_passwd], text: str, asked: bool
) -> None:
    write.write_text(f"{text}\n", "utf-8")
    assert asked is sudoers.asks_password(entries["alice"], sudoers.rules())


def test_machine_without_sudo_has_no_rules(write: Path) -> None:
    assert [] == sudoers.rules()


def test_rules_that_cannot_be_read_are_an_error(
    write: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write.write_text("nonsense\n", "utf-8")
    with pytest.raises(sudoers.NotRead, match=r"cvtsudoers cannot read it: .*syntax error"):
        sudoers.rules()
    monkeypatch.setattr(sudoers.programs, "PATH_WITH_LOCAL", "/nowhere")
    with pytest.raises(sudoers.NotRead, match="No such file or directory"):
        sudoers.rules()
