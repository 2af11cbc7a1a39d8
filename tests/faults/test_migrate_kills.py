"""kill -9, and failing disks, at every step of a move from another module."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from admin_cli.enable import switch, trial, trial_record
from admin_cli.enable.trial import Change, Migration
from admin_cli.errors import CommandFailed
from admin_cli.host import files, key_only, pam_migration
from admin_cli.session import Session, now
from pam_totp.stack import pam_stack
from tests.faults.test_enable_kills import FAILING, LINE, PLAIN, Place, each_step, place
from tests.support import thorough
from tests.support.place import Place as StorePlace

__all__ = ["place"]  # the fixture

MODULE, THEIRS = "pam_oath.so", "auth required pam_oath.so usersfile=/etc/users.oath\n"
PEOPLE = {"alice": b"the secret of alice.", "bob": b"the secret of bob..."}
SERVICES = ("login", "sshd")
MIGRATION = Migration("1a", MODULE, {name: ["phone"] for name in PEOPLE})


class Moving(NamedTuple):
    """Two PAM files with the other module's line, and a store with nobody in it."""

    place: Place
    people: StorePlace
    changes: tuple[Change, ...]

    def session(self) -> Session:
        return Session(str(self.people.config_path))

    def enrolled(self) -> set[str]:
        with self.people.open() as opened:
            return {name for name in PEOPLE if opened.load(name) is not None}

    def move(self) -> str:
        """Do what migrate does once everything is checked; return how it ended."""
        session = self.session()
        try:
            switch.migrate(
                session, SERVICES, self.changes, 600, None, MIGRATION, lambda: self._enroll()
            )
        except (CommandFailed, OSError) as failed:
            return f"{type(failed).__name__}: {failed}"
        return "done"

    def _enroll(self) -> None:
        for name, secret in PEOPLE.items():
            self.people.enrol(name, secret, created_at=now())

    def revert(self) -> None:
        waiting = trial_record.pending()
        if waiting is not None:
            switch.revert(self.session(), waiting)
        trial.remove_leftovers()

    def moved(self) -> set[str]:
        """Return the files that have our line; all others have theirs, and nothing is between."""
        found = set()
        for change in self.changes:
            content = files.read(change.path)
            assert content in (change.before, change.after), "a file in between"
            found |= {change.path} if content == change.after else set()
        return found

    def assert_everybody_can_log_in(self) -> None:
        """By the old line with what is in the old file, by ours with what is in the store."""
        if self.moved():
            assert set(PEOPLE) == self.enrolled(), "a code is asked for that nobody has"
        if self.moved() or self.enrolled():
            assert trial_record.pending() is not None, "nobody will undo this"


@pytest.fixture
def moving(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Moving:
    folder = Path(pam_stack.PAM_FOLDERS[0])
    monkeypatch.setattr(key_only, "FILE", str(place.root / "sshd_config.d" / "key-only.conf"))
    changes = []
    for name in SERVICES:
        text = PLAIN + THEIRS
        (folder / name).write_text(text)
        new = pam_migration.migrated(name, text, MODULE, MIGRATION.id, read=lambda _: None).text
        assert LINE in new
        changes.append(Change(str(folder / name), text.encode(), new.encode()))
    people = tmp_path / "people"
    people.mkdir()
    return Moving(place, StorePlace(people, in_use=True), tuple(changes))


def test_a_kill_at_any_step_of_a_move_lets_everybody_in_and_a_second_run_goes_on(
    moving: Moving, tmp_path: Path
) -> None:
    before, states = moving.place.texts(), Counter()
    # Kills in a transaction of the store are in test_kills.py; and no two write quite alike.
    calls = () if thorough.NIGHTLY else FAILING
    steps = each_step(
        moving.place, lambda _: moving.move(), tmp_path / "trace", "signal=KILL", calls
    )
    for result, killed_at in steps:
        assert killed_at or result == "done"
        assert result in (None, "done")
        moving.assert_everybody_can_log_in()
        states[(len(moving.enrolled()), len(moving.moved()))] += 1
        moving.revert()
        assert set() == moving.enrolled()
        assert before == moving.place.texts(), f"after a kill at {killed_at}"
        if killed_at:
            assert "done" == moving.move()
            assert len(SERVICES) == len(moving.moved())
            moving.assert_everybody_can_log_in()
            moving.revert()
            assert before == moving.place.texts()
    assert {(0, 0), (2, 0), (2, 1), (2, 2)} <= set(states)


@pytest.mark.parametrize("error", [pytest.param("ENOSPC", marks=pytest.mark.night), "EIO"])
def test_a_disk_that_fails_at_any_step_of_a_move_leaves_all_as_it_was(
    moving: Moving, tmp_path: Path, error: str
) -> None:
    before, states = moving.place.texts(), Counter()
    steps = each_step(
        moving.place, lambda _: moving.move(), tmp_path / "trace", f"error={error}", FAILING
    )
    for result, failed_at in steps:
        done = result == "done"
        states[done] += 1
        assert done or failed_at
        moving.assert_everybody_can_log_in()
        if not done and trial_record.pending() is None:
            assert set() == moving.enrolled()
            assert before == moving.place.texts(), f"after {result} at {failed_at}"
        moving.revert()
        assert set() == moving.enrolled()
        assert before == moving.place.texts(), f"after {result} at {failed_at}"
    assert states[False] > 3
