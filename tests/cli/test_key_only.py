"""The file of those whom sshd lets in by a key alone: its text, and what may stand against it."""

from __future__ import annotations

import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from admin_cli.enable import blocks, sshd_files, trial, trial_record
from admin_cli.enable.trial import Change
from admin_cli.errors import CommandFailed
from admin_cli.host import directory, files, key_only, sshd
from admin_cli.host.key_only import KeyOnly
from admin_cli.host.sshd import files as sshd_settings
from admin_cli.host.sshd import key_only_state
from pam_totp.stack import pam_stack
from tests.cli.command import Totpctl

ROBOT = KeyOnly("robot")
FROM = KeyOnly("backup", ("192.0.2.7", "2001:db8::/32"))
ALL = (FROM, ROBOT)


def test_the_file_says_whom_sshd_lets_in_and_by_what() -> None:
    assert [
        "Match User robot",
        "    PubkeyAuthentication yes",
        "    AuthenticationMethods publickey",
        "    PasswordAuthentication no",
        "    KbdInteractiveAuthentication no",
    ] == key_only.text([ROBOT]).splitlines()[1:-1]


def test_with_addresses_everywhere_else_is_denied() -> None:
    lines = key_only.text([FROM]).splitlines()[1:-1]
    assert "Match User backup Address 192.0.2.7,2001:db8::/32" == lines[0]
    assert ["Match User backup Address *,!192.0.2.7,!2001:db8::/32", "    DenyUsers *"] == lines[5:]


def test_nobody_is_no_file() -> None:
    assert "" == key_only.text([])
    assert () == key_only.understood("")


def test_what_was_written_is_understood() -> None:
    assert ALL == key_only.understood(key_only.text(ALL))


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "PermitRootLogin yes\n",
        lambda text: text.replace("User robot", "User robot,alice"),
        lambda text: text.replace("User robot", "User *"),
        lambda text: text.replace("User robot", "User !robot"),
        lambda text: text.replace("User robot", 'User "robot"'),
        lambda text: text.replace("Methods publickey", "Methods any", 1),
        lambda text: text.replace("!192.0.2.7", "!192.0.2.8"),
        lambda text: text.replace("    DenyUsers *\n", ""),
        lambda text: text + text,
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace("Match User robot", "match user robot"),
        lambda text: f"Match User carol\n{text}",
    ],
)
def test_what_was_edited_is_not_believed(edit: Callable[[str], str]) -> None:
    edited = edit(key_only.text(ALL))
    assert edited != key_only.text(ALL)
    assert key_only.understood(edited) is None


def test_who_is_taken_out_is_gone_and_the_others_stay() -> None:
    assert key_only.text([ROBOT]) == key_only.without(key_only.text(ALL), ["backup"])
    assert "" == key_only.without(key_only.text(ALL), ["backup", "robot"])


def test_who_is_taken_out_of_an_edited_file_is_gone_and_edits_stay() -> None:
    edited = f"Port 22\n{key_only.text(ALL)}Match User carol\n    X11Forwarding no\n"
    left = key_only.without(edited, ["backup"])
    assert "backup" not in left
    assert "DenyUsers" not in left
    assert left.startswith("Port 22\n")
    assert "Match User robot\n    PubkeyAuthentication yes\n" in left
    assert left.endswith("# END pam_totp\nMatch User carol\n    X11Forwarding no\n")


@pytest.mark.parametrize("name", ["robot", "_apt", "svc.backup", "a-b_c+d", "j@corp", "host$", "7"])
def test_plain_names_are_taken(name: str) -> None:
    assert key_only.is_plain(name)
    assert (KeyOnly(name),) == key_only.understood(key_only.text([KeyOnly(name)]))


@pytest.mark.parametrize(
    "name",
    [
        "", "*", "b*", "b?", "!robot", "a,b", "a b", "a\tb", 'a"b', "a'b", "a\\b", "CORP\\bob",
        "a#b", "-a", "+a", "a\n", "a\nMatch all", "h\u00e9", "a%u", "a$b", "all=x", "\u0430",
    ],
)  # fmt: skip
def test_names_that_a_pattern_would_read_otherwise_are_not(name: str) -> None:
    assert not key_only.is_plain(name)


# What Match blocks of others say


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (("User backup",), True),
        (("User=backup",), True),
        (("user b*",), True),
        (("User alice,backup",), True),
        (("User *,!backup",), False),
        (("User alice",), False),
        (("Group robots",), True),
        (("Group staff",), False),
        (("Group robots User alice",), False),
        (("Address 10.0.0.0/8",), True),
        (("User alice", "Address 10.0.0.0/8"), False),
        (("all",), True),
        (("LocalPort 22 User alice",), False),
        (("invalid-user",), True),
    ],
)
def test_lines_of_others_that_may_be_about_an_account_are_found(
    monkeypatch: pytest.MonkeyPatch, conditions: tuple[str, ...], expected: bool
) -> None:
    line = sshd_settings.Setting("/etc/ssh/x", 3, "pubkeyauthentication", "no", conditions)
    same = line._replace(value="Yes")
    other = line._replace(keyword="x11forwarding")
    ours = line._replace(file=key_only.FILE)
    monkeypatch.setattr(sshd, "settings_of_files", lambda: [line, same, other, ours])
    monkeypatch.setattr(directory, "group_names", lambda entry: {"robots", "backup"})
    entry = pwd.struct_passwd(("backup", "x", 2001, 2001, "", "/home/backup", "/bin/sh"))
    assert ([line] if expected else []) == key_only_state.conflicts(entry)


# As a trial


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the file; sshd takes everything."""
    folder = tmp_path / "sshd_config.d"
    for new in (tmp_path / "pam.d", folder, tmp_path / "var"):
        new.mkdir()
    monkeypatch.setattr(pam_stack, "PAM_FOLDERS", (str(tmp_path / "pam.d"),))
    monkeypatch.setattr(sshd, "DROP_IN", str(folder / "00-pam_totp.conf"))
    monkeypatch.setattr(key_only, "FILE", str(folder / "00-pam_totp-key-only.conf"))
    monkeypatch.setattr(sshd_files, "_tell", lambda: None)
    monkeypatch.setattr(trial_record, "RECORD", str(tmp_path / "var" / "unconfirmed.json"))
    monkeypatch.setattr(trial, "LOCK", str(tmp_path / "lock"))
    return Path(key_only.FILE)


def begun(file: Path, after: str) -> trial_record.Trial:
    before = files.read(str(file))
    change = Change(str(file), before, after.encode())
    new = trial.begin([change], (), None, 600, exempted={"robot": "active 0"})
    trial.carry_out(new, [change])
    return new


@pytest.mark.parametrize("before", [(), (FROM,)])
def test_a_trial_that_is_undone_leaves_the_file_as_it_was(
    file: Path, before: tuple[KeyOnly, ...]
) -> None:
    if before:
        file.write_text(key_only.text(before), encoding="ascii")
    begun(file, key_only.text((*before, ROBOT)))
    waiting = trial_record.pending()
    assert waiting is not None
    assert ("robot (key only)", {"robot": "active 0"}) == (waiting.subject, waiting.exempted)
    assert [] == trial.undo(waiting)
    assert key_only.text(before) == (file.read_text("ascii") if before else "")
    assert file.exists() is bool(before)
    assert [file.name] * bool(before) == [
        path.name for path in file.parent.iterdir() if ".pam_totp-spare." not in path.name
    ]


@pytest.mark.parametrize("before", [(), (FROM,)])
def test_a_trial_whose_record_was_lost_is_undone(file: Path, before: tuple[KeyOnly, ...]) -> None:
    if before:
        file.write_text(key_only.text(before), encoding="ascii")
    begun(file, key_only.text((*before, ROBOT)))
    Path(trial_record.RECORD).unlink()
    waiting = trial_record.pending()
    assert waiting is not None
    assert (trial_record.LOST, ("sshd",)) == (waiting.id, waiting.services)
    trial.undo(waiting)
    assert file.exists() is bool(before)
    assert not before or key_only.text(before) == file.read_text("ascii")


def test_edits_of_a_file_that_is_undone_lie_beside_it(file: Path) -> None:
    begun(file, key_only.text([ROBOT]))
    file.write_text("Match User alice\n", encoding="ascii")
    waiting = trial_record.pending()
    assert waiting is not None
    (note,) = trial.undo(waiting)
    assert "later edits are in" in note
    assert not file.exists()
    assert "Match User alice\n" == Path(files.beside(str(file), files.EDITED)).read_text("ascii")


def test_nobody_is_left_in_the_file_where_no_record_is_believed(file: Path) -> None:
    begun(file, key_only.text([ROBOT]))
    assert [f"our lines are removed from {file}"] == trial.take_out_everything()
    assert not file.exists()


def test_the_file_is_ours_as_a_whole(file: Path) -> None:
    assert "" == blocks.keys_of(str(file), key_only.text([ROBOT]).encode())
    assert blocks.keys_of(str(file), b"\n") is None
    with pytest.raises(CommandFailed, match="was edited"):
        blocks.taken_back(str(file), b"Port 22\n", None)


# Options


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("robot --key-only --until 2099-01-31", "--key-only and --until cannot be used together"),
        ("robot --key-only --remove", "--key-only and --remove cannot be used together"),
        ("robot --key-only --group sudo", "--key-only and --group cannot be used together"),
        ("robot --key-only --no-confirm --confirm-within 1m", "cannot be used together"),
        ("robot --from 192.0.2.7", "--from needs --key-only"),
        ("robot --no-confirm", "--no-confirm needs --key-only"),
        ("robot --yes", "--yes needs --key-only"),
        ("robot --key-only --from 0.0.0.0/0", "0.0.0.0/0 is as good as everywhere"),
        ("robot --key-only --from office.example", "'office.example' is no address"),
        ("robot --key-only --from 10.0.0.1/8", "is 10.0.0.0/8 meant?"),
        ("robot --key-only --from 192.0.2.7,", "'' is no address"),
        (f"robot --key-only --from {','.join(['::1'] * 33)}", "at most 32 addresses"),
        ("--key-only", "name a USER"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(
    totpctl: Totpctl, arguments: str, problem: str
) -> None:
    result = totpctl("exempt", *arguments.split())
    assert 2 == result.code
    assert problem in result.err
