"""enable and the programs that cannot ask for a code: themselves, and where they include others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import snapshot, totpctl
from tests.support.machine import Account, Machine

pytestmark = pytest.mark.root


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    with enabling.before_enable(prepared.files) as started:
        yield started


def files(machine: Machine, **texts: str) -> None:
    for name, text in texts.items():
        machine.write(f"/etc/pam.d/{name}", text)


def fix(said: str) -> str:
    return said.partition("hint: run first: ")[2].partition("\n")[0]


@pytest.mark.parametrize("service", ["swaylock", "gtklock", "i3lock"])
def test_a_locker_that_includes_login_comes_first(
    machine: Machine, alice: Account, service: str
) -> None:
    """Through a file between the two as well, with both forms of include; the fix fixes it."""
    files(machine, login=enabling.PASSWORD_STEP + "account required pam_permit.so\n")
    files(machine, between="auth include login\n")
    for text in ("auth include login\n", "# locks\n@include login\n", "auth substack between\n"):
        machine.write(f"/etc/pam.d/{service}", text)
        machine.write("/etc/pam.d/between", "auth include login\n")
        before = snapshot(machine)
        for dry_run in ([], ["--dry-run"]):
            refused = totpctl(machine, "enable", *dry_run, "login")
            assert 1 == refused.returncode
            assert f"error: {service} includes login: {service} runs without" in refused.stderr
            assert "nobody could unlock the screen" in refused.stderr
            assert before == snapshot(machine)
        machine.run("sh", "-ec", fix(refused.stderr))
        done = totpctl(machine, "enable", "--force", "login")
        assert 0 == done.returncode, done.stderr
        locker = machine.spawn("pamtester", service, "alice", "authenticate")
        locker.answer("Password: ", alice.password)
        assert "successfully authenticated" in locker.rest()
        totpctl(machine, "disable", "login")


def test_the_other_services_that_change_are_named(machine: Machine, alice: Account) -> None:
    assert alice
    files(machine, login=enabling.PASSWORD_STEP, remote="@include login\n")
    files(machine, atd="auth include login\n", frob="auth substack /etc/pam.d/remote\n")
    files(machine, elsewhere=enabling.PASSWORD_STEP)
    done = totpctl(machine, "enable", "--force", "login")
    assert 0 == done.returncode, done.stderr
    named = [line for line in done.stderr.splitlines() if line.startswith("also changes: ")]
    assert [
        "also changes: atd, which includes login; "
        "it never authenticates users, so nothing changes there",
        "also changes: frob, which includes login; it also asks for a code. If it runs without "
        "root, everyone is denied there, unless you first set unprivileged = yes: "
        "man pam_totp.conf",
        "also changes: remote, which includes login; it also asks for a code",
    ] == named


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ("swaylock", "answers every prompt with the password"),
        ("vsftpd", "answers every hidden prompt with the password"),
        ("dovecot", "answers every hidden prompt with the password"),
        ("xrdp-sesman", "answers every hidden prompt with the password"),
        ("cron", "never authenticates anybody"),
        ("atd", "never authenticates anybody"),
        ("systemd-user", "never authenticates anybody"),
    ],
)
def test_a_program_that_cannot_ask_for_a_code_is_refused(
    machine: Machine, alice: Account, service: str, reason: str
) -> None:
    assert alice
    files(machine, login=enabling.PASSWORD_STEP)
    for text in (enabling.PASSWORD_STEP, "auth include login\n"):
        machine.write(f"/etc/pam.d/{service}", text)
        before = snapshot(machine)
        refused = totpctl(machine, "enable", "--force", service)
        assert 1 == refused.returncode
        assert f"error: {service} " in refused.stderr
        assert reason in refused.stderr
        assert "enable login" not in refused.stderr
        assert before == snapshot(machine)


def test_a_file_that_asks_for_no_password_is_refused_whatever_its_name(machine: Machine) -> None:
    machine.write("/etc/pam.d/frob", "auth sufficient pam_rootok.so\nauth required pam_permit.so\n")
    refused = totpctl(machine, "enable", "--force", "frob")
    assert 1 == refused.returncode
    assert "asks for no password that a code could follow" in refused.stderr


def test_an_unknown_service_with_a_password_is_enabled(machine: Machine, alice: Account) -> None:
    assert alice
    machine.write("/etc/pam.d/frob", enabling.PASSWORD_STEP)
    assert 0 == totpctl(machine, "enable", "--force", "frob").returncode
