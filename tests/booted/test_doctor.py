"""doctor on a booted Debian: what an update undoes is found, told, and fixed with one command."""

from __future__ import annotations

import json
import re

import pytest

from tests.booted.logins import is_active, journal
from tests.booted.ways_in import LOGGED_IN, Person, by_ssh, by_sudo, totpctl
from tests.support.booted import Booted

pytestmark = pytest.mark.root

UNIT, TIMER = "pam_totp-doctor.service", "pam_totp-doctor.timer"
OF_UNIT = f"--unit={UNIT}"


def findings(machine: Booted, status: int) -> list[tuple[str, str]]:
    """Return what is wrong: the check, and what fixes it."""
    shown = json.loads(totpctl(machine, "doctor", "--quiet", "--json", status=status).stdout)
    return [(found["check"], found["fix"]) for found in shown["findings"]]


def update(machine: Booted, *services: str) -> None:
    """Do as dpkg where the administrator takes the package's version of a file."""
    for name in services:
        machine.run("cp", "-p", f"/root/{name}", f"/etc/pam.d/{name}.dpkg-new")
        machine.run("mv", f"/etc/pam.d/{name}.dpkg-new", f"/etc/pam.d/{name}")


def logged(machine: Booted) -> list[str]:
    """Return the check of each finding that the unit has logged."""
    found = (re.search(r"event=finding .*check=(\S+)", line) for line in journal(machine, OF_UNIT))
    return [line[1] for line in found if line]


def test_update_that_drops_the_lines_is_found_logged_and_mended(fresh: Booted) -> None:
    me = Person(fresh.add_user("me", "sudo"))
    for name in ("sshd", "sudo"):
        fresh.run("cp", "-p", f"/etc/pam.d/{name}", f"/root/{name}")
    totpctl(fresh, "enable", "sshd", "sudo", "--no-confirm")
    assert [] == findings(fresh, status=0)
    fresh.systemctl("start", UNIT)
    assert [] == logged(fresh)

    update(fresh, "sshd", "sudo")
    assert LOGGED_IN in by_sudo(fresh, me.account, None)
    wrong = findings(fresh, status=6)
    assert ["pam-missing", "pam-missing"] == [check for check, _ in wrong]
    assert re.search(r"sshd +off .*was enabled", totpctl(fresh, "status", "sshd", status=6).stdout)
    fresh.systemctl("start", UNIT, check=False)
    assert "failed" == is_active(fresh, UNIT)
    assert ["pam-missing", "pam-missing"] == logged(fresh)

    for _, fix in wrong:
        fresh.run(*fix.removeprefix("run: ").split())
        totpctl(fresh, "confirm", "--yes")
    assert [] == findings(fresh, status=0)
    assert LOGGED_IN in by_ssh(fresh, me.account, me.answer())
    assert LOGGED_IN in by_sudo(fresh, me.account, me.answer())
    fresh.systemctl("enable", "--now", TIMER)
    fresh.systemctl("start", UNIT)
    assert 2 == len(logged(fresh))
    assert "" == fresh.systemctl("--failed", "--quiet")
