"""The record of a trial, its time, and how one file is put back: no root needed."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from admin_cli.enable import blocks, sshd_files, trial, trial_record
from admin_cli.enable.trial import Change
from admin_cli.enable.trial_record import ChangedFile, Damaged, Trial
from admin_cli.errors import CommandFailed
from admin_cli.host import files, pam_blocks, pam_migration, sshd
from pam_totp.stack import pam_stack

PASSWORD = "auth requisite pam_unix.so\n"
LINES = "account required pam_unix.so\n"
BEFORE = (PASSWORD + LINES).encode()
COMMON_AUTH = PASSWORD + "auth required pam_permit.so\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /etc/pam.d; what the distribution has, for /usr/lib/pam.d, is beside it."""
    pam, vendor = tmp_path / "pam.d", tmp_path / "usr"
    for new in (pam, vendor, tmp_path / "sshd_config.d", tmp_path / "var"):
        new.mkdir(mode=0o755)
    monkeypatch.setattr(pam_stack, "PAM_FOLDERS", (str(pam), str(vendor)))
    monkeypatch.setattr(sshd, "DROP_IN", str(tmp_path / "sshd_config.d" / "00-pam_totp.conf"))
    monkeypatch.setattr(sshd, "check", lambda: None)
    monkeypatch.setattr(sshd, "reload", lambda: None)
    monkeypatch.setattr(trial_record, "RECORD", str(tmp_path / "var" / "unconfirmed.json"))
    monkeypatch.setattr(trial, "LOCK", str(tmp_path / "lock"))
    return pam


@pytest.fixture
def path(folder: Path) -> Path:
    """The file of a service that asks for a password."""
    path = folder / "door"
    path.write_bytes(BEFORE)
    return path


def on(path: Path) -> Change:
    before = files.read(str(path))
    text = BEFORE if before is None else before
    service = path.name
    read = {"common-auth": COMMON_AUTH, service: files.text_of(text)}.get
    after = blocks.pam_file.enabled(service, files.text_of(text), keys=None, read=read)
    return Change(str(path), before, files.bytes_of(after))


def begun(*changes: Change, seconds: int = 600) -> Trial:
    new = trial.begin(changes, ("door",), None, seconds)
    trial.carry_out(new, changes)
    return new


def refuse(*_: object) -> None:
    raise CommandFailed("no, says sshd")


def names(folder: Path) -> list[str]:
    return sorted(found.name for found in folder.iterdir())


# One file


def test_a_file_is_put_back_as_the_file_that_it_was(path: Path) -> None:
    path.chmod(0o640)
    os.setxattr(path, "user.note", b"kept")
    inode = path.stat().st_ino
    new = begun(on(path))
    assert b"pam_totp.so" in path.read_bytes()
    assert (0o640, b"kept") == (path.stat().st_mode & 0o777, os.getxattr(path, "user.note"))
    assert inode != path.stat().st_ino
    trial.undo(new)
    assert (BEFORE, inode, 1) == (path.read_bytes(), path.stat().st_ino, path.stat().st_nlink)
    assert ["door"] == names(path.parent)


def test_putting_back_twice_changes_nothing_the_second_time(path: Path) -> None:
    new = begun(on(path))
    assert [] == trial.undo(new)
    status = path.stat()
    assert [] == trial.undo(new)
    assert status == path.stat()


def test_a_file_that_was_not_there_is_removed(folder: Path) -> None:
    new = begun(on(folder / "door"))
    trial.undo(new)
    assert [] == names(folder)


def test_a_file_that_somebody_removed_comes_back(path: Path) -> None:
    new = begun(on(path))
    path.unlink()
    trial.undo(new)
    assert BEFORE == path.read_bytes()


def test_edits_stay_without_our_lines(path: Path) -> None:
    new = begun(on(path))
    path.write_bytes(b"# above\n" + path.read_bytes() + b"# below\n")
    (note,) = trial.undo(new)
    assert note.endswith("was edited since: our lines are removed, the edits are kept")
    assert b"# above\n" + BEFORE + b"# below\n" == path.read_bytes()
    assert ["door"] == names(path.parent)


def test_where_only_our_lines_were_edited_the_file_that_it_was_comes_back(path: Path) -> None:
    inode = path.stat().st_ino
    new = begun(on(path))
    path.write_bytes(path.read_bytes().replace(b"pam_totp.so", b"pam_totp.so window=0"))
    trial.undo(new)
    assert (BEFORE, inode) == (path.read_bytes(), path.stat().st_ino)


def test_where_the_original_is_gone_our_lines_are_taken_out(path: Path) -> None:
    new = begun(on(path))
    (path.parent / ".pam_totp-before.door").unlink()
    assert [] == trial.undo(new)
    assert BEFORE == path.read_bytes()


def test_an_original_that_is_not_what_the_record_says_is_not_put_back(path: Path) -> None:
    new = begun(on(path))
    (path.parent / ".pam_totp-before.door").write_bytes(b"auth sufficient pam_permit.so\n")
    trial.undo(new)
    assert BEFORE == path.read_bytes()
    assert ["door"] == names(path.parent)


def test_a_link_in_place_of_the_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    new = begun(on(path))
    other = tmp_path / "other"
    other.write_text("precious")
    path.unlink()
    path.symlink_to(other)
    trial.undo(new)
    assert ("precious", BEFORE) == (other.read_text(), path.read_bytes())
    assert not path.is_symlink()


def test_a_change_meanwhile_is_not_overwritten(path: Path) -> None:
    change = on(path)
    new = trial.begin([change], ("door",), None, 600)
    path.write_bytes(b"# somebody else was faster\n" + BEFORE)
    with pytest.raises(CommandFailed, match="changed by another program"):
        trial.carry_out(new, [change])
    trial.undo(new)
    assert b"# somebody else was faster\n" + BEFORE == path.read_bytes()


def test_what_another_totpctl_put_back_is_not_carried_out(path: Path) -> None:
    change = on(path)
    new = trial.begin([change], ("door",), None, 600)
    trial.undo(new)
    with pytest.raises(CommandFailed, match="another totpctl has undone it"):
        trial.carry_out(new, [change])
    assert BEFORE == path.read_bytes()


def test_a_trial_that_sshd_was_not_told_to_end_goes_on_waiting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = begun(Change(sshd.DROP_IN, None, sshd.drop_in("code").encode()))
    with monkeypatch.context() as broken:
        broken.setattr(sshd, "check", refuse)
        with pytest.raises(CommandFailed, match="no, says sshd"):
            trial.undo(new)
    assert not Path(sshd.DROP_IN).exists()
    assert new == trial_record.pending()
    trial.undo(new)
    assert trial_record.pending() is None


def test_line_that_is_there_until_sshd_has_heard_of_it_is_no_edit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = folder / "sshd"
    door.write_bytes(BEFORE)
    drop_in = Change(sshd.DROP_IN, None, sshd.drop_in("code").encode())
    for original_is_there in (True, False):
        new = begun(on(door), drop_in)
        with monkeypatch.context() as broken:
            broken.setattr(sshd_files, "load_it", refuse)
            with pytest.raises(CommandFailed, match="no, says sshd"):
                trial.undo(new)
        assert b"first_factor=key" in door.read_bytes()
        if not original_is_there:
            (folder / ".pam_totp-before.sshd").unlink()
        assert [] == trial.undo(new)
        assert BEFORE == door.read_bytes()


# Its time


@pytest.mark.parametrize("shift", [-(10**9), -3600, 3600, 10**9])
def test_a_clock_that_is_set_moves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, shift: int
) -> None:
    new = begun(on(path))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + shift)
    waiting = trial_record.pending()
    assert waiting == new
    assert 590 < waiting.seconds_left() <= 600
    assert abs(waiting.deadline() - (now + shift + 600)) < 10


def test_it_is_due_when_its_time_on_the_clock_of_this_start_is_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = begun(on(path), seconds=60)
    boot = new.boot
    for gone, left in ((59, 1), (60, 0), (3600, 0), (-1, 0)):
        at = new.started_boottime + gone
        monkeypatch.setattr(trial_record, "read_boot", lambda at=at: (boot, at))
        assert left == round(new.seconds_left(), 3)


def test_another_start_of_the_machine_makes_it_due(path: Path) -> None:
    new = begun(on(path))
    assert new.is_of_this_start()
    boot_id, _, first_process = new.boot.partition("/")
    for other in (f"another/{first_process}", f"{boot_id}/1{first_process}"):
        earlier = new._replace(boot=other)
        assert (False, 0) == (earlier.is_of_this_start(), earlier.seconds_left())


# The record


def test_the_record_is_for_root_alone_and_holds_no_content(path: Path) -> None:
    new = begun(on(path))
    record = Path(trial_record.RECORD)
    assert 0o600 == record.stat().st_mode & 0o777
    assert "pam_unix" not in record.read_text()
    assert new == trial_record.pending()


def tampered(key: str, value: object) -> Callable[[dict], dict]:
    return lambda document: {**document, key: value}


def in_file(key: str, value: object) -> Callable[[dict], dict]:
    return lambda d: {**d, "files": [{**d["files"][0], key: value}]}


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: [],
        lambda document: {},
        tampered("more", 1),
        tampered("seconds", 0),
        tampered("seconds", 10**9),
        tampered("seconds", "600"),
        tampered("started_boottime", True),
        tampered("id", 5),
        tampered("boot", None),
        tampered("keys", "some"),
        tampered("services", ["../x"]),
        tampered("services", "door"),
        tampered("services", [7]),
        tampered("files", {}),
        tampered("files", [{}]),
        in_file("path", "/etc/shadow"),
        in_file("path", 7),
        in_file("before", "abc"),
        in_file("written", None),
        in_file("keys_before", "all"),
    ],
)
def test_a_record_that_says_anything_else_is_damaged(
    path: Path, damage: Callable[[dict], object]
) -> None:
    begun(on(path))
    record = Path(trial_record.RECORD)
    record.write_text(json.dumps(damage(json.loads(record.read_text()))))
    with pytest.raises(Damaged):
        trial_record.pending()


@pytest.mark.parametrize("name", ["../shadow", ".pam_totp-before.door", "sub/door", ".."])
def test_a_record_reaches_no_file_outside_of_the_two_folders(path: Path, name: str) -> None:
    begun(on(path))
    record = Path(trial_record.RECORD)
    document = json.loads(record.read_text())
    document["files"][0]["path"] = f"{path.parent}/{name}"
    record.write_text(json.dumps(document))
    with pytest.raises(Damaged):
        trial_record.pending()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 60000, b" " * 70000])
def test_a_record_that_is_no_json_is_damaged(folder: Path, content: bytes) -> None:
    record = Path(trial_record.RECORD)
    record.write_bytes(content)
    record.chmod(0o600)
    with pytest.raises(Damaged):
        trial_record.pending()


def test_a_record_that_cannot_be_read_now_is_not_taken_for_a_damaged_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything would be switched off for it, what was confirmed too."""
    begun(on(path))
    really_open = os.open

    def fail(name: str, *rest: int) -> int:
        if name == trial_record.RECORD:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really_open(name, *rest)

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(CommandFailed, match="Input/output error") as caught:
        trial_record.pending()
    assert type(caught.value) is CommandFailed


@pytest.mark.parametrize("mode", [0o666, 0o640, 0o604])
def test_a_record_that_others_could_read_or_write_is_damaged(path: Path, mode: int) -> None:
    begun(on(path))
    Path(trial_record.RECORD).chmod(mode)
    with pytest.raises(Damaged):
        trial_record.pending()


def test_with_a_damaged_record_our_lines_go_from_every_file(path: Path, folder: Path) -> None:
    begun(on(path))
    (folder / "torn").write_text("# nothing of ours\n")
    Path(sshd.DROP_IN).write_text(sshd.drop_in("code"))
    assert 2 == len(trial.take_out_everything())
    trial.remove_leftovers()
    assert (BEFORE, ["door", "torn"]) == (path.read_bytes(), names(folder))
    assert not Path(sshd.DROP_IN).exists()


# A move from another module

THEIRS = "auth requisite pam_oath.so usersfile=/etc/users.oath window=2\n"


def moved(path: Path, trial_id: str = "1a") -> Change:
    """Return the change that replaces THEIRS, for the trial of that id."""
    text = files.text_of(path.read_bytes())
    found = pam_migration.migrated(path.name, text, "pam_oath.so", trial_id, read=lambda _: None)
    return Change(str(path), path.read_bytes(), files.bytes_of(found.text))


def begun_to_move(path: Path, trial_id: str = "1a") -> Trial:
    change = moved(path, trial_id)
    migration = trial.Migration(trial_id, "pam_oath.so", {})
    new = trial.begin([change], (path.name,), None, 600, migration=migration)
    trial.carry_out(new, [change])
    return new


@pytest.fixture
def theirs(path: Path) -> Path:
    path.write_text(PASSWORD + THEIRS + LINES)
    return path


def test_the_undo_of_a_move_brings_their_line_back_and_keeps_edits(theirs: Path) -> None:
    before = theirs.read_bytes()
    trial.undo(begun_to_move(theirs))
    assert before == theirs.read_bytes()
    for with_original in (True, False):
        new = begun_to_move(theirs)
        theirs.write_bytes(theirs.read_bytes() + b"# below\n")
        if not with_original:
            Path(files.beside(str(theirs), files.BEFORE)).unlink()
        for _ in range(2):  # it may have been killed before the record was gone
            trial.undo(new)
            assert before + b"# below\n" == theirs.read_bytes()
        theirs.write_bytes(before)


def test_their_line_that_somebody_removed_in_the_trial_stays_away(theirs: Path) -> None:
    new = begun_to_move(theirs)
    lines = theirs.read_text().splitlines(True)
    theirs.write_text("".join(line for line in lines if "pam_oath" not in line))
    trial.undo(new)
    assert BEFORE == theirs.read_bytes()


def test_a_confirmed_move_leaves_nothing_that_a_later_undo_could_bring_back(theirs: Path) -> None:
    confirmed = begun_to_move(theirs)
    trial_record.mark_confirmed()
    assert [] == trial.drop_lines_of_other_modules(confirmed)
    trial.remove_leftovers(confirmed.files)
    assert "pam_oath" not in theirs.read_text()
    assert "auth requisite pam_totp.so window=2\n" in theirs.read_text()
    assert 1 == len(trial.take_out_everything())
    assert BEFORE == theirs.read_bytes()


def test_lines_that_could_not_be_removed_at_confirm_stay_comments(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of a later trial: undone, edited, with a damaged record or a lost one."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    confirmed = begun_to_move(theirs)
    trial_record.mark_confirmed()
    with monkeypatch.context() as patched:
        patched.setattr(files, "replace", full)
        (problem,) = trial.drop_lines_of_other_modules(confirmed)
    assert "comments with lines of pam_oath.so stay: " in problem
    trial.remove_leftovers(confirmed.files)
    moved_text = theirs.read_text()
    assert f"#migrated 1a: {THEIRS}" in moved_text
    for damage in ("", "edited", "damaged", "lost"):
        theirs.write_text(moved_text)
        change = on(theirs)
        assert "pam_oath" not in files.text_of(change.after or b"")
        new = trial.begin([change], ("door",), None, 600)
        trial.carry_out(new, [change])
        if damage == "edited":
            theirs.write_bytes(theirs.read_bytes() + b"# below\n")
        elif damage == "damaged":
            Path(trial_record.RECORD).write_text("{")
            trial.take_out_everything()
            trial.remove_leftovers()
            assert BEFORE == theirs.read_bytes()
            continue
        elif damage == "lost":
            Path(trial_record.RECORD).unlink()
            new = trial_record.pending() or new
            assert trial_record.LOST == new.id
        trial.undo(new)
        assert moved_text == theirs.read_text()
        if damage == "edited":
            edited = Path(files.beside(str(theirs), files.EDITED))
            assert edited.read_bytes().endswith(b"# below\n")
        trial.remove_leftovers()


@pytest.mark.parametrize("is_edited", [False, True])
@pytest.mark.parametrize("damage", ["damaged", "lost"])
def test_a_move_whose_record_is_no_good_is_undone_by_the_original(
    theirs: Path, damage: str, is_edited: bool
) -> None:
    before = theirs.read_bytes()
    begun_to_move(theirs)
    end = b"# below\n" if is_edited else b""
    theirs.write_bytes(theirs.read_bytes() + end)
    if damage == "damaged":
        Path(trial_record.RECORD).write_text("{")
        notes = trial.take_out_everything()
        assert trial.MAY_BE_ENROLLED in notes
    else:
        Path(trial_record.RECORD).unlink()
        waiting = trial_record.pending()
        assert waiting is not None
        assert waiting.moved_from
        trial.undo(waiting)
    assert before + end == theirs.read_bytes()


def test_their_line_is_not_restored_where_nothing_tells_that_it_was_in_use(theirs: Path) -> None:
    begun_to_move(theirs)
    Path(trial_record.RECORD).write_text("{")
    Path(files.beside(str(theirs), files.BEFORE)).unlink()
    notes = trial.take_out_everything()
    assert any(THEIRS.rstrip() in note for note in notes)
    assert BEFORE == theirs.read_bytes()


def test_the_undo_of_a_second_move_leaves_the_first_one_alone(theirs: Path) -> None:
    google = "auth required pam_google_authenticator.so\n"
    theirs.write_text(f"{PASSWORD}{google}{THEIRS}")
    text = theirs.read_text()
    first = pam_migration.migrated(
        "door", text, "pam_google_authenticator.so", "9f", read=lambda _: None
    ).text
    for confirmed in (pam_blocks.confirmed(first), first):
        theirs.write_text(confirmed)
        new = begun_to_move(theirs)
        theirs.write_bytes(theirs.read_bytes() + b"# below\n")
        for _ in range(2):
            trial.undo(new)
            assert f"{confirmed}# below\n" == theirs.read_text()


# The lock


def test_two_at_once_are_told_apart(folder: Path) -> None:
    with trial.changing(), pytest.raises(trial.Busy, match="another totpctl"), trial.changing():
        pass
    with trial.changing():
        pass


def test_a_trial_of_keys_that_is_put_back_gives_the_mode_before(folder: Path) -> None:
    """Edited meanwhile, so that the original cannot just come back."""
    drop_in = Path(sshd.DROP_IN)
    drop_in.write_text(sshd.drop_in("skip"))
    before = drop_in.read_bytes()
    change = Change(str(drop_in), before, sshd.drop_in("code").encode())
    new = begun(change)
    assert (
        ChangedFile(str(drop_in), files.digest(before), files.digest(change.after), "skip")
        == (new.files[0])
    )
    drop_in.write_text(drop_in.read_text() + "X11Forwarding no\n")
    trial.undo(new)
    assert sshd.drop_in("skip") + "X11Forwarding no\n" == drop_in.read_text()


# A record that is lost


def test_a_trial_without_a_record_is_told_by_its_originals_and_is_due(
    path: Path, folder: Path
) -> None:
    drop_in = Change(sshd.DROP_IN, None, sshd.drop_in("code").encode())
    begun(on(path), drop_in)
    Path(trial_record.RECORD).unlink()
    lost = trial_record.pending()
    assert lost is not None
    assert (trial_record.LOST, 0) == (lost.id, lost.seconds_left())
    assert {str(path), sshd.DROP_IN} == {file.path for file in lost.files}
    trial.undo(lost)
    assert (BEFORE, ["door"]) == (path.read_bytes(), names(folder))
    assert not Path(sshd.DROP_IN).exists()
    assert trial_record.pending() is None


def test_edits_are_kept_where_the_record_is_lost(path: Path) -> None:
    begun(on(path))
    Path(trial_record.RECORD).unlink()
    path.write_bytes(path.read_bytes() + b"# below\n")
    lost = trial_record.pending()
    assert lost is not None
    trial.undo(lost)
    assert BEFORE + b"# below\n" == path.read_bytes()


def test_originals_beside_what_has_none_of_our_lines_are_no_lost_trial(path: Path) -> None:
    files.keep_original(str(path))
    assert trial_record.pending() is None
    path.unlink()
    path.write_bytes(b"# from a package\n" + BEFORE)
    assert trial_record.pending() is None


def test_a_service_that_is_on_for_good_is_not_of_a_lost_trial(path: Path, folder: Path) -> None:
    (folder / "other").write_bytes(on(path).after or b"")
    begun(on(path))
    Path(trial_record.RECORD).unlink()
    lost = trial_record.pending()
    assert lost is not None
    assert [str(path)] == [file.path for file in lost.files]


def test_a_file_that_is_gone_with_its_original_keeps_the_trial(path: Path) -> None:
    new = begun(on(path))
    path.unlink()
    (path.parent / ".pam_totp-before.door").unlink()
    with pytest.raises(CommandFailed, match="is missing, and so is its original"):
        trial.undo(new)
    assert trial_record.pending() is not None
    path.write_bytes(BEFORE)
    assert [] == trial.undo(new)
    assert trial_record.pending() is None
