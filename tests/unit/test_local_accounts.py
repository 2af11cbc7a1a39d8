"""Nobody waits for a directory on behalf of an account that this machine's files name."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pam_totp.login import identity, membership
from pam_totp.service import local_accounts
from pam_totp.service.local_accounts import LocalAccounts

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
alice:x:1000:1000:Alice,,,:/home/alice:/bin/bash
jürgen:x:1001:1001::/home/jürgen:/bin/sh
"""
NAMES = {line.partition(":")[0] for line in PASSWD.splitlines()}
YOUNG_NS = 20_000_000  # more than a tick of the kernel's clock


class Files:
    def __init__(self, folder: Path) -> None:
        self.passwd, self.switch = folder / "passwd", folder / "nsswitch.conf"
        self.socket = folder / "nscd"
        self.passwd.write_text(PASSWD, encoding="utf-8")
        self.switch.write_text("passwd: files systemd sss\n", encoding="utf-8")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    files = Files(tmp_path)
    monkeypatch.setattr(identity, "PASSWD_FILE", str(files.passwd))
    monkeypatch.setattr(membership, "SWITCH_FILE", str(files.switch))
    monkeypatch.setattr(local_accounts, "NSCD_SOCKET", str(files.socket))
    return files


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_accounts, "YOUNG_NS", YOUNG_NS)
    time.sleep(2 * YOUNG_NS / 1e9)


@pytest.mark.parametrize("name", ["root", "alice", "jürgen"])
def test_account_of_the_file_is_local(files: Files, name: str) -> None:
    assert LocalAccounts().has(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "bob", "ali", "alice2", "Alice", "lice", "x", "1000", "/bin/bash", "Alice,,,"),
        *("alice:x", "alice:", "root:x:0:0:root:/root:/bin/bash\nalice", "\nalice", "alice\n"),
        *("alice\0", "\udcff", "alice ", " alice", "#alice", "+", "-", "+alice"),
    ],
)
def test_any_other_name_is_not(files: Files, name: str) -> None:
    assert not LocalAccounts().has(name)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("+", "+::::::"),
        ("+bob", "+bob:x:1:1::/:/bin/sh"),
        ("-bob", "-bob:x:1:1::/:/bin/sh"),
        ("#bob", "#bob:x:1:1::/:/bin/sh"),
        ("bob", "#bob:x:1:1::/:/bin/sh"),
        ("bob", "bob:x"),
        ("bob", "bob:x:1:1::/"),
        ("bob", "bob:x::1::/:/bin/sh"),
        ("bob", "bob:x:1:::/:/bin/sh"),
        ("bob", "bob:x:one:1::/:/bin/sh"),
    ],
)
def test_line_that_nss_passes_over_names_nobody(files: Files, name: str, line: str) -> None:
    """NSS asks the directory next, and the loop would wait for it at every login of that name."""
    files.passwd.write_text(f"{line}\n{PASSWD}", encoding="utf-8")
    assert not LocalAccounts().has(name)
    assert LocalAccounts().has("alice")


def test_first_line_and_last_line_count(files: Files) -> None:
    files.passwd.write_text(PASSWD.rstrip("\n"), encoding="utf-8")
    accounts = LocalAccounts()
    assert accounts.has("root")
    assert accounts.has("jürgen")


@pytest.mark.parametrize(
    ("switch", "is_local"),
    [
        ("passwd: files\n", True),
        ("passwd:files ldap\n", True),
        ("group: ldap\n", True),  # glibc asks the files, where no line says otherwise
        ("passwd: files [NOTFOUND=return] ldap\n", False),  # an action: nobody thinks about it here
        ("passwd: files [SUCCESS=continue] ldap\n", False),
        ("passwd: sss files\n", False),
        ("passwd: compat\n", False),
        ("passwd:\n", False),
    ],
)
def test_files_have_to_come_first(files: Files, switch: str, is_local: bool) -> None:
    files.switch.write_text(switch, encoding="utf-8")
    assert is_local == LocalAccounts().has("alice")


def test_nscd_is_asked_before_any_file(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    accounts = LocalAccounts()
    assert accounts.has("alice")
    files.socket.symlink_to("nowhere")
    assert not accounts.has("alice")
    files.socket.unlink()
    assert accounts.has("alice")


@pytest.mark.parametrize("name", ["passwd", "switch"])
def test_without_a_file_nobody_is_local(files: Files, name: str) -> None:
    accounts = LocalAccounts()
    assert accounts.has("alice")
    getattr(files, name).unlink()
    assert not accounts.has("alice")


# From the moment it is


@pytest.mark.parametrize("is_settled", [False, True])
def test_change_counts_from_the_moment_it_is_made(
    files: Files, monkeypatch: pytest.MonkeyPatch, is_settled: bool
) -> None:
    if is_settled:
        settle(monkeypatch)
    accounts = LocalAccounts()
    assert accounts.has("alice")
    files.passwd.write_text(PASSWD.replace("alice", "ecila"), encoding="utf-8")  # of the same size
    assert [False, True] == [accounts.has(name) for name in ("alice", "ecila")]
    new = files.passwd.with_name("new")
    new.write_text(PASSWD, encoding="utf-8")
    os.rename(new, files.passwd)
    assert [True, False] == [accounts.has(name) for name in ("alice", "ecila")]
    files.switch.write_text("passwd: sss files\n", encoding="utf-8")
    assert not accounts.has("alice")
    files.switch.write_text("passwd: files sss\n", encoding="utf-8")
    assert accounts.has("alice")


@pytest.mark.parametrize("name", ["passwd", "switch"])
def test_what_has_just_changed_is_read_each_time(
    files: Files, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A second change in the same tick of the clock leaves no other time stamp."""
    settle(monkeypatch)
    path = getattr(files, name)
    path.write_bytes(path.read_bytes())
    accounts = LocalAccounts()
    assert accounts.has("alice")
    state = local_accounts._state(str(path))
    real = local_accounts._state
    monkeypatch.setattr(
        local_accounts, "_state", lambda asked: state if asked == str(path) else real(asked)
    )
    path.write_text("")
    assert not accounts.has("alice") or name == "switch"
    path.write_text("passwd: sss\n")
    assert not accounts.has("alice")


def test_what_is_settled_is_not_read_again(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    accounts = LocalAccounts()
    assert accounts.has("alice")
    monkeypatch.setattr(accounts.__class__, "_read", lambda *_: pytest.fail("read again"))
    assert [True, False] == [accounts.has(name) for name in ("alice", "bob")]


def test_file_exchanged_while_it_is_read_is_read_again(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    accounts = LocalAccounts()
    first = membership.files_come_first

    def exchange(*databases: bytes) -> bool:
        files.passwd.write_text(PASSWD.replace("alice", "ecila"), encoding="utf-8")
        return first(*databases)

    with monkeypatch.context() as patch:
        patch.setattr(membership, "files_come_first", exchange)
        assert not accounts.has("alice")
    files.passwd.write_text(PASSWD, encoding="utf-8")
    assert accounts.has("alice")


@given(st.text(max_size=12) | st.sampled_from(sorted(NAMES)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # files stay as they are
def test_no_name_raises_and_only_those_of_the_file_are_local(files: Files, name: str) -> None:
    assert (name in NAMES) == LocalAccounts().has(name)
