"""The units of doctor: on their own every day, and failing where something is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support import package
from tests.support.booted import SOURCE, Booted

pytestmark = pytest.mark.root

UNIT, TIMER = "pam_totp-doctor.service", "pam_totp-doctor.timer"
WAIT_FOR_FAILURE = "until systemctl is-failed -q pam_totp.service; do sleep 0.2; done"
BROKEN = "/etc/systemd/system/pam_totp.service.d/broken.conf"
KEPT, CURSOR = "/root/kept", "/root/cursor"
AS_BEFORE = f"""
cp -a {KEPT}/. /etc/pam.d; rm -f {BROKEN}; systemctl daemon-reload; systemctl reset-failed
systemctl restart pam_totp.socket
"""
NO_LINE = r"sed -i /pam_totp/d /etc/pam.d/sudo"


@pytest.fixture
def fresh(base: tuple[str, str]) -> Iterator[Booted]:
    """A booted Debian into which the package has just been installed, with its timer."""
    with Booted(*base) as booted:
        package.install(booted)
        yield booted


@pytest.fixture(scope="module")
def server(base: tuple[str, str]) -> Iterator[Booted]:
    """As somebody leaves it who installed, enrolled, enabled and confirmed."""
    with Booted(*base) as booted:
        package.install(booted)
        booted.add_user("alice", "sudo")
        booted.run("totpctl", "enable", "sshd", "sudo", "--no-confirm")
        booted.run("cp", "-a", "/etc/pam.d", KEPT)
        yield booted


@pytest.fixture
def enabled(server: Booted) -> Iterator[Booted]:
    """The same for each test, and as it was when the next one begins."""
    of_the_unit(server)
    yield server
    server.run("sh", "-ec", AS_BEFORE)


def start(machine: Booted) -> int:
    return int(machine.run("systemctl", "start", UNIT, check=False).returncode)


def of_the_unit(machine: Booted) -> str:
    """Return what it has logged since this was asked last."""
    command = ("journalctl", "--no-pager", "--quiet", "--output=cat", f"--cursor-file={CURSOR}")
    machine.run("journalctl", "--sync")
    return str(machine.run(*command, f"--unit={UNIT}", check=False).stdout)  # 1: nothing


def test_systemd_finds_nothing_wrong_with_the_units(enabled: Booted) -> None:
    paths = [f"/usr/lib/systemd/system/{unit}" for unit in (UNIT, TIMER)]
    done = enabled.run("systemd-analyze", "--man=no", "verify", *paths)
    assert ("", "") == (done.stdout, done.stderr)


def test_nothing_is_wrong_after_enroll_and_enable(enabled: Booted) -> None:
    done = enabled.run("totpctl", "doctor", "--json", check=False)
    wrong = [f for f in json.loads(done.stdout)["findings"] if f["level"] == "wrong"]
    assert (0, []) == (done.returncode, wrong)
    status, said = start(enabled), of_the_unit(enabled)
    assert 0 == status, said
    assert said
    assert not re.search("WRONG|NOTE|event=finding", said)


def test_unit_says_what_is_wrong_logs_it_and_fails(enabled: Booted) -> None:
    enabled.run("sh", "-c", NO_LINE)
    assert 0 != start(enabled)
    assert "failed\n" == enabled.run("systemctl", "is-failed", UNIT, check=False).stdout
    said = of_the_unit(enabled)
    assert 1 == said.count("WRONG")
    assert "WRONG  /etc/pam.d/sudo: it has no pam_totp line [pam-missing]\n" in said
    assert "       fix: run: totpctl enable sudo\n" in said
    shown = enabled.run("journalctl", "--no-pager", "--facility=authpriv", "--priority=4").stdout
    assert "event=finding by=" in shown
    assert " check=pam-missing " in shown


def test_timer_runs_every_day_from_the_installation_on_and_doctor_misses_it(
    enabled: Booted,
) -> None:
    assert "enabled\n" == enabled.run("systemctl", "is-enabled", TIMER).stdout
    assert TIMER in enabled.run("systemctl", "list-timers", "--no-pager").stdout
    enabled.run("systemctl", "disable", "--now", TIMER)
    assert (
        f"NOTE   {TIMER} is not running [doctor-timer]" in enabled.run("totpctl", "doctor").stdout
    )
    enabled.run("systemctl", "enable", "--now", TIMER)
    assert "doctor-timer" not in enabled.run("totpctl", "doctor").stdout


def test_timer_goes_with_the_package(fresh: Booted) -> None:
    fresh.run(f"{SOURCE}/install.sh", "--uninstall", "--purge")
    assert TIMER not in fresh.run("systemctl", "list-timers", "--no-pager").stdout
    assert "" == fresh.run("find", "/etc/systemd/system", "-name", "pam_totp*").stdout


def test_service_that_fails_at_each_start_is_found(enabled: Booted) -> None:
    broken = "[Service]\nExecStart=\nExecStart=/bin/false\n"
    enabled.write(BROKEN, broken)
    enabled.run("systemctl", "daemon-reload")
    enabled.run("systemctl", "restart", "pam_totp.service", check=False)
    enabled.run("timeout", "60", "sh", "-c", WAIT_FOR_FAILURE)
    done = enabled.run("totpctl", "doctor", "--json", check=False)
    found = [f["problem"] for f in json.loads(done.stdout)["findings"] if f["check"] == "service"]
    assert any(problem.startswith("pam_totp.service has failed (") for problem in found), found


# openssh-server as dpkg has unpacked it here, with another version and another PAM file: what a
# security update is to dpkg.
_NEXT_OPENSSH = """
package=openssh-server tree=/root/next
mkdir -p "$tree/DEBIAN"
dpkg-query --listfiles "$package" | while IFS= read -r path; do
    if [ -d "$path" ]; then mkdir -p "$tree$path"; else cp -a "$path" "$tree$path"; fi
done
echo '# a line of tomorrow' >>"$tree/etc/pam.d/sshd"
for file in /var/lib/dpkg/info/"$package".*; do
    case ${file##*.} in list | md5sums) ;; *) cp -a "$file" "$tree/DEBIAN/${file##*.}" ;; esac
done
dpkg-query --status "$package" |
    sed -e '/^Status:/d' -e 's/^Version: .*/&+next/' \\
        -e '/^Conffiles:/,/^[^ ]/{/^Conffiles:/d;/^ /d}' \\
    >"$tree/DEBIAN/control"
dpkg-deb -Znone --build "$tree" /root/next.deb >/dev/null
"""


def test_update_that_takes_the_code_away_is_told_where_apt_is_watched(fresh: Booted) -> None:
    fresh.run("sh", "-euc", _NEXT_OPENSSH)
    fresh.add_user("alice", "sudo")
    fresh.run("totpctl", "enable", "sshd", "sudo")
    shown = fresh.run("totpctl", "confirm", "--yes").stderr
    assert "doctor checks every day, and after package upgrades" in shown
    install = ("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confnew", "--install")
    done = fresh.run(*install, "/root/next.deb")
    said = done.stdout + done.stderr
    assert "pam_totp" not in fresh.read("/etc/pam.d/sshd")
    assert "libpam-totp: warning: after this change, logins with a code are" in said
    assert "WRONG  /etc/pam.d/sshd: it has no pam_totp line [pam-missing]" in said
    assert 1 == said.count("Processing triggers for libpam-totp")
    logged = fresh.run("journalctl", "--no-pager", "--facility=authpriv", "--priority=4").stdout
    assert re.search("event=finding by=.* check=pam-missing ", logged)
    assert "" == fresh.run("dpkg", "--audit").stdout

    fresh.run("totpctl", "enable", "sshd", "--no-confirm")
    done = fresh.run(*install, "/root/next.deb")
    assert "warning" not in done.stdout + done.stderr, "nothing is wrong, and nothing is said"
