"""totpctl rotate-key: what it asks, says, refuses and leaves, and how it goes on."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import click.testing
import pytest

from admin_cli.host import files
from admin_cli.main import totpctl as group
from pam_totp.core.verifier import CODE, Answer, Policy
from pam_totp.stack import pam_stack
from pam_totp.store import LoginAttempt, sealing
from pam_totp.store.postgresql.kept_kit import KeptKit
from pam_totp.store.postgresql.offline import OfflineStore
from tests.cli.command import Result, Totpctl, is_in_order
from tests.cli.terminal import Terminals
from tests.fleet.outage import ALICE, SOURCE, UNREACHABLE, FakeFleet
from tests.support.logs import LogSocket, fields
from tests.support.place import SECRET, Place, code_now


@pytest.fixture(autouse=True)
def alice(place: Place) -> Place:
    place.enrol("alice")
    place.enrol("bob", b"x" * 20)
    return place


def secret_of_alice(place: Place) -> bytes | None:
    with place.open() as opened, opened.transaction("alice") as transaction:
        assert transaction.record is not None
        return transaction.record.authenticators[0].secret


def refused(totpctl: Totpctl, place: Place) -> Result:
    """Run it where it has to refuse; return what it said. Nothing may have been changed."""
    key, store = place.key_path.read_bytes(), place.store_path.read_bytes()
    result = totpctl("rotate-key", "--yes")
    assert result.code in (1, 5)
    assert (key, store) == (place.key_path.read_bytes(), place.store_path.read_bytes())
    assert [] == leftovers(place)
    return result


def run_here(place: Place) -> click.testing.Result:
    """Run it in this process."""
    arguments = ["--config", str(place.config_path), "rotate-key", "--yes"]
    return click.testing.CliRunner().invoke(group, arguments)


def leftovers(place: Place) -> list[str]:
    return [path.name for path in place.folder.iterdir() if files.NEW in path.name]


def test_the_key_is_another_one_and_every_secret_the_same(totpctl: Totpctl, place: Place) -> None:
    old = place.sealer()
    result = totpctl.done("rotate-key", "--yes")
    new = place.sealer()
    assert old.key_id != new.key_id
    assert () == new.others
    assert SECRET == secret_of_alice(place)
    assert is_in_order(place)
    assert "" == result.out
    assert (
        f"2 secrets are sealed with the new key {new.key_id.hex()}; the old key "
        f"{old.key_id.hex()} now opens only earlier backups\n"
        f"back up {place.key_path} and the store again\n"
    ) == result.err


def test_no_key_is_shown_or_logged(totpctl: Totpctl, place: Place, log: LogSocket) -> None:
    old = place.sealer().key_file().decode().strip()
    result = totpctl.done("rotate-key", "--yes")
    new = place.sealer().key_file().decode().strip()
    shown = result.err + log.text()
    assert not [key for key in (old, new) if key in shown or key[:16] in shown]


def test_it_is_logged_once_it_is_done(totpctl: Totpctl, place: Place, log: LogSocket) -> None:
    totpctl.done("rotate-key", "--yes")
    (line,) = [fields(line) for line in log.lines()]
    assert "key_rotated" == line["event"]
    assert place.sealer().key_id.hex() == line["key_id"]
    assert line["by"]


def test_it_asks_and_without_a_terminal_refuses(totpctl: Totpctl, place: Place) -> None:
    key = place.key_path.read_bytes()
    result = totpctl("rotate-key")
    assert 1 == result.code
    assert "confirm it in advance with --yes" in result.err
    assert key == place.key_path.read_bytes()


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), ("y", 0)])
def test_nothing_but_a_yes_rotates(
    terminals: Terminals, place: Place, answer: str, code: int
) -> None:
    key = place.key_path.read_bytes()
    terminal = terminals.open("rotate-key")
    terminal.wait_for("no longer be on this machine")
    terminal.type(answer)
    assert code == terminal.end()
    assert (code == 0) == (key != place.key_path.read_bytes())


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_the_key_file_keeps_its_mode_and_place(totpctl: Totpctl, place: Place, mode: int) -> None:
    place.key_path.chmod(mode)
    totpctl.done("rotate-key", "--yes")
    assert mode == stat.S_IMODE(place.key_path.stat().st_mode)
    assert 65 == len(place.key_path.read_bytes())


def test_a_key_on_another_path_than_the_default_is_the_one(
    totpctl: Totpctl, place: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir(mode=0o755)
    os.rename(place.key_path, folder / "key")
    place.key_path = folder / "key"
    place.configure()
    old = place.sealer().key_id
    totpctl.done("rotate-key", "--yes")
    assert old != place.sealer().key_id
    assert ["key"] == os.listdir(folder)


# What was broken off


@pytest.mark.parametrize("sealed_anew", [False, True])
def test_what_was_broken_off_is_finished_with_the_key_that_it_had_begun(
    totpctl: Totpctl, place: Place, sealed_anew: bool
) -> None:
    new = sealing.new_sealer(str(place.key_path))
    place.key_path.write_bytes(place.sealer().key_file() + new.key_file())
    if sealed_anew:
        with place.open() as opened:
            opened.reseal(new)
    totpctl.done("rotate-key", "--yes")
    assert new.key_file() == place.key_path.read_bytes()
    assert SECRET == secret_of_alice(place)


def test_a_file_that_a_killed_run_left_is_gone_after_the_next(
    totpctl: Totpctl, place: Place
) -> None:
    Path(files.beside(str(place.key_path), files.NEW)).write_bytes(b"two keys")
    totpctl.done("rotate-key", "--yes")
    assert [] == leftovers(place)


def test_a_step_that_fails_says_that_logins_go_on_and_what_to_do(
    totpctl: Totpctl, place: Place, monkeypatch: pytest.MonkeyPatch, in_process: None
) -> None:
    """The key file gets its new key, and then the store is away: its disk, say."""
    replace = files.replace

    def replace_and_lose_the_store(path: str, content: bytes) -> None:
        replace(path, content)
        os.rename(place.store_path, place.folder / "lost")

    monkeypatch.setattr(files, "replace", replace_and_lose_the_store)
    monkeypatch.setattr("pam_totp.system.audit.SYSLOG_SOCKET", "/nowhere")
    result = run_here(place)
    assert result.exception
    assert "there is no store" in str(result.exception)
    assert (
        f"{place.key_path} now holds both the old and the new key, and logins keep working; "
        "to finish, fix the following error and run again: totpctl rotate-key"
    ) in result.output
    os.rename(place.folder / "lost", place.store_path)
    monkeypatch.undo()
    assert 1 == len(place.sealer().others)
    assert SECRET == secret_of_alice(place)
    totpctl.done("rotate-key", "--yes")
    assert SECRET == secret_of_alice(place)


# What is refused before anything is changed


def test_a_damaged_secret_is_refused_with_the_user_and_the_mend(
    totpctl: Totpctl, place: Place
) -> None:
    with sqlite3.connect(place.store_path) as connection:
        connection.execute("UPDATE authenticators SET digits = 8 WHERE user = 'bob'")
    connection.close()
    result = refused(totpctl, place)
    assert "totpctl: error: bob: sealed secret: was altered" in result.err
    assert "totpctl reset USER" in result.err
    totpctl.done("reset", "bob", "--yes", "--no-confirm")
    totpctl.done("rotate-key", "--yes")


def test_a_key_that_is_not_the_store_s_is_refused(totpctl: Totpctl, place: Place) -> None:
    place.key_path.write_bytes(sealing.generate_key_file())
    assert "is sealed with another" in refused(totpctl, place).err


@pytest.mark.parametrize("name", ["key_path", "store_path"])
def test_without_key_or_store_nothing_is_made(totpctl: Totpctl, place: Place, name: str) -> None:
    getattr(place, name).unlink()
    result = totpctl("rotate-key", "--yes")
    assert 5 == result.code
    assert not getattr(place, name).exists()


@pytest.fixture
def pam_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: None) -> Path:
    folder = tmp_path / "pam.d"
    folder.mkdir()
    monkeypatch.setattr(pam_stack, "PAM_FOLDERS", (str(folder),))
    monkeypatch.setattr("pam_totp.system.audit.SYSLOG_SOCKET", "/nowhere")
    return folder


@pytest.mark.parametrize(
    ("arguments", "is_refused"),
    [
        ("config={place.config_path}", False),
        ("store={place.store_path} sealing_key={place.key_path}", False),
        ("store={place.folder}/link/store.db sealing_key={place.key_path}", False),
        ("store={place.folder}/another.db sealing_key={place.folder}/another.key", False),
        ("config={place.folder}/no-such-file", False),
        ("store={place.store_path} sealing_key={place.folder}/copy.key", True),
        ("config={place.config_path} sealing_key={place.folder}/copy.key", True),
        ("config={place.config_path} store={place.folder}/another.db", True),
        ("sealing_key={place.key_path}", True),
    ],
)
def test_a_pam_line_that_pairs_key_and_store_otherwise_is_refused(
    place: Place, pam_folder: Path, arguments: str, is_refused: bool
) -> None:
    """Its logins would be denied from then on."""
    (place.folder / "link").symlink_to(place.store_path.parent)
    line = "auth required pam_totp.so " + arguments.format(place=place)
    (pam_folder / "sshd").write_text(f"auth required pam_unix.so\n{line}\n")
    old = place.sealer().key_id
    result = run_here(place)
    assert is_refused == (old == place.sealer().key_id), result.output
    if is_refused:
        assert "sshd, line 2 has the store" in str(result.exception)


@pytest.mark.parametrize("is_refused", [True, False])
def test_a_pam_file_that_is_not_understood_is_refused_if_it_may_pair_them_otherwise(
    place: Place, pam_folder: Path, is_refused: bool
) -> None:
    argument = "sealing_key=/somewhere" if is_refused else "attempts=1"
    (pam_folder / "sshd").write_text(f"auth [success=?] pam_totp.so {argument}\n")
    old = place.sealer().key_id
    result = run_here(place)
    assert is_refused == (old == place.sealer().key_id), result.output
    assert is_refused == ("sshd, line 1" in str(result.exception))


def test_codes_that_are_kept_for_an_outage_outlast_it(totpctl: Totpctl, place: Place) -> None:
    place.configure(local_store=place.store_path)
    fleet, path = FakeFleet(ALICE), place.store_path.with_name("offline.db")
    kit = KeptKit(str(path), str(place.key_path), may_answer=True)
    store = OfflineStore(fleet, kit)
    store.refresh(["alice"])
    before = path.read_bytes()
    assert 0 == totpctl("rotate-key", "--yes").code
    assert before != path.read_bytes()
    fleet.trouble = UNREACHABLE
    answer = Answer(CODE, code_now())
    for expected in ("accepted", "replayed"):
        verdict = store.verify(
            LoginAttempt("alice", answer, Policy(), is_decoy=False, source=SOURCE)
        )
        assert verdict is not None
        assert expected == verdict.outcome
    kit.close()
