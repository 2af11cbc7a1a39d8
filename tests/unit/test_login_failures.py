"""Whatever fails denies: the store, the key, the configuration, the conversation, the commit."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pam_totp.login import messages
from pam_totp.store import sealing
from pam_totp.store.sqlite.store import SQLiteStore, Transaction
from pam_totp.system.errors import StoreCorrupt, StoreUnavailable
from tests.support.place import code_now, wrong_code
from tests.unit.door import Door
from tests.unit.fake_pam import CONSTANTS, Answer, PamException

UNAVAILABLE = [(CONSTANTS["PAM_ERROR_MSG"], messages.UNAVAILABLE)]


def check_that_all_are_denied(door: Door, path: Path, problem: str) -> None:
    """Nobody is let in, asked or skipped, and each line names the file."""
    for user in ("alice", "bob", "no-such-user"):
        entered = door.login(user=user, argv=["nullok"])
        assert "PAM_AUTHINFO_UNAVAIL" == entered.result
        assert UNAVAILABLE == entered.pamh.transcript
        line = door.log.lines()[-1]
        assert f" event=error user={user} " in line
        assert f'reason="{path}: {problem}' in line
        assert " hint=" in line
    assert 3 == len(door.log.lines())


def test_a_missing_store_denies(door: Door) -> None:
    door.place.store_path.unlink()
    check_that_all_are_denied(door, door.place.store_path, "there is no store")


def test_a_missing_folder_denies(door: Door) -> None:
    folder = door.place.store_path.parent
    folder.rename(folder.with_name("elsewhere"))
    check_that_all_are_denied(door, folder, "No such file or directory")


@pytest.mark.parametrize("content", [b"", b"junk" * 5000, b"SQLite format 3\0" + bytes(5000)])
def test_a_corrupt_store_denies(door: Door, content: bytes) -> None:
    for path in door.place.store_path.parent.iterdir():
        path.unlink()
    door.place.store_path.write_bytes(content)
    door.place.store_path.chmod(0o600)
    check_that_all_are_denied(door, door.place.store_path, "is ")


def test_a_store_that_others_may_write_denies(door: Door) -> None:
    door.place.store_path.chmod(0o660)
    check_that_all_are_denied(door, door.place.store_path, "is writable by others")


def test_a_folder_that_others_may_write_denies(door: Door) -> None:
    door.place.store_path.parent.chmod(0o770)
    check_that_all_are_denied(door, door.place.store_path.parent, "is writable by others")


def test_a_store_behind_a_link_denies(door: Door) -> None:
    real = door.place.store_path.with_name("real.db")
    door.place.store_path.rename(real)
    door.place.store_path.symlink_to(real)
    check_that_all_are_denied(door, door.place.store_path, "is a symbolic link")


def test_a_missing_key_denies(door: Door) -> None:
    door.place.key_path.unlink()
    check_that_all_are_denied(door, door.place.key_path, "there is no sealing key")


@pytest.mark.parametrize("content", [b"", b"junk", b"00" * 31, b"\xff" * 64])
def test_a_corrupt_key_denies(door: Door, content: bytes) -> None:
    door.place.key_path.write_bytes(content)
    check_that_all_are_denied(door, door.place.key_path, "")


def test_a_key_that_others_may_read_denies(door: Door) -> None:
    door.place.key_path.chmod(0o640)
    check_that_all_are_denied(door, door.place.key_path, "is readable by others")


def test_a_key_that_is_a_fifo_denies_and_does_not_hang(door: Door) -> None:
    door.place.key_path.unlink()
    os.mkfifo(door.place.key_path, 0o600)
    check_that_all_are_denied(door, door.place.key_path, "is not a regular file")


def test_another_key_denies(door: Door) -> None:
    door.place.key_path.write_bytes(b"00" * 32)
    check_that_all_are_denied(door, door.place.key_path, "is key ")


@pytest.mark.parametrize("argv", [[], ["nullok"], ["first_factor=key"]])
def test_a_configuration_that_others_may_write_denies(door: Door, argv: list[str]) -> None:
    door.place.config_path.chmod(0o666)
    entered = door.login(argv=argv)
    assert "PAM_AUTHINFO_UNAVAIL" == entered.result
    assert [] == entered.pamh.prompts
    (line,) = door.log.lines()
    assert f'reason="{door.place.config_path}: is writable by others"' in line
    assert f'hint="run: chmod go-w {door.place.config_path}"' in line


def test_a_configuration_that_is_a_folder_denies(door: Door) -> None:
    door.place.config_path.unlink()
    door.place.config_path.mkdir(0o755)
    assert "PAM_AUTHINFO_UNAVAIL" == door.login().result
    assert f'reason="{door.place.config_path}: is not a regular file"' in door.log.lines()[0]


def test_members_of_exempt_groups_get_in_without_a_store(door: Door) -> None:
    door.place.configure(exempt_groups="staff")
    door.place.store_path.unlink()
    assert "PAM_IGNORE" == door.login(user="bob").result
    assert "PAM_AUTHINFO_UNAVAIL" == door.login(user="alice").result


def test_a_store_that_breaks_while_typing_denies(door: Door) -> None:
    slow = door.meanwhile(code_now(), door.place.store_path.unlink)
    entered = door.login(slow)
    assert "PAM_AUTHINFO_UNAVAIL" == entered.result
    assert UNAVAILABLE == entered.pamh.messages
    assert ["error"] == door.log.events()


@pytest.mark.parametrize("moment", ["save", "commit"])
def test_a_right_code_that_cannot_be_recorded_denies(
    door: Door, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(self: Transaction, *arguments: object) -> None:
        self._database.roll_back()
        raise StoreUnavailable("/store.db", "cannot be written", "make room")

    monkeypatch.setattr(Transaction, "save" if moment == "save" else "__exit__", disk_full)
    entered = door.login(code_now())
    assert "PAM_AUTHINFO_UNAVAIL" == entered.result
    assert UNAVAILABLE == entered.pamh.messages
    assert ["error"] == door.log.events()
    assert 'reason="/store.db: cannot be written" hint="make room"' in door.log.lines()[0]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "system: Too many open files"),
        (OSError(errno.EIO, "Input/output error", "/etc/x"), "/etc/x: Input/output error"),
        (OSError("hunter2"), "system: OSError"),
    ],
)
@pytest.mark.parametrize("argv", [[], ["nullok"], ["first_factor=key"]])
def test_an_error_of_the_system_denies(
    door: Door, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str, argv: list[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("pam_totp.system.trusted_files.check_folder", fail)
    for user in ("alice", "bob", "no-such-user"):
        entered = door.login(user=user, argv=argv)
        assert "PAM_AUTHINFO_UNAVAIL" == entered.result
        assert [] == entered.pamh.prompts
    assert 3 == len(door.log.lines())
    assert all(f'reason="{reason}"' in line for line in door.log.lines())


def test_an_error_of_the_system_after_the_answer_denies_with_a_message(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    slow = door.meanwhile(code_now(), lambda: monkeypatch.setattr(sealing, "read_sealer", fail))
    entered = door.login(slow)
    assert "PAM_AUTHINFO_UNAVAIL" == entered.result
    assert UNAVAILABLE == entered.pamh.messages


def test_nobody_is_skipped_by_a_store_whose_damage_could_hide_them(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(self: SQLiteStore) -> None:
        raise StoreCorrupt("/store.db", "is damaged", "restore it")

    monkeypatch.setattr(SQLiteStore, "confirm_absence", damaged)
    entered = door.login(user="bob", argv=["nullok"])
    assert "PAM_AUTHINFO_UNAVAIL" == entered.result
    assert 'reason="/store.db: is damaged"' in door.log.lines()[-1]
    assert "PAM_SUCCESS" == door.login(code_now(), argv=["nullok"]).result


IN_A_PROMPT = [(CONSTANTS["PAM_PROMPT_ECHO_OFF"], f"{messages.UNAVAILABLE}\nPress Enter: ")]
SILENT = CONSTANTS["PAM_SILENT"]


@pytest.mark.parametrize("answer", ["", "123456", None, PamException("Ctrl-C"), b"\xff"])
def test_where_prompts_alone_are_shown_one_says_that_codes_cannot_be_checked(
    door: Door, answer: Answer
) -> None:
    """sudo blames the person else. What is answered, or that nothing is, changes nothing."""
    door.place.store_path.unlink()
    for user in ("alice", "bob", "no-such-user"):
        entered = door.login(answer, user=user, flags=SILENT)
        assert "PAM_AUTHINFO_UNAVAIL" == entered.result
        assert IN_A_PROMPT == entered.pamh.transcript
    assert ["error"] * 3 == door.log.events()


def test_so_it_is_where_the_store_breaks_while_typing(door: Door) -> None:
    slow = door.meanwhile(code_now(), door.place.store_path.unlink)
    entered = door.login(slow, "", flags=SILENT)
    assert "PAM_AUTHINFO_UNAVAIL" == entered.result
    assert IN_A_PROMPT == entered.pamh.transcript[1:]
    assert [] == door.login(flags=SILENT, argv=["quiet"]).pamh.transcript


def test_no_message_about_the_failure_is_shown_to_a_quiet_application(door: Door) -> None:
    door.place.store_path.unlink()
    assert [] == door.login(argv=["quiet"]).pamh.transcript


# The conversation


@pytest.mark.parametrize("user", ["alice", "bob", "no-such-user"])
def test_no_answer_is_a_failed_conversation(door: Door, user: str) -> None:
    entered = door.login(None, user=user)
    assert "PAM_CONV_ERR" == entered.result
    assert "aborted" == door.log.events()[-1]
    assert 'reason="conversation: no answer came back"' in door.log.lines()[-1]


def test_an_application_that_does_not_ask_is_a_failed_conversation(door: Door) -> None:
    entered = door.login(wrong_code(), PamException("x"))
    assert "PAM_CONV_ERR" == entered.result
    assert ["rejected", "aborted"] == door.log.events()
    assert 'reason="conversation: the application did not ask"' in door.log.lines()[-1]


def test_an_error_of_our_own_is_left_to_the_hook(door: Door) -> None:
    with pytest.raises(ZeroDivisionError):
        door.login(ZeroDivisionError())
