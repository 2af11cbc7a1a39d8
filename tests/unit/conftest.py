from __future__ import annotations

import pwd
import time
from pathlib import Path

import pytest

from pam_totp.login import membership, picture
from pam_totp.stack import pam_stack
from tests.support.logs import LogSocket
from tests.support.place import Place
from tests.unit import front_door
from tests.unit.door import Clock, Door

ACCOUNTS = ("alice", "bob", "carol", "dave")


@pytest.fixture
def place(place_in_use: Place) -> Place:
    return place_in_use


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that a login sees; it stands still until it is moved."""
    clock = Clock()
    monkeypatch.setattr(time, "time", lambda: clock.now)
    return clock


@pytest.fixture
def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice, Bob, Carol and Dave, whom a directory finds in upper case too; bob is in staff."""
    group_file, switch_file = tmp_path / "group", tmp_path / "nsswitch.conf"
    group_file.write_text("root:x:0:\nstaff:x:5000:bob\n", encoding="utf-8")
    switch_file.write_text("group: files\n", encoding="utf-8")
    monkeypatch.setattr(membership, "GROUP_FILE", str(group_file))
    monkeypatch.setattr(membership, "SWITCH_FILE", str(switch_file))

    def getpwnam(name: str) -> pwd.struct_passwd:
        if name.lower() in ACCOUNTS:
            return pwd.struct_passwd((name.lower(), "x", 1000, 1000, "", "/", "/bin/sh"))
        return real_getpwnam(name)

    real_getpwnam = pwd.getpwnam
    monkeypatch.setattr(pwd, "getpwnam", getpwnam)


@pytest.fixture
def door(place: Place, log: LogSocket, clock: Clock, accounts: None) -> Door:
    """Where people log in: alice is enrolled, bob is not."""
    place.enrol("alice")
    return Door(place, log, clock)


@pytest.fixture(scope="session")
def picture_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return front_door.install_picture(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def front(
    door: Door, tmp_path: Path, picture_program: Path, monkeypatch: pytest.MonkeyPatch
) -> front_door.FrontDoor:
    """Where bob is to enrol; PAM files are those of a folder of its own."""
    pam_folder = tmp_path / "pam.d"
    pam_folder.mkdir()
    monkeypatch.setattr(pam_stack, "PAM_FOLDERS", (str(pam_folder),))
    monkeypatch.setattr(picture, "PROGRAM", str(picture_program))
    front = front_door.FrontDoor(door, pam_folder)
    front.pam_file("sshd", front_door.PROVES)
    front.configure()
    return front


@pytest.fixture
def bob(monkeypatch: pytest.MonkeyPatch) -> front_door.Person:
    return front_door.Person(monkeypatch)
