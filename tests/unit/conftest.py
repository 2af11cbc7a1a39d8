from __future__ import annotations

import grp
import os
import pwd

import hypothesis
import pytest

from pam_totp import login
from tests.support.logs import LogSocket
from tests.support.place import Place
from tests.unit.door import Clock, Door

# How long an example takes depends on the machine, not on the code.
hypothesis.settings.register_profile(
    "unit", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unit")

ACCOUNTS = ("alice", "bob", "carol", "dave")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that a login sees; it stands still until it is moved."""
    clock = Clock()
    monkeypatch.setattr(login.time, "time", lambda: clock.now)
    return clock


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice, Bob, Carol and Dave, whom a directory finds in upper case too; bob is in staff."""

    def getpwnam(name: str) -> pwd.struct_passwd:
        if name.lower() in ACCOUNTS:
            return pwd.struct_passwd((name.lower(), "x", 1000, 1000, "", "/", "/bin/sh"))
        return real_getpwnam(name)

    def getgrnam(name: str) -> grp.struct_group:
        if name == "staff":
            return grp.struct_group(("staff", "x", 5000, []))
        raise KeyError(name)

    def getgrouplist(user: str, gid: int) -> list[int]:
        return [gid, 5000] if user == "bob" else [gid]

    real_getpwnam = pwd.getpwnam
    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    monkeypatch.setattr(grp, "getgrnam", getgrnam)
    monkeypatch.setattr(os, "getgrouplist", getgrouplist)


@pytest.fixture
def door(place: Place, log: LogSocket, clock: Clock, accounts: None) -> Door:
    """Where people log in: alice is enrolled, bob is not."""
    place.enrol("alice")
    return Door(place, log, clock)
