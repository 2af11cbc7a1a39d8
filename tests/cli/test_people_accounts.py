"""What an account has to log in with: a shell, a password, keys, and whether sshd wants it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from admin_cli.host import accounts
from admin_cli.host.accounts import MAYBE, NO, ONE_COMMAND, YES, Shadow
from admin_cli.host.sshd import access as sshd_access


@pytest.fixture
def alice() -> pwd.struct_passwd:
    return pwd.struct_passwd(("alice", "x", 4000, 4000, "", "/home/alice", "/bin/sh"))


def at_home(folder: Path) -> pwd.struct_passwd:
    """Return alice, whose home ``folder`` is, with the number of whoever runs the tests."""
    return pwd.struct_passwd(("alice", "x", os.getuid(), 4000, "", str(folder), "/bin/sh"))


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("$y$j9T$x", True),
        ("!$y$j9T$x", False),
        ("!", False),
        ("*", False),
        ("!*", False),
        ("", False),
    ],
)
def test_locked_and_empty_passwords_are_none(
    alice: pwd.struct_passwd, password: str, expected: bool
) -> None:
    assert expected is accounts.has_password(alice, {"alice": Shadow(password)})


@pytest.mark.parametrize(
    ("field", "expected"), [("x", True), ("*", True), ("!*", False), ("$6$x", True), ("", False)]
)
def test_account_of_a_directory_has_a_password(field: str, expected: bool) -> None:
    entry = pwd.struct_passwd(("alice", field, 4000, 4000, "", "/home/alice", "/bin/sh"))
    assert expected is accounts.has_password(entry, {})


def test_shadow_is_read_whatever_is_in_it(
    alice: pwd.struct_passwd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shadow").write_bytes(
        b"alice:$6$x:19000:0:99999:7::10:\nbob:*\n\n\xff:!:::::::\nalice:again:::::::\n"
    )
    monkeypatch.setattr(accounts, "SHADOW", str(tmp_path / "shadow"))
    lines = accounts.read_shadow()
    assert Shadow("$6$x", 10, 19000) == lines["alice"]
    assert Shadow("*") == lines["bob"]
    assert accounts.has_expired(alice, lines)
    assert not accounts.has_expired(alice, {"alice": Shadow("$6$x", 1_000_000)})


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ("/bin/sh", True),
        ("", True),
        ("/usr/sbin/nologin", False),
        ("/bin/false", False),
        ("/bin/sync", False),
        ("/no/such/shell", False),
    ],
)
def test_program_that_is_no_shell_lets_nobody_in(shell: str, expected: bool) -> None:
    entry = pwd.struct_passwd(("alice", "x", 4000, 4000, "", "/home/alice", shell))
    assert expected is accounts.has_shell(entry)


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI alice\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KEY, YES),
        (f"# the phone\n{KEY}", YES),
        ("# none\n\n", NO),
        ("", NO),
        (f'no-pty,command="echo log in as debian" {KEY}', ONE_COMMAND),
        (f'command="backup" {KEY}{KEY}', YES),
    ],
)
def test_key_that_gives_a_shell_is_a_key(tmp_path: Path, text: str, expected: str) -> None:
    entry = at_home(tmp_path)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/authorized_keys").write_text(text, "utf-8")
    (tmp_path / ".ssh/authorized_keys").chmod(0o600)
    assert expected == accounts.has_key(entry, {})


def test_keys_that_others_can_write_are_not_sure_to_be_taken(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY, "utf-8")
    (tmp_path / "keys").chmod(0o666)
    assert MAYBE == accounts.has_key(at_home(tmp_path), {"authorizedkeysfile": "none %h/keys"})


def test_what_is_no_file_holds_no_key_and_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    settings = {"authorizedkeysfile": "fifo device ."}
    writer = os.open(tmp_path / "fifo", os.O_RDWR)  # with one, reading finds no end
    try:
        assert NO == accounts.has_key(at_home(tmp_path), settings)
    finally:
        os.close(writer)


@pytest.mark.root
def test_file_that_the_kernel_makes_up_is_not_read(tmp_path: Path) -> None:
    """To read what the kernel logs is to wait for it, and to take it from whom it is for."""
    (tmp_path / "keys").symlink_to("/proc/kmsg")
    assert NO == accounts.has_key(at_home(tmp_path), {"authorizedkeysfile": "keys"})


def test_link_to_a_file_with_a_key_is_followed(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY, "utf-8")
    (tmp_path / "keys").chmod(0o600)
    (tmp_path / "link").symlink_to("keys")
    assert YES == accounts.has_key(at_home(tmp_path), {"authorizedkeysfile": "link"})


def test_place_of_the_keys_is_what_sshd_says(tmp_path: Path) -> None:
    keys = tmp_path / f"%-alice-{os.getuid()}"
    keys.write_text(KEY, "utf-8")
    keys.chmod(0o600)
    settings = {"authorizedkeysfile": f".ssh/authorized_keys {tmp_path}/%%-%u-%U"}
    assert YES == accounts.has_key(at_home(tmp_path), settings)


@pytest.mark.parametrize("keyword", ["authorizedkeyscommand", "trustedusercakeys"])
def test_keys_that_a_program_or_an_authority_knows_may_be_there(
    alice: pwd.struct_passwd, keyword: str
) -> None:
    assert MAYBE == accounts.has_key(alice, {keyword: "/usr/bin/keys"})
    assert NO == accounts.has_key(alice, {keyword: "none"})
    assert NO == accounts.has_key(alice, {keyword: "/usr/bin/keys", "pubkeyauthentication": "no"})


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({}, True),
        ({"allowusers": "bob alice"}, True),
        ({"allowusers": "bob"}, False),
        ({"allowusers": "al?ce@192.0.2.*"}, True),
        ({"allowusers": "[a]lice"}, False),
        ({"denyusers": "al*"}, False),
        ({"denyusers": "alice@192.0.2.1"}, True),
        ({"denyusers": "alice", "allowusers": "alice"}, False),
        ({"allowgroups": "admins"}, True),
        ({"allowgroups": "others"}, False),
        ({"denygroups": "adm*"}, False),
        ({"allowusers": "alice", "allowgroups": "others"}, False),
    ],
)
def test_lists_of_sshd_decide_who_may_log_in(
    alice: pwd.struct_passwd, lists: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts.directory, "group_names", lambda entry: {"alice", "admins"})
    assert expected is sshd_access.is_allowed(alice, lists)
