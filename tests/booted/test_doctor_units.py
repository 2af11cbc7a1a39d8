"""The units of doctor: on their own every day, and failing where something is wrong."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.booted import SOURCE, Booted

pytestmark = pytest.mark.root

UNIT, TIMER = "pam_totp-doctor.service", "pam_totp-doctor.timer"
WAIT_FOR_FAILURE = "until systemctl is-failed -q pam_totp.service; do sleep 0.2; done"
NO_LINE = r"sed -i /pam_totp/d /etc/pam.d/sudo"


@pytest.fixture
def enabled(fresh: Booted) -> Booted:
    """As somebody leaves it who enrolled, enabled and confirmed."""
    fresh.add_user("alice", "sudo")
    fresh.run("totpctl", "enable", "sshd", "sudo", "--no-confirm")
    return fresh


def start(machine: Booted) -> int:
    return int(machine.run("systemctl", "start", UNIT, check=False).returncode)


def of_the_unit(machine: Booted) -> str:
    command = ("journalctl", "--no-pager", "--output=cat", f"--unit={UNIT}")
    return str(machine.run(*command).stdout)


def test_systemd_finds_nothing_wrong_with_the_units(fresh: Booted) -> None:
    paths = [f"/usr/lib/systemd/system/{unit}" for unit in (UNIT, TIMER)]
    done = fresh.run("systemd-analyze", "--man=no", "verify", *paths)
    assert ("", "") == (done.stdout, done.stderr)


def test_nothing_is_wrong_after_enroll_and_enable(enabled: Booted) -> None:
    done = enabled.run("totpctl", "doctor", "--json", check=False)
    wrong = [f for f in json.loads(done.stdout)["findings"] if f["level"] == "wrong"]
    assert (0, []) == (done.returncode, wrong)
    assert 0 == start(enabled), of_the_unit(enabled)
    assert not re.search("WRONG|NOTE|event=finding", of_the_unit(enabled))


def test_unit_says_what_is_wrong_logs_it_and_fails(enabled: Booted) -> None:
    enabled.run("sh", "-c", NO_LINE)
    assert 0 != start(enabled)
    assert "failed\n" == enabled.run("systemctl", "is-failed", UNIT, check=False).stdout
    said = of_the_unit(enabled)
    assert 1 == said.count("WRONG")
    assert "WRONG  /etc/pam.d/sudo: it has no pam_totp line [pam-missing]\n" in said
    assert "       mend: run: totpctl enable sudo\n" in said
    shown = enabled.run("journalctl", "--no-pager", "--facility=authpriv", "--priority=4").stdout
    assert "event=finding by=" in shown
    assert " check=pam-missing " in shown


def test_timer_is_off_until_somebody_wants_it_and_then_runs_every_day(fresh: Booted) -> None:
    asked = ("systemctl", "is-enabled", TIMER)
    assert "disabled\n" == fresh.run(*asked, check=False).stdout
    fresh.run("systemctl", "enable", "--now", TIMER)
    assert "enabled\n" == fresh.run(*asked).stdout
    assert TIMER in fresh.run("systemctl", "list-timers", "--no-pager").stdout
    fresh.run(f"{SOURCE}/install.sh", "--uninstall", "--purge")
    assert TIMER not in fresh.run("systemctl", "list-timers", "--no-pager").stdout
    assert "" == fresh.run("find", "/etc/systemd/system", "-name", "pam_totp*").stdout


def test_service_that_fails_at_each_start_is_found(enabled: Booted) -> None:
    broken = "[Service]\nExecStart=\nExecStart=/bin/false\n"
    enabled.write("/etc/systemd/system/pam_totp.service.d/broken.conf", broken)
    enabled.run("systemctl", "daemon-reload")
    enabled.run("systemctl", "restart", "pam_totp.service", check=False)
    enabled.run("timeout", "60", "sh", "-c", WAIT_FOR_FAILURE)
    done = enabled.run("totpctl", "doctor", "--json", check=False)
    found = [f["problem"] for f in json.loads(done.stdout)["findings"] if f["check"] == "service"]
    assert any(problem.startswith("pam_totp.service has failed (") for problem in found), found
