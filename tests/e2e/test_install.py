"""install.sh on a copy of this machine, where every package is there already."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.machine import Machine
from tests.support.place import ROOT

pytestmark = pytest.mark.root

INSTALLER = f"{ROOT}/install.sh"
KEY, STORE = "/etc/security/pam_totp.key", "/var/lib/pam_totp/store.db"
CONFIG = "/etc/security/pam_totp.conf"
HOOK = "/usr/lib/pam_totp/hook.py"
PAM_LINE = f"auth required pam_python.so {HOOK}\n"


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A copy of this machine on which pam_totp is not installed."""
    with Machine() as started:
        yield started


def install(
    machine: Machine, *arguments: str, **options: object
) -> subprocess.CompletedProcess[str]:
    return machine.run(INSTALLER, *arguments, check=False, timeout=120, **options)


def exists(machine: Machine, path: str) -> bool:
    return machine.run("test", "-e", path, check=False).returncode == 0


def find_module(machine: Machine) -> str:
    return machine.run("find", "/usr/lib", "-name", "pam_totp.so").stdout.strip()


def digest(machine: Machine) -> str:
    return machine.run("sha256sum", find_module(machine)).stdout


def pam_and_ssh(machine: Machine) -> str:
    """Return a digest of every file that decides who may log in."""
    return machine.run(
        "sh", "-c", "find /etc/pam.d /etc/ssh /etc/sudoers* -type f | sort | xargs sha256sum"
    ).stdout


def test_installer_ends_in_a_passed_selftest_and_says_what_to_do_next(machine: Machine) -> None:
    before = pam_and_ssh(machine)
    done = install(machine)
    assert 0 == done.returncode, done
    assert "selftest passed" in done.stdout + done.stderr
    steps = done.stdout.partition("Next: ")[2].splitlines()
    assert ["1.", "2.", "3.", "4."] == [line.strip()[:2] for line in steps[:4]]
    assert before == pam_and_ssh(machine)
    modes = machine.run("stat", "-c", "%a %U %n", KEY, STORE, "/var/lib/pam_totp", CONFIG).stdout
    assert (
        f"600 root {KEY}\n600 root {STORE}\n700 root /var/lib/pam_totp\n644 root {CONFIG}\n"
        == modes
    )


def test_module_is_built_hardened_and_put_beside_the_others(machine: Machine) -> None:
    install(machine)
    module = find_module(machine)
    assert "644 root root\n" == machine.run("stat", "-c", "%a %U %G", module).stdout
    assert exists(machine, f"{module.rpartition('/')[0]}/pam_unix.so")
    dynamic = machine.run("readelf", "-W", "-d", "-l", "--dyn-syms", module).stdout
    for hardening in ("GNU_RELRO", "BIND_NOW", "__stack_chk_fail"):
        assert hardening in dynamic
    assert (
        "GNU_STACK      0x000000 0x0000000000000000 0x0000000000000000 0x000000 0x000000 RW "
        in (dynamic)
    )
    needed = sorted(line.split("[")[1] for line in dynamic.splitlines() if "(NEEDED)" in line)
    assert ["libc.so.6]", "libpam.so.0]"] == needed


def test_service_is_started_where_systemd_runs(machine: Machine) -> None:
    machine.run("mkdir", "-p", "/run/systemd/system")
    machine.write("/usr/bin/systemctl", '#!/bin/sh\necho "$*" >> /root/calls\n', mode=0o755)
    assert 0 == install(machine).returncode
    assert [
        "daemon-reload",
        "stop pam_totp.socket pam_totp.service",
        "enable -q --now pam_totp.socket",
    ] == machine.read("/root/calls").splitlines()
    assert exists(machine, "/usr/lib/systemd/system/pam_totp.socket")
    machine.run("rm", "/root/calls")
    assert 0 == install(machine, "--uninstall").returncode
    assert [
        "disable -q --now pam_totp.socket pam_totp.service pam_totp-doctor.timer",
        "daemon-reload",
    ] == machine.read("/root/calls").splitlines()
    assert not exists(machine, "/usr/lib/systemd/system/pam_totp.socket")


def test_tree_is_not_written_to(machine: Machine) -> None:
    machine.run("cp", "-r", ROOT, "/opt/tree")
    before = machine.run("find", "/opt/tree", "-newer", "/opt/tree/install.sh").stdout
    machine.run("/opt/tree/install.sh", timeout=120)
    machine.run("/opt/tree/install.sh", "--uninstall", timeout=120)
    assert before == machine.run("find", "/opt/tree", "-newer", "/opt/tree/install.sh").stdout


def test_second_run_upgrades_and_keeps_key_store_and_configuration(machine: Machine) -> None:
    install(machine)
    machine.enrol("alice")
    machine.run("sh", "-c", f"echo window = 0 >> {CONFIG}; echo 'broken(' > {HOOK}")
    machine.use_pam("sudo", PAM_LINE)
    kept = machine.run("sha256sum", KEY, CONFIG).stdout
    done = install(machine)
    assert 0 == done.returncode, done
    assert "Upgraded. Look at: totpctl status; totpctl doctor" == done.stdout.splitlines()[-1]
    assert kept == machine.run("sha256sum", KEY, CONFIG).stdout
    assert 10 == machine.state("alice")["recovery_codes_left"]
    assert "broken(" not in machine.read(HOOK)


def test_version_that_fails_its_selftest_is_taken_back(machine: Machine) -> None:
    install(machine)
    good, good_module = machine.read(f"{HOOK}"), digest(machine)
    machine.run("cp", "-r", ROOT, "/opt/next")
    machine.run("sh", "-c", "echo 'raise SystemError' >> /opt/next/pam_totp/verifier.py")
    source = "/opt/next/pam_totp/native/pam_totp.c"
    machine.run("sed", "-i", "s/the worker asked too often/asked too often/", source)
    done = machine.run("/opt/next/install.sh", check=False, timeout=120)
    assert 1 == done.returncode
    assert "the previous one is back in place" in done.stderr
    assert good == machine.read(HOOK)
    assert good_module == digest(machine)
    assert "SystemError" not in machine.read("/usr/lib/pam_totp/pam_totp/verifier.py")
    machine.run("totpctl", "selftest", timeout=120)
    assert not exists(machine, "/usr/lib/pam_totp.previous")


def test_interrupted_upgrade_is_taken_back(machine: Machine) -> None:
    install(machine)
    good = digest(machine)
    machine.run("cp", "-r", ROOT, "/opt/next")
    machine.run("sh", "-c", "echo '# newer' >> /opt/next/pam_totp/verifier.py")
    source = "/opt/next/pam_totp/native/pam_totp.c"
    machine.run("sed", "-i", "s/the worker asked too often/asked too often/", source)
    machine.run("mkdir", "-p", "/run/systemd/system")
    hang_once = "#!/bin/sh\n[ -e /root/reached ] || { : > /root/reached; sleep 60; }\n"
    machine.write("/usr/bin/systemctl", hang_once, mode=0o755)
    terminal = machine.spawn("/opt/next/install.sh")
    deadline = time.monotonic() + 60
    while not exists(machine, "/root/reached"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert good != digest(machine)
    terminal.send("\x03")
    terminal.expect_exact("the previous one is back in place")
    assert 1 == terminal.exit_status()
    assert good == digest(machine)
    assert "# newer" not in machine.read("/usr/lib/pam_totp/pam_totp/verifier.py")
    assert not exists(machine, "/usr/lib/pam_totp.previous")


def test_two_at_once_do_not_get_in_each_other_s_way(machine: Machine) -> None:
    script = f"flock /run/pam_totp.install.lock {INSTALLER}"
    done = machine.run("sh", "-c", script, check=False)
    assert 1 == done.returncode
    assert "another install.sh is running" in done.stderr
    assert not exists(machine, "/usr/lib/pam_totp")


@pytest.mark.parametrize(
    "module",
    [
        "pam_python.so /usr/lib/pam_totp//hook.py",
        "pam_python.so /usr/lib/pam_totp/./hook.py",
        "pam_totp.so",
        "/lib/security/pam_totp.so debug",
    ],
)
def test_uninstall_finds_the_hook_by_other_names(machine: Machine, module: str) -> None:
    install(machine)
    machine.write("/etc/pam-sudo", f"auth required {module}\n")
    machine.run("ln", "-sf", "/etc/pam-sudo", "/etc/pam.d/sudo")
    assert 1 == install(machine, "--uninstall").returncode
    assert exists(machine, HOOK)


def test_uninstall_refuses_while_a_pam_file_needs_the_hook(machine: Machine) -> None:
    install(machine)
    machine.use_pam("sudo", PAM_LINE)
    refused = install(machine, "--uninstall")
    assert 1 == refused.returncode
    assert "/etc/pam.d/sudo" in refused.stderr
    assert exists(machine, HOOK)
    machine.use_pam("sudo", "# " + PAM_LINE)
    machine.write("/etc/pam.d/.pam_totp-edited.sudo", PAM_LINE)  # what revert put aside
    assert 0 == install(machine, "--uninstall").returncode
    assert not exists(machine, HOOK)
    assert "" == find_module(machine)


def test_uninstall_keeps_key_store_and_configuration_unless_purged(machine: Machine) -> None:
    install(machine)
    assert 0 == install(machine, "--uninstall").returncode
    assert not exists(machine, "/usr/sbin/totpctl")
    assert all(exists(machine, path) for path in (KEY, STORE, CONFIG))
    assert 0 == install(machine, "--uninstall", "--purge").returncode
    assert not any(exists(machine, path) for path in (KEY, STORE, CONFIG, "/var/lib/pam_totp"))


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
    machine.write("/opt/install.sh", (ROOT / "install.sh").read_text(encoding="utf-8"), mode=0o755)
    done = machine.run("/opt/install.sh", *arguments, user="nobody", check=False)
    assert 1 == done.returncode
    assert "root" in done.stderr
    assert not exists(machine, "/usr/lib/pam_totp")


def test_mistyped_argument_does_nothing(machine: Machine) -> None:
    done = install(machine, "--unistall")
    assert 1 == done.returncode
    assert "--unistall" in done.stderr
    assert not exists(machine, "/usr/lib/pam_totp")


def test_another_python_first_on_path_is_not_used(machine: Machine) -> None:
    machine.write("/opt/bin/python3", "#!/bin/sh\nexit 1\n", mode=0o755)
    done = install(machine, env={"PATH": "/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
    assert 0 == done.returncode, done
