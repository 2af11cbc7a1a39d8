"""install.sh on a copy of this machine, where every package is there already."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.installer import (
    CACHE,
    CONFIG,
    HOOK,
    INSTALLER,
    KEY,
    PAM_LINE,
    STORE,
    bring,
    bring_installed,
    exists,
    install,
    pam_and_ssh,
    state,
)
from tests.support.machine import Machine
from tests.support.place import ROOT

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


PROGRESS = re.compile(r"Reading|Get:|Selecting|Preparing|Unpacking|Setting up|\(Reading")
LOG = "/var/log/pam_totp-install.log"


def find_module(machine: Machine) -> str:
    return machine.run("find", "/usr/lib", "-name", "pam_totp.so").stdout.strip()


def test_installer_ends_in_a_passed_selftest_and_says_what_to_do_next(machine: Machine) -> None:
    before = pam_and_ssh(machine)
    done = install(machine)
    assert 0 == done.returncode, done
    assert "selftest passed" in done.stdout + done.stderr
    steps = done.stdout.partition("Next: ")[2].splitlines()
    assert ["1.", "2.", "3.", "4."] == [line.strip()[:2] for line in steps[:4]]
    assert 1 == done.stdout.count("Next: ")
    assert [] == [line for line in done.stdout.splitlines() if PROGRESS.match(line)]
    assert f"created the sealing key {KEY}" in done.stdout
    assert "Unpacking libpam-totp" in machine.read(LOG)
    assert before == pam_and_ssh(machine)
    modes = machine.run("stat", "-c", "%a %U %n", KEY, STORE, "/var/lib/pam_totp", CONFIG).stdout
    assert (
        f"600 root {KEY}\n600 root {STORE}\n700 root /var/lib/pam_totp\n644 root {CONFIG}\n"
        == modes
    )


def test_module_is_built_hardened_and_put_beside_the_others(installed: Machine) -> None:
    module = find_module(installed)
    assert "644 root root\n" == installed.run("stat", "-c", "%a %U %G", module).stdout
    assert exists(installed, f"{module.rpartition('/')[0]}/pam_unix.so")
    dynamic = installed.run("readelf", "-W", "-d", "-l", "--dyn-syms", module).stdout
    for hardening in ("GNU_RELRO", "BIND_NOW", "__stack_chk_fail"):
        assert hardening in dynamic
    assert (
        "GNU_STACK      0x000000 0x0000000000000000 0x0000000000000000 0x000000 0x000000 RW "
        in (dynamic)
    )
    needed = sorted(line.split("[")[1] for line in dynamic.splitlines() if "(NEEDED)" in line)
    assert ["libc.so.6]", "libpam.so.0]"] == needed


@pytest.mark.night
def test_tree_is_not_written_to(machine: Machine) -> None:
    machine.run("cp", "-r", ROOT, "/opt/tree")
    listing = ("find", "/opt/tree", "-newer", "/opt/tree/install.sh")
    before = machine.run(*listing).stdout
    machine.run("/opt/tree/install.sh", timeout=180)
    machine.run("/opt/tree/install.sh", "--uninstall", timeout=120)
    assert before == machine.run(*listing).stdout


def test_second_run_upgrades_by_debian_s_python_and_keeps_key_store_and_configuration(
    installed: Machine,
) -> None:
    installed.enrol("alice")
    installed.run("sh", "-c", f"echo window = 0 >> {CONFIG}; echo 'broken(' > {HOOK}")
    installed.use_pam("sudo", PAM_LINE)
    kept = installed.run("sha256sum", KEY, CONFIG).stdout
    installed.write("/opt/bin/python3", "#!/bin/sh\nexit 1\n", mode=0o755)  # is not used
    done = install(installed, env={"PATH": "/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
    assert 0 == done.returncode, done
    assert "Upgraded. Look at: totpctl status; totpctl doctor" == done.stdout.splitlines()[-1]
    assert kept == installed.run("sha256sum", KEY, CONFIG).stdout
    assert 10 == installed.state("alice")["recovery_codes_left"]
    assert "broken(" not in installed.read(HOOK)


def test_two_at_once_do_not_get_in_each_other_s_way(machine: Machine) -> None:
    script = f"flock /run/pam_totp.install.lock {INSTALLER}"
    done = machine.run("sh", "-c", script, check=False)
    assert 1 == done.returncode
    assert "another install.sh is running" in done.stderr
    assert not exists(machine, "/usr/lib/pam_totp")


@pytest.mark.night
def test_uninstall_finds_the_hook_by_other_names(installed: Machine) -> None:
    installed.run("ln", "-sf", "/etc/pam-sudo", "/etc/pam.d/sudo")
    for module in (
        "pam_python.so /usr/lib/pam_totp//hook.py",
        "pam_python.so /usr/lib/pam_totp/./hook.py",
        "pam_totp.so",
        "/lib/security/pam_totp.so debug",
    ):
        installed.write("/etc/pam-sudo", f"auth required {module}\n")
        assert 1 == install(installed, "--uninstall").returncode, module
        assert exists(installed, HOOK), module


def test_uninstall_refuses_while_a_pam_file_needs_the_hook_and_keeps_what_purge_removes(
    installed: Machine,
) -> None:
    installed.use_pam("sudo", PAM_LINE)
    refused = install(installed, "--uninstall")
    assert 1 == refused.returncode
    assert "/etc/pam.d/sudo" in refused.stderr
    assert exists(installed, HOOK)
    installed.use_pam("sudo", "# " + PAM_LINE)
    installed.write("/etc/pam.d/.pam_totp-edited.sudo", PAM_LINE)  # what revert put aside
    assert 0 == install(installed, "--uninstall").returncode
    assert not any(exists(installed, path) for path in (HOOK, "/usr/sbin/totpctl"))
    assert "" == find_module(installed)
    assert all(exists(installed, path) for path in (KEY, STORE, CONFIG))
    assert 0 == install(installed, "--uninstall", "--purge").returncode
    assert not any(exists(installed, path) for path in (KEY, STORE, CONFIG, "/var/lib/pam_totp"))


@pytest.mark.night
def test_uninstall_refuses_also_where_an_upgrade_was_broken_off(installed: Machine) -> None:
    """dpkg would remove without prerm what is not configured."""
    installed.use_pam("sudo", PAM_LINE)
    installed.run("dpkg", "--unpack", f"{CACHE}/installed.deb")
    assert "iU " == state(installed)
    refused = install(installed, "--uninstall")
    assert 1 == refused.returncode
    assert "take the lines with pam_totp out of /etc/pam.d/sudo" in refused.stderr
    assert exists(installed, HOOK)


@pytest.mark.parametrize("arguments", [(), ("--uninstall",)])
def test_other_distribution_is_refused_and_nothing_changes(
    machine: Machine, arguments: tuple[str, ...]
) -> None:
    machine.run("rm", "-f", "/etc/os-release")
    machine.write("/etc/os-release", "ID=fedora\nPRETTY_NAME='Fedora Linux'\n")
    done = install(machine, *arguments)
    assert 1 == done.returncode
    assert "fedora" in done.stderr
    assert not exists(machine, "/usr/lib/pam_totp")


@pytest.mark.parametrize("arguments", [(), ("--uninstall", "--purge")])
def test_nobody_but_root_can_install_or_uninstall(
    machine: Machine, arguments: tuple[str, ...]
) -> None:
    done = machine.run(INSTALLER, *arguments, user="nobody", check=False)
    assert 1 == done.returncode
    assert "root" in done.stderr
    assert not exists(machine, "/usr/lib/pam_totp")


def test_mistyped_argument_does_nothing(machine: Machine) -> None:
    done = install(machine, "--unistall")
    assert 1 == done.returncode
    assert "--unistall" in done.stderr
    assert not exists(machine, "/usr/lib/pam_totp")
