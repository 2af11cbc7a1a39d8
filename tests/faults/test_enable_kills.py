"""kill -9, and failing disks, at every step of switching on, putting back and keeping."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from admin_cli.enable import automatic_undo, enabled, switch, trial, trial_record
from admin_cli.enable.trial import Change
from admin_cli.errors import CommandFailed
from admin_cli.host import files, sshd
from pam_totp.stack import pam_stack
from tests.faults.processes import Meet
from tests.faults.tracing import schedule, traced
from tests.support import thorough

LINE = "auth required pam_totp.so\n"
PLAIN = "auth required pam_unix.so\n"
# Whatever changes the disk; strace lets each of them fail once.
FAILING = ("openat", "write", "fsync", "fchmod", "link", "linkat", "rename", "unlink", "mkdir")
Steps = Iterator[tuple[Any, str]]


class Place(NamedTuple):
    """The folders that a trial is about, and the change of three files in them."""

    root: Path
    changes: tuple[Change, ...]

    def contents(self) -> dict[str, str]:
        """Return every file, by name; of those of PAM also which inode it is."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            if path.is_file():
                name = path.relative_to(self.root).as_posix()
                found[name] = f"{path.stat().st_ino} {path.read_text()}"
        return found

    def texts(self) -> dict[str, str]:
        return {name: shown.partition(" ")[2] for name, shown in self.contents().items()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """sshd has its file, su has the distribution's below /usr alone, sshd_config.d is empty."""
    root = tmp_path / "root"
    names = ("pam.d", "usr", "sshd_config.d", "var", "run")
    pam, usr, drop_ins, var, run = (root / name for name in names)
    for folder in (pam, usr, drop_ins, var, run):
        folder.mkdir(parents=True, mode=0o755)
    (pam / "sshd").write_text(PLAIN)
    (usr / "su").write_text(PLAIN)
    monkeypatch.setattr(pam_stack, "PAM_FOLDERS", (str(pam), str(usr)))
    monkeypatch.setattr(sshd, "DROP_IN", str(drop_ins / "00-pam_totp.conf"))
    monkeypatch.setattr(sshd, "check", lambda: None)
    monkeypatch.setattr(sshd, "reload", lambda: None)
    monkeypatch.setattr(sshd, "problems", lambda keys, users: [])
    monkeypatch.setattr(automatic_undo, "arrange", lambda new: [])
    monkeypatch.setattr(automatic_undo, "cancel", lambda: None)
    monkeypatch.setattr(trial_record, "RECORD", str(var / "unconfirmed.json"))
    monkeypatch.setattr(enabled, "PATH", str(var / "enabled.json"))
    monkeypatch.setattr(trial, "LOCK", str(run / "lock"))
    changes = (
        Change(str(pam / "sshd"), PLAIN.encode(), (PLAIN + LINE).encode()),
        Change(str(pam / "su"), None, (PLAIN + LINE).encode()),
        Change(sshd.DROP_IN, None, sshd.drop_in("code").encode()),
    )
    return Place(root, changes)


def switched_on(place: Place) -> trial.Trial:
    new, _warnings = switch.enable(("sshd", "su"), "code", place.changes, 600, ())
    return new


def put_back(place: Place) -> None:
    """What every revert does, whatever it finds."""
    waiting = trial_record.pending()
    if waiting is not None:
        trial.undo(waiting)
    trial.remove_leftovers()


def each_step(
    place: Place,
    action: Callable[[Place], Any],
    trace: Path,
    fault: str,
    only: tuple[str, ...] = (),
) -> Steps:
    """Yield what ``action`` returned, and the call that failed: unharmed first, then each.

    The place is as it was before each of them, its inodes too.
    """

    def paused(pause: Meet) -> Any:
        pause()
        return action(place)

    original = place.root.with_name("original")
    os.rename(place.root, original)
    link_tree(original, place.root)
    result, calls = traced(paused, trace)
    assert 5 < len(calls)
    yield result, ""
    steps = schedule(calls)
    if only:  # but for the last write, which tells us what came of it
        paired = zip(steps, calls, strict=True)
        steps = [
            step
            for step, (name, rest) in paired
            if name in only and "<socket:" not in rest and "<UNIX" not in rest
        ]
        if fault != "error=ENOSPC":  # no code asks which error it is
            steps = thorough.some(steps, one_of=3)
    else:
        steps = thorough.kills(steps, calls)
    for name, number in steps:
        shutil.rmtree(place.root)
        link_tree(original, place.root)
        result, calls = traced(paused, trace, f"{name}:{fault}:when={number}")
        yield result, name


def link_tree(source: Path, target: Path) -> None:
    """Copy the folders, and give each file in them another name there.

    Not those that are changed in place: the record's mode, and what a spare holds.
    """

    def link(old: str, new: str) -> None:
        in_place = old.endswith("unconfirmed.json") or ".pam_totp-spare." in old
        (shutil.copy2 if in_place else os.link)(old, new)

    shutil.copytree(source, target, copy_function=link)


def test_a_kill_at_any_step_of_enable_leaves_a_trial_that_can_be_put_back_or_nothing(
    place: Place, tmp_path: Path
) -> None:
    before, states = place.contents(), Counter()

    def act(place: Place) -> str:
        switched_on(place)
        return "done"

    for result, killed_at in each_step(place, act, tmp_path / "trace", "signal=KILL"):
        assert (result is None) == bool(killed_at)
        changed = {c.path for c in place.changes if files.read(c.path) != c.before}
        waiting = trial_record.pending()
        states[(waiting is not None, len(changed))] += 1
        assert waiting is not None or not changed, "a file was changed that nobody will put back"
        for change in place.changes:
            assert files.read(change.path) in (change.before, change.after), "a file in between"
        put_back(place)
        assert before == place.contents()
    assert {(False, 0), (True, 0), (True, 1), (True, 2), (True, 3)} == set(states)


def test_a_kill_at_any_step_of_putting_back_leaves_a_trial_that_can_be_put_back(
    place: Place, tmp_path: Path
) -> None:
    before = place.contents()
    switched_on(place)

    def act(place: Place) -> str:
        put_back(place)
        return "done"

    for _result, killed_at in each_step(place, act, tmp_path / "trace", "signal=KILL"):
        changed = {c.path for c in place.changes if files.read(c.path) != c.before}
        assert not changed or trial_record.pending() is not None
        assert killed_at or not changed
        put_back(place)
        assert before == place.contents()


def test_a_kill_at_any_step_of_confirm_keeps_everything_or_nothing(
    place: Place, tmp_path: Path
) -> None:
    before = place.contents()
    confirmed = switched_on(place)
    after = {change.path: change.after for change in place.changes}
    states: Counter[bool] = Counter()

    def act(place: Place) -> str:
        trial_record.mark_confirmed()
        trial.remove_leftovers()
        return confirmed.id

    for _result, killed_at in each_step(place, act, tmp_path / "trace", "signal=KILL"):
        kept = trial_record.pending() is None
        assert killed_at or kept
        states[kept] += 1
        assert after == {path: files.read(path) for path in after}
        put_back(place)
        if kept:
            assert after == {path: files.read(path) for path in after}
            ours = [name for name in place.contents() if ".pam_totp-" in name]
            assert not [name for name in ours if ".pam_totp-spare." not in name]
        else:
            assert before == place.contents()
    assert 2 == len(states)


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", pytest.param("EROFS", marks=pytest.mark.night)])
def test_a_disk_that_fails_at_any_step_of_enable_leaves_all_as_it_was(
    place: Place, tmp_path: Path, error: str
) -> None:
    before, states = place.texts(), Counter()

    def act(place: Place) -> str:
        try:
            switched_on(place)
        except (CommandFailed, OSError) as failed:
            return f"{type(failed).__name__}: {failed}"
        return "done"

    steps = each_step(place, act, tmp_path / "trace", f"error={error}", FAILING)
    for result, failed_at in steps:
        done = result == "done"
        states[done] += 1
        assert done or failed_at
        if done:
            assert [c.after for c in place.changes] == [files.read(c.path) for c in place.changes]
            assert trial_record.pending() is not None
            put_back(place)
        assert before == place.texts(), f"after {result} at {failed_at}"
    assert states[False] > (10 if error == "ENOSPC" else 3)
