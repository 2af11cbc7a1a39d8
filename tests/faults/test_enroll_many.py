"""kill -9 and failing disks while many people are enrolled: a sheet with each record, or none."""

from __future__ import annotations

import base64
import errno
import os
import pwd
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from admin_cli import running
from admin_cli.commands.bulk import enrolling
from admin_cli.host import directory
from admin_cli.main import totpctl
from pam_totp.core import recovery
from pam_totp.core.hashes import sha256
from pam_totp.core.users import UserRecord
from pam_totp.store.sqlite.database import Database
from pam_totp.system.errors import StoreUnavailable
from tests.faults.conftest import disk_of
from tests.faults.fake_pam import Accounts
from tests.faults.processes import Meet, together
from tests.faults.tracing import schedule, traced
from tests.support import thorough
from tests.support.place import Place

NAMES = ("alice", "bob")
CODE = re.compile(r"^(?:[0-9A-Z]{4}-){3}[0-9A-Z]{4}$", flags=re.MULTILINE)
# Whatever changes the disk; strace lets each of them fail once.
FAILING = ("openat", "write", "pwrite64", "fsync", "fdatasync", "rename", "mkdir")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with all that is changed: the store, and the sheets."""
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def place(root: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Alice had to enroll; each person is committed alone, and codes are hashed in no time."""
    place = Place(root, in_use=True)
    with place.open() as store, store.transaction("alice") as transaction:
        transaction.save(UserRecord("alice").required())
    (root / "roster").write_text("".join(f"{name}\n" for name in NAMES))
    monkeypatch.setattr(enrolling, "AT_ONCE", 1)
    monkeypatch.setattr(recovery, "digest", lambda code, salt: sha256(code.encode()).digest())
    monkeypatch.setattr(directory, "person", Accounts.getpwnam)
    monkeypatch.setattr(directory, "expect", lambda names: None)
    return place


@pytest.fixture(autouse=True)
def people_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accounts, "getpwnam", staticmethod(account))


def account(name: str) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", 4711, 4711, "", "/", "/bin/sh"))


def enroll(place: Place, sheets: Path | None = None) -> int:
    folder = sheets or place.folder / "sheets"
    roster = str(place.folder / "roster")
    options = ["--from", roster, "--sheets", str(folder), "--sheets-format", "svg"]
    return running.run(totpctl, ["--config", str(place.config_path), "enroll", *options])


def in_a_process(place: Place, sheets: Path | None = None) -> int:
    def run(_number: int, _meet: Meet) -> int:
        return enroll(place, sheets)

    (code,) = together(1, run)
    return int(code)


def enrolled(place: Place, sheets: Path | None = None) -> dict[str, bytes]:
    """Return the picture of everybody who is enrolled: each has all that the record wants."""
    folder = sheets or place.folder / "sheets"
    found = {}
    with place.open() as store:
        assert [] == store.check()
        for name in NAMES:
            with store.transaction(name) as transaction:
                record = transaction.record
            if record is None or not record.authenticators:
                continue
            (device,) = record.authenticators
            picture = (folder / f"{name}.svg").read_bytes()
            text = (folder / f"{name}.txt").read_text("utf-8")
            assert picture.endswith(b"</svg>\n")
            secret = base64.b32encode(device.secret or b"").decode("ascii")
            assert f"?secret={secret}&" in text
            codes = [code.replace("-", "").encode() for code in CODE.findall(text)]
            assert 10 == len(codes)
            assert record.recovery_digests == {sha256(code).digest() for code in codes}
            found[name] = picture
    return found


def each_fault(place: Place, tmp_path: Path, fault: str, steps_of: Any) -> Iterator[Any]:
    """Yield what the command returned, unharmed first, then with a fault at each of the steps.

    ``steps_of`` chooses them. Everything is as it was before each of them.
    """
    original, trace = tmp_path / "original", tmp_path / "trace"
    shutil.copytree(place.folder, original, symlinks=True)

    def action(pause: Meet) -> int:
        pause()
        return enroll(place)

    result, calls = traced(action, trace)
    yield result
    for name, number in steps_of(thorough.kills(schedule(calls), calls)):
        shutil.rmtree(place.folder)
        shutil.copytree(original, place.folder, symlinks=True)
        yield traced(action, trace, f"{name}:{fault}:when={number}")[0]


def _some(steps: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return thorough.some(steps, 2)


def goes_on(place: Place, before: dict[str, bytes]) -> None:
    """The same command enrolls the rest, and leaves nothing that is void."""
    assert 0 == in_a_process(place)
    after = enrolled(place)
    assert before == {name: after[name] for name in before}
    assert set(NAMES) == set(after)
    expected = {"README", *(f"{name}.{suffix}" for name in NAMES for suffix in ("svg", "txt"))}
    assert expected == set(os.listdir(place.folder / "sheets"))


def test_whoever_is_enrolled_when_it_is_killed_has_a_whole_sheet(
    place: Place, tmp_path: Path
) -> None:
    counts: Counter[int] = Counter()
    results = each_fault(place, tmp_path, "signal=KILL", _some)
    assert 0 == next(results)
    assert set(NAMES) == set(enrolled(place))
    for result in results:
        assert result is None
        found = enrolled(place)
        counts[len(found)] += 1
        goes_on(place, found)
    assert {0, 1, 2} == set(counts), "at some count nothing was killed"


def test_whoever_is_enrolled_when_the_disk_fails_has_a_whole_sheet(
    place: Place, tmp_path: Path
) -> None:

    def steps_of(steps: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """All but the last: there the test is told what came of it."""
        return thorough.some([step for step in steps[:-1] if step[0] in FAILING], 3)

    results = each_fault(place, tmp_path, "error=EIO", steps_of)
    assert 0 == next(results)
    codes = Counter()
    for code in results:
        codes[code] += 1
        found = enrolled(place)
        assert code != 0 or set(NAMES) == set(found)
        goes_on(place, found)
    assert {1, 5} <= set(codes) <= {0, 1, 5}


@pytest.mark.root
def test_a_full_disk_of_the_sheets_enrolls_nobody_without_one(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with disk_of("16k", tmp_path) as disk:
        assert 1 == in_a_process(place, disk / "sheets")
        found = enrolled(place, disk / "sheets")
        assert 1 == len(found)
        assert {"README", "alice.svg", "alice.txt"} == set(os.listdir(disk / "sheets"))
        err = capfd.readouterr().err
        assert f"{os.strerror(errno.ENOSPC)}\nhint: make room on the disk: df -h {disk}" in err
        assert "1 of 2 people were enrolled; the same command enrolls the rest" in err
        assert "void" not in err
    sheets = tmp_path / "sheets"
    assert 0 == in_a_process(place, sheets)
    assert {"bob.svg", "bob.txt", "README"} == set(os.listdir(sheets))


def test_a_commit_that_fails_leaves_sheets_that_are_named_as_void(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    execute = Database.execute
    statements: list[str] = []

    def fail(database: Database, statement: str, *rest: Any) -> Any:
        statements.append(statement)
        if statement == "COMMIT" and any("INTO authenticators" in each for each in statements):
            raise StoreUnavailable(database.path, "cannot be written")
        return execute(database, statement, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "execute", fail)
        assert 5 == in_a_process(place)
    assert {} == enrolled(place)
    err = capfd.readouterr().err
    assert "0 of 2 people were enrolled" in err
    assert "until then, the sheets of these may be void: alice\n" in err
    goes_on(place, {})
