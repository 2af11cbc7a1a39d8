"""What enable refuses: with which exit code, which fix, and without a trace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import snapshot, totpctl
from tests.support.machine import Account, Machine
from tests.support.place import ROOT

pytestmark = pytest.mark.root

BY_HAND = "auth required pam_totp.so nullok\n" + enabling.PASSWORD_STEP
SUFFICIENT = "auth sufficient pam_exec.so /bin/true\n" + enabling.PASSWORD_STEP


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    with enabling.before_enable(prepared.files, served=False) as started:
        yield started


@pytest.mark.parametrize(
    ("before", "arguments", "code", "error"),
    [
        ("true", ("nonsense",), 1, "there is no PAM service nonsense"),
        ("true", ("ssh",), 1, "there is no PAM service ssh; did you mean sshd?"),
        ("rm /etc/pam.d/sudo", ("sudo",), 1, "there is no PAM service sudo\n"),
        ("true", ("../shadow",), 1, "there is no PAM service ../shadow"),
        ("true", ("common-auth",), 1, "common-auth"),
        (f"echo '{BY_HAND}' > /etc/pam.d/sudo", ("sudo",), 1, "sudo, line 1: "),
        (f"echo '{SUFFICIENT}' > /etc/pam.d/sudo", ("sudo",), 1, "sudo, line 1: "),
        ("ln -sf sudo /etc/pam.d/linked", ("linked",), 1, "/etc/pam.d/linked: is a symbolic link"),
        ("chmod 666 /etc/pam.d/sudo", ("sudo",), 1, "/etc/pam.d/sudo: is writable by others"),
        ("rm /usr/lib/*/security/pam_totp.so", ("sudo",), 1, "pam_totp.so is not installed"),
        ("echo windo=1 >> /etc/security/pam_totp.conf", ("sudo",), 1, "has mistakes"),
        ("rm /var/lib/pam_totp/store.db*", ("sudo",), 5, "store.db"),
        ("rmdir /etc/ssh/sshd_config.d", ("sshd",), 1, "no folder /etc/ssh/sshd_config.d"),
        ("echo Nonsense yes > /etc/ssh/sshd_config.d/x.conf", ("sshd",), 1, "Nonsense"),
        ("mv /usr/lib/pam_totp/worker /tmp", ("sudo",), 1, "selftest: "),
        ("true", ("sudo", "--keys", "skip"), 2, "--keys applies only to sshd"),
        ("true", ("sudo", "--no-confirm", "--confirm-within", "1m"), 2, "cannot be used together"),
        ("true", ("sudo", "--confirm-within", "9s"), 2, "10s to 24h"),
        ("true", ("sudo", "--confirm-within", "25h"), 2, "10s to 24h"),
        ("true", ("sudo", "--confirm-within", "ten"), 2, "10s to 24h"),
        ("true", (), 2, "missing argument"),
    ],
)
def test_it_is_refused_with_a_mend_and_without_a_trace(
    machine: Machine, before: str, arguments: tuple[str, ...], code: int, error: str
) -> None:
    machine.run("sh", "-c", before)
    untouched = snapshot(machine)
    done = totpctl(machine, "enable", *arguments)
    assert (code, "") == (done.returncode, done.stdout), done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("now: ")]
    last, hint = lines[-2:]
    assert last.startswith("totpctl: error: ")
    assert error in f"{last}\n"
    assert hint.startswith("hint: ")
    assert untouched == snapshot(machine)
    assert [] == enabling.left_over(machine)


@pytest.mark.parametrize("command", ["enable", "disable", "confirm", "revert"])
def test_only_root_may(machine: Machine, command: str) -> None:
    services = ["sudo"] if command in ("enable", "disable") else []
    done = machine.run("totpctl", command, *services, user="alice", check=False)
    assert 4 == done.returncode
    assert "only root can change login configuration" in done.stderr


def test_without_an_administrator_who_gets_in_it_is_refused(
    machine: Machine, alice: Account
) -> None:
    machine.run("passwd", "--lock", "root")
    machine.add_user("bob", "a password of bob", "--groups", "sudo")
    machine.run("totpctl", "suspend", "alice")
    untouched = snapshot(machine)
    done = totpctl(machine, "enable", "sudo")
    assert 6 == done.returncode
    assert "sudo will deny bob, who is not enrolled (totpctl enroll bob)" in done.stderr
    assert "sudo will deny alice, who is suspended (totpctl resume alice)" in done.stderr
    assert "no administrator could become root any more: sudo" in done.stderr
    assert 6 == totpctl(machine, "enable", "sudo", "--dry-run").returncode
    assert untouched == snapshot(machine)
    assert 0 == totpctl(machine, "enable", "sudo", "--force").returncode
    totpctl(machine, "revert")
    machine.run("totpctl", "resume", "alice")
    done = totpctl(machine, "enable", "sudo")
    assert 0 == done.returncode
    assert "sudo will deny bob" in done.stderr


def test_another_enable_is_refused_until_the_first_is_confirmed(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sudo").returncode
    waiting = snapshot(machine)
    done = totpctl(machine, "enable", "sshd")
    assert 1 == done.returncode
    assert "sudo: enabled but not confirmed yet" in done.stderr
    assert "hint: first run: totpctl confirm, or: totpctl revert" in done.stderr
    assert waiting == snapshot(machine)
    assert 0 == totpctl(machine, "confirm", "--yes").returncode
    assert 0 == totpctl(machine, "enable", "sshd").returncode


def test_confirm_refuses_where_our_lines_are_gone(machine: Machine) -> None:
    totpctl(machine, "enable", "sudo")
    machine.write("/etc/pam.d/sudo", enabling.PASSWORD_STEP)
    done = totpctl(machine, "confirm", "--yes")
    assert 1 == done.returncode
    assert "our lines are no longer in /etc/pam.d/sudo" in done.stderr


@pytest.mark.night
def test_an_uninstall_waits_for_the_confirmation_and_names_what_is_on(machine: Machine) -> None:
    totpctl(machine, "enable", "sshd", "sudo")
    refused = machine.run(ROOT / "install.sh", "--uninstall", check=False, timeout=120)
    assert 1 == refused.returncode
    assert "a change waits for its confirmation" in refused.stderr
    assert "hint: run: totpctl confirm, or: totpctl revert" in refused.stderr
    totpctl(machine, "confirm", "--yes")
    refused = machine.run(ROOT / "install.sh", "--uninstall", check=False, timeout=120)
    assert 1 == refused.returncode
    (hint,) = [line for line in refused.stderr.splitlines() if "totpctl disable" in line]
    assert {"sshd", "sudo"} == set(hint.removeprefix("hint: run: totpctl disable ").split())
    machine.run("sh", "-c", hint.removeprefix("hint: run: "))
    assert 0 == machine.run(ROOT / "install.sh", "--uninstall", timeout=120).returncode
