"""install.sh: upgrades that fail or are cut off, and installations that are no package."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import package, product
from tests.support.installer import (
    CACHE,
    CONFIG,
    FOLDER,
    HOOK,
    INSTALLER,
    KEY,
    PAM_LINE,
    STORE,
    VERIFIER,
    bring,
    bring_installed,
    exists,
    install,
    package_file,
    pam_and_ssh,
    state,
    wait_for,
)
from tests.support.machine import Machine

pytestmark = pytest.mark.root


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A copy of this machine on which pam_totp is not installed."""
    with Machine() as started:
        bring(started)
        yield started


@pytest.fixture
def installed() -> Iterator[Machine]:
    """A copy of this machine on which install.sh has installed pam_totp."""
    with Machine() as started:
        bring_installed(started)
        yield started


BROKEN = {"selftest": "raise SystemError", "postinst": "this is no Python"}


# What the self-test finds is taken back in test_killed_upgrade_is_finished_by_the_next_run.
@pytest.mark.parametrize(
    "line",
    [pytest.param(BROKEN["selftest"], marks=pytest.mark.night), BROKEN["postinst"]],
    ids=BROKEN,
)
def test_version_that_does_not_work_is_taken_back(installed: Machine, line: str) -> None:
    good = installed.read(VERIFIER)
    bring(installed, package.with_a_last_line("core/verifier.py", line))
    done = install(installed)
    assert 1 == done.returncode
    assert "the previous one is back in place" in done.stderr
    assert good == installed.read(VERIFIER)
    assert "ii " == state(installed)
    installed.run("totpctl", "selftest", timeout=120)
    assert "installed.deb\n" == installed.run("ls", CACHE).stdout


def test_first_version_that_does_not_work_changed_no_login(machine: Machine) -> None:
    before = pam_and_ssh(machine)
    bring(machine, package.with_a_last_line("core/verifier.py", BROKEN["selftest"]))
    done = install(machine)
    assert 1 == done.returncode
    assert "do not put pam_totp into a PAM file yet" in done.stderr
    assert before == pam_and_ssh(machine)


@pytest.mark.night
def test_package_from_elsewhere_comes_back_if_the_new_one_fails(machine: Machine) -> None:
    bring(machine, package.with_a_last_line("core/verifier.py", "# older"))
    machine.run("dpkg", "--install", f"{FOLDER}/built", timeout=120)
    machine.use_pam("sudo", PAM_LINE)
    bring(machine, package.with_a_last_line("core/verifier.py", BROKEN["selftest"]))
    done = install(machine)
    assert 1 == done.returncode
    assert "the previous one is back in place" in done.stderr
    assert "# older" in machine.read(VERIFIER)
    assert "ii " == state(machine)
    assert "" == machine.run("dpkg", "--verify", "libpam-totp", check=False).stdout
    assert "/etc/pam.d/sudo" in install(machine, "--uninstall").stderr  # its prerm is back, too
    machine.run("totpctl", "selftest", timeout=120)


# Reached while dpkg is at work; goes on when it is told to.
HOLD_ON = """#!/bin/sh
if [ ! -e /root/reached ]; then
    : >/root/reached
    while [ ! -e /root/go-on ]; do sleep 0.1; done
fi
"""


def hold_dpkg(machine: Machine) -> None:
    """The package's postinst calls pam-auth-update."""
    machine.write("/usr/sbin/pam-auth-update", HOLD_ON, mode=0o755)


def test_interrupted_upgrade_is_finished(installed: Machine) -> None:
    bring(installed, package.with_a_last_line("core/verifier.py", "# newer"))
    hold_dpkg(installed)
    terminal = installed.spawn(INSTALLER)
    wait_for(installed, "/root/reached")
    terminal.send("\x03")
    terminal.expect_exact("what was begun is finished first")
    installed.write("/root/go-on", "")
    terminal.expect_exact("selftest passed")
    assert 0 == terminal.exit_status()
    assert "# newer" in installed.read(VERIFIER)
    assert "ii " == state(installed)


@pytest.mark.night
def test_upgrade_that_is_interrupted_again_is_taken_back(installed: Machine) -> None:
    good = installed.read(VERIFIER)
    bring(installed, package.with_a_last_line("core/verifier.py", "# newer"))
    hold_dpkg(installed)
    terminal = installed.spawn(INSTALLER)
    wait_for(installed, "/root/reached")
    assert good != installed.read(VERIFIER)
    for _ in range(2):
        terminal.send("\x03")
        terminal.expect_exact("what was begun is finished first")
    terminal.expect_exact("the previous one is back in place")
    assert 1 == terminal.exit_status()
    assert good == installed.read(VERIFIER)
    assert "ii " == state(installed)
    installed.run("totpctl", "selftest", timeout=120)


def test_killed_upgrade_is_finished_by_the_next_run(installed: Machine) -> None:
    bring(installed, package.with_a_last_line("core/verifier.py", "# newer"))
    hold_dpkg(installed)
    installed.spawn(INSTALLER)
    wait_for(installed, "/root/reached")
    installed.run("sh", "-c", "kill -KILL $(pgrep -x 'install.sh|apt-get|dpkg|pam-auth-update')")
    assert "iF " == state(installed)
    assert exists(installed, f"{CACHE}/previous.deb")
    bring(installed, package.with_a_last_line("core/verifier.py", BROKEN["selftest"]))
    done = install(installed)
    assert "the previous one is back in place" in done.stderr
    assert installed.read(VERIFIER) == package_file()
    assert "ii " == state(installed)


# An installation that is no package: `make install`, as install.sh once did


@pytest.fixture
def taken_over(machine: Machine) -> Machine:
    """It is in use; somebody has changed its settings; and it has files that are gone today."""
    machine.unpack(product.tree())
    machine.run("totpctl", "init")
    machine.run("sh", "-c", f"echo window = 0 >>{CONFIG}; echo '# older' >>{VERIFIER}")
    for stray in ("/usr/lib/pam_totp/admin_cli/old.py", "/usr/share/man/man8/pam_totp.8"):
        machine.write(stray, "# of an earlier version\n")
    machine.use_pam("sudo", PAM_LINE)
    return machine


def test_installation_that_is_no_package_becomes_one(taken_over: Machine) -> None:
    kept = taken_over.run("sha256sum", KEY, CONFIG).stdout
    done = install(taken_over)
    assert 0 == done.returncode, done
    assert kept == taken_over.run("sha256sum", KEY, CONFIG).stdout
    assert package_file() == taken_over.read(VERIFIER)
    assert not exists(taken_over, "/usr/lib/pam_totp/admin_cli/old.py")
    assert not exists(taken_over, "/usr/share/man/man8/pam_totp.8")
    verified = taken_over.run("dpkg", "--verify", "libpam-totp", check=False).stdout
    assert [f"??5?????? c {CONFIG}"] == verified.splitlines()


@pytest.mark.night
def test_installation_that_is_no_package_comes_back_if_the_package_fails(
    taken_over: Machine,
) -> None:
    listing = (
        "sh",
        "-c",
        "find /usr -path '*totp*' -type f ! -name '*.pyc' | sort | xargs sha256sum",
    )
    before = taken_over.run(*listing).stdout
    bring(taken_over, package.with_a_last_line("core/verifier.py", BROKEN["selftest"]))
    done = install(taken_over)
    assert 1 == done.returncode
    assert "the previous one is back in place" in done.stderr
    assert before == taken_over.run(*listing).stdout
    taken_over.run("totpctl", "selftest", timeout=120)


@pytest.mark.night
def test_installation_that_is_no_package_is_removed_only_when_unused(taken_over: Machine) -> None:
    refused = install(taken_over, "--uninstall")
    assert 1 == refused.returncode
    assert "/etc/pam.d/sudo" in refused.stderr
    assert exists(taken_over, HOOK)
    taken_over.use_pam("sudo", "# " + PAM_LINE)
    assert 0 == install(taken_over, "--uninstall").returncode
    assert not exists(taken_over, "/usr/lib/pam_totp")
    assert all(exists(taken_over, path) for path in (KEY, STORE, CONFIG))
