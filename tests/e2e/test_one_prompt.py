"""Password and code in one answer, with the programs that need it: OpenVPN, vsftpd, Dovecot."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.e2e.one_field import (
    has_tun,
    log_in,
    openvpn_client,
    start,
    start_dovecot,
    start_openvpn,
    start_vsftpd,
)
from tests.support import enabling, hosts
from tests.support.enabling import totpctl
from tests.support.logs import fields
from tests.support.machine import Account, Machine
from tests.support.place import ROOT
from tests.unit.pam_files import GOLDEN

pytestmark = pytest.mark.root

INCLUDES = "@include common-auth\n@include common-account\n"
ANSWER = "Password and code: "
ANSWERS = "/tmp/answer"  # what OpenVPN's client sends
VSFTPD = "/etc/pam.d/vsftpd"


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    """A machine without the code, on which the worker of a service is asked."""
    with enabling.before_enable(prepared.files) as started:
        for service in ("vsftpd", "dovecot"):
            text = (GOLDEN / "debian-12" / service).read_text("utf-8")
            started.write(f"/etc/pam.d/{service}", text)
        started.write("/etc/pam.d/openvpn", INCLUDES)
        yield started


def enable(machine: Machine, service: str) -> None:
    done = totpctl(machine, "enable", service, "--one-prompt", "--no-confirm")
    assert 0 == done.returncode, done.stderr
    assert "people type the password, and the code right behind it" in done.stderr


def events_of_logins(machine: Machine) -> list[tuple[str, str]]:
    lines = [line for line in machine.log.lines() if ":auth): event=" in line]
    said = [fields(line) for line in lines if "selftest" not in line]
    return [(each["module"].removesuffix(":auth"), each["event"]) for each in said]


# The programs


def test_vsftpd_lets_in_with_password_and_code_in_its_one_field(
    machine: Machine, alice: Account
) -> None:
    enable(machine, "vsftpd")
    start_vsftpd(machine)
    code = alice.code(+1)
    wrong = ["wrong" + code, alice.password + alice.wrong_code(), alice.password]
    assert ["530 Login incorrect."] * 3 == log_in(machine, "ftp", *wrong)
    assert ["230"] == log_in(machine, "ftp", alice.password + code)
    assert ["530 Login incorrect."] == log_in(machine, "ftp", alice.password + code)
    expected = {("vsftpd", event) for event in ("rejected", "malformed", "accepted", "replayed")}
    assert expected == set(events_of_logins(machine))


def test_dovecot_lets_in_by_imap_with_password_and_recovery_code(
    machine: Machine, alice: Account
) -> None:
    enable(machine, "dovecot")
    start_dovecot(machine)
    recovery_code, another = alice.recovery_codes[:2]
    wrong = [f"wrong {recovery_code}", alice.password + alice.wrong_code()]
    refused = "b'[AUTHENTICATIONFAILED] Authentication failed.'"
    assert [refused] * 2 == log_in(machine, "imap", *wrong)
    for _ in range(2):  # by the cache
        assert ["OK"] == log_in(machine, "imap", f"{alice.password} {recovery_code}")
    elsewhere = log_in(machine, "imap", f"{alice.password} {recovery_code}", source="127.0.0.2")
    assert [refused] == elsewhere
    tried = machine.run("doveadm", "auth", "test", "alice", f"{alice.password} {another}")
    assert "passdb: alice auth succeeded" in tried.stdout
    expected = ["rejected", "recovery_used", "rejected", "recovery_used"]
    assert [("dovecot", event) for event in expected] == events_of_logins(machine)


def test_openvpn_lets_in_and_asks_for_no_other_code_while_the_connection_lasts(
    machine: Machine, alice: Account
) -> None:
    if not has_tun(machine):
        pytest.skip("this kernel has no tun")
    enable(machine, "openvpn")
    start_openvpn(machine)
    code, said = alice.code(+1), []
    for answer in ("wrong" + code, alice.password + alice.wrong_code()):
        machine.write(ANSWERS, f"alice\n{answer}\n", 0o600)
        shown = machine.run(*openvpn_client(ANSWERS).split()).stdout.splitlines()
        said.append([line.split(" ", 2)[2] for line in shown if "AUTH" in line or "auth" in line])
    assert said[0] == said[1]
    assert "AUTH: Received control message: AUTH_FAILED" in said[0]
    machine.write(ANSWERS, f"alice\n{alice.password}{code}\n", 0o600)
    token = "Username/auth-token authentication succeeded for username 'alice'"
    start(
        machine,
        f"{openvpn_client(ANSWERS)} --log /tmp/client.log",
        until=f'grep -q "{token}" /tmp/server.log',
    )
    assert [("openvpn", "rejected"), ("openvpn", "accepted")] == events_of_logins(machine)


# What else PAM is asked for: by pam_unix itself


def test_an_expired_password_is_changed_as_ever(machine: Machine, alice: Account) -> None:
    enable(machine, "vsftpd")
    machine.write(VSFTPD, machine.read(VSFTPD) + "@include common-password\n")
    machine.run("chage", "--lastday", "0", "alice")
    new = "another horse 2000"
    operations = ("authenticate", "chauthtok(PAM_CHANGE_EXPIRED_AUTHTOK)", "setcred")
    terminal = machine.spawn("pamtester", "vsftpd", "alice", *operations)
    terminal.answer(ANSWER, alice.password + alice.code(+1))
    terminal.answer("Current password: ", alice.password)
    for prompt in ("New password: ", "Retype new password: "):
        terminal.answer(prompt, new)
    shown = terminal.rest()
    assert "authentication token altered successfully" in shown
    assert "credential info has successfully been set" in shown
    terminal = machine.spawn("pamtester", "vsftpd", "alice", "authenticate", "acct_mgmt")
    terminal.answer(ANSWER, f"{new} {alice.recovery_codes[0]}")
    assert "account management done" in terminal.rest()


def test_by_pam_python_it_is_the_same(machine: Machine, alice: Account) -> None:
    enable(machine, "vsftpd")
    hook = hosts.module_of(hosts.PAM_PYTHON)
    machine.write(VSFTPD, machine.read(VSFTPD).replace("pam_totp.so", hook))
    for answer, granted in ((alice.password + alice.code(+1), True), (alice.password, False)):
        terminal = machine.spawn("pamtester", "vsftpd", "alice", "authenticate")
        terminal.answer(ANSWER, answer)
        assert granted == ("successfully authenticated" in terminal.rest())


# Turning it on and off


def test_enable_writes_both_lines_as_a_trial_and_disable_takes_them_out(
    machine: Machine, alice: Account
) -> None:
    before = machine.read(VSFTPD)
    done = totpctl(machine, "enable", "vsftpd", "--one-prompt")
    assert (0, True) == (done.returncode, "then run: totpctl confirm" in done.stderr)
    written = (ROOT / "tests/golden/enabled/debian-12-vsftpd-one-prompt").read_text("utf-8")
    assert written == machine.read(VSFTPD)
    assert 0 == totpctl(machine, "revert").returncode
    assert before == machine.read(VSFTPD)
    totpctl(machine, "enable", "vsftpd", "--one-prompt")
    assert 0 == totpctl(machine, "confirm", "--yes").returncode
    remembered = json.loads(machine.read("/var/lib/pam_totp/enabled.json"))
    assert {"vsftpd": "one-prompt"} == remembered
    assert "already on" in totpctl(machine, "enable", "vsftpd").stderr
    shown = totpctl(machine, "status", "vsftpd", "--json")
    (service,) = json.loads(shown.stdout)["services"]
    assert ("on", True, True) == (service["state"], service["managed"], service["one_prompt"])
    row = totpctl(machine, "status", "vsftpd").stdout.splitlines()[1]
    assert row.endswith("password and code in one answer")
    assert 0 == totpctl(machine, "disable", "vsftpd").returncode
    assert (before, {}) == (
        machine.read(VSFTPD),
        json.loads(machine.read("/var/lib/pam_totp/enabled.json")),
    )


def test_a_program_that_can_ask_only_once_is_not_enabled_without_it(machine: Machine) -> None:
    refused = totpctl(machine, "enable", "vsftpd")
    assert 1 == refused.returncode
    hint = "hint: to take password and code in one answer, run: totpctl enable vsftpd --one-prompt"
    assert hint in refused.stderr
    said = totpctl(machine, "enable", "openvpn", "--dry-run").stderr
    assert "in one answer, run: totpctl enable openvpn --one-prompt" in said
    with_it = totpctl(machine, "enable", "swaylock", "--one-prompt").stderr
    assert "there is no PAM service swaylock" in with_it
    machine.write("/etc/pam.d/swaylock", INCLUDES)
    with_it = totpctl(machine, "enable", "swaylock", "--one-prompt").stderr
    assert "swaylock runs without root" in with_it
    assert 2 == totpctl(machine, "enable", "sshd", "vsftpd", "--one-prompt").returncode


def test_one_prompt_in_the_configuration_is_for_programs_that_can_ask_only_once(
    machine: Machine,
) -> None:
    machine.run("sh", "-c", "echo one_prompt = yes >>/etc/security/pam_totp.conf")
    done = totpctl(machine, "enable", "vsftpd", "sudo", "--no-confirm")
    assert 0 == done.returncode, done.stderr
    assert "first_factor=password" in machine.read(VSFTPD)
    assert "first_factor=password" not in machine.read("/etc/pam.d/sudo")


def test_an_update_that_takes_the_lines_out_is_undone_as_it_was(machine: Machine) -> None:
    before = machine.read(VSFTPD)
    enable(machine, "vsftpd")
    enabled = machine.read(VSFTPD)
    machine.write(VSFTPD, before)
    assert 0 == totpctl(machine, "enable", "vsftpd", "--no-confirm").returncode
    assert enabled == machine.read(VSFTPD)
