from __future__ import annotations

import pwd
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.core import recovery
from pam_totp.login import identity, membership, picture
from pam_totp.service.log import Log
from pam_totp.stack import pam_stack
from pam_totp.system import audit
from tests.support.logs import LogSocket
from tests.support.place import Place
from tests.unit import front_door
from tests.unit.door import Clock, Door
from tests.unit.own_person import Person, person_of
from tests.unit.rounds import ELSEWHERE, LOCAL, Rounds

ACCOUNTS = ("alice", "bob", "carol", "dave")


@pytest.fixture(autouse=True)
def quick_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a recovery code costs is test_recovery.py's to say."""
    monkeypatch.setattr(recovery, "ARGON2_PASSES", 1)
    monkeypatch.setattr(recovery, "ARGON2_MEMORY_BYTES", 8192)


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
def person(place: Place, log: LogSocket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Person:
    return person_of(place, log, monkeypatch, tmp_path)


@pytest.fixture
def door(place: Place, log: LogSocket, clock: Clock, accounts: None) -> Door:
    """Where people log in: alice is enrolled, bob is not."""
    place.enrol("alice")
    return Door(place, log, clock)


@pytest.fixture
def rounds(
    place: Place, log: LogSocket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rounds]:
    """A loop where all of LOCAL have an account in /etc/passwd, and a directory knows others."""
    passwd, switch = tmp_path / "passwd", tmp_path / "nsswitch"
    passwd.write_text("".join(f"{n}:x:0:0::/:/bin/sh\n" for n in LOCAL), encoding="ascii")
    switch.write_text("passwd: files sss\n", encoding="ascii")
    monkeypatch.setattr(identity, "PASSWD_FILE", str(passwd))
    monkeypatch.setattr(membership, "SWITCH_FILE", str(switch))
    monkeypatch.setattr(pwd, "getpwnam", _account_of)
    lines = Log()
    monkeypatch.setattr(audit, "deliver", lines.deliver)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen(100)
        rounds = Rounds(listener, place)
        yield rounds
        rounds.close()
    lines.close()


def _account_of(name: str) -> pwd.struct_passwd:
    if name not in (*LOCAL, *ELSEWHERE):
        raise KeyError(name)
    return pwd.struct_passwd((name, "x", 0, 0, "", "/", "/bin/sh"))


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
def no_picture(front: front_door.FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret alone is shown: to draw takes longer than all else in a login."""
    monkeypatch.setattr(picture, "draw", lambda *_: ("", []))


@pytest.fixture
def bob(monkeypatch: pytest.MonkeyPatch) -> front_door.Person:
    return front_door.Person(monkeypatch)
