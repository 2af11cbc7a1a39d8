"""Odd ways to log in over SSH: the password method, people who may not, people who hang up."""

from __future__ import annotations

import pytest
from pexpect import TIMEOUT

from tests.e2e.ssh import ACCEPTED, CODE, DENIED, PASSWORD, our_events, set_up
from tests.support import hosts
from tests.support.logs import fields
from tests.support.machine import Account, Machine
from tests.support.place import ROOT

pytestmark = pytest.mark.root


def test_password_method_is_refused_without_a_guess_and_the_log_says_what_to_change(
    machine: Machine, alice: Account
) -> None:
    machine.use_pam("sshd", (ROOT / "packaging/pam.d/sshd-password-and-code").read_text("utf-8"))
    machine.start_sshd("UsePAM yes\nPasswordAuthentication yes\n")
    only = ("-oPreferredAuthentications=password", "-oNumberOfPasswordPrompts=1")
    client = machine.ssh("alice", *only)
    client.answer("password: ", alice.password)
    assert DENIED in client.rest()
    assert 255 == client.exit_status()
    line = fields(machine.log.wait_for("event=malformed", "user=alice"))
    assert "PasswordAuthentication no" in line["reason"]
    assert "KbdInteractiveAuthentication yes" in line["reason"]
    assert ["malformed"] == our_events(machine)
    assert 0 == machine.state("alice")["failures"]


@pytest.mark.parametrize("quiet", [False, True])
def test_a_password_that_was_typed_twice_is_said_to_be_one_and_the_code_logs_in(
    machine: Machine, alice: Account, quiet: bool
) -> None:
    set_up(machine, "password-and-code")
    if quiet:
        machine.write("/etc/security/pam_totp.conf", "quiet = yes\n")
    client = machine.ssh("alice")
    client.answer(PASSWORD, alice.password)
    client.answer(CODE, alice.password)
    client.answer(CODE, alice.code())
    assert quiet != ("That was your password. Enter the code from your app." in client.before)
    assert "welcome alice" in client.rest()
    assert ["malformed", "accepted"] == our_events(machine)
    assert "sshd_config" not in fields(machine.log.wait_for("event=malformed"))["reason"]


@pytest.mark.parametrize("line", ["DenyUsers alice", "AllowUsers bob"])
def test_user_who_may_not_log_in_does_not_and_spends_no_code(
    machine: Machine, alice: Account, line: str
) -> None:
    set_up_text = (ROOT / "packaging/sshd_config.d/password-and-code.conf").read_text("utf-8")
    machine.use_pam("sshd", (ROOT / "packaging/pam.d/sshd-password-and-code").read_text("utf-8"))
    machine.start_sshd(f"{set_up_text}\n{line}\n")
    client = machine.ssh("alice", "-oNumberOfPasswordPrompts=1")
    client.answer(PASSWORD, alice.password)
    assert DENIED in client.rest()
    machine.log.wait_for("User alice from 127.0.0.1 not allowed because")
    assert "accepted" not in our_events(machine)
    state = machine.state("alice")
    assert (0, None) == (state["failures"], state["authenticators"][0]["last_used_at"])


def test_answer_that_sshd_makes_up_for_who_may_not_log_in_is_no_guess(
    machine: Machine, alice: Account
) -> None:
    """With the code asked first, sshd's made-up answer comes to it."""
    machine.use_pam("sshd", "auth required pam_totp.so attempts=1\n@include common-auth\n")
    example = (ROOT / "packaging/sshd_config.d/password-and-code.conf").read_text("utf-8")
    machine.start_sshd(f"{example}\nDenyUsers alice\n")
    client = machine.ssh("alice", "-oNumberOfPasswordPrompts=1")
    client.answer(CODE, alice.code())
    client.answer(PASSWORD, alice.password)
    assert DENIED in client.rest()
    assert ["malformed"] == our_events(machine)
    assert 0 == machine.state("alice")["failures"]


def test_person_who_hangs_up_at_the_prompt_leaves_nothing_behind(
    machine: Machine, alice: Account
) -> None:
    set_up(machine, "password-and-code")
    client = machine.ssh("alice")
    client.answer(PASSWORD, alice.password)
    client.expect_exact(CODE)
    client.close()
    next_client = machine.ssh("alice")
    next_client.answer(PASSWORD, alice.password)
    next_client.answer(CODE, alice.code())
    assert "welcome alice" in next_client.rest()
    assert 0 == machine.state("alice")["failures"]


def test_waiting_at_the_prompt_holds_up_nobody(machine: Machine, alice: Account) -> None:
    bob = machine.enrol("bob")
    set_up(machine, "password-and-code")
    waiting = machine.ssh("alice")
    waiting.answer(PASSWORD, alice.password)
    waiting.expect_exact(CODE)
    client = machine.ssh("bob")
    client.answer(PASSWORD, bob.password)
    client.answer(CODE, bob.code())
    assert "welcome bob" in client.rest()
    with pytest.raises(TIMEOUT):
        waiting.expect("x", timeout=0)
    waiting.sendline(alice.code())
    assert "welcome alice" in waiting.rest()


def test_nothing_that_a_login_knows_can_be_seen_from_outside(
    machine: Machine, alice: Account
) -> None:
    set_up(machine, "password-and-code")
    client = machine.ssh("alice")
    client.answer(PASSWORD, alice.password)
    code = alice.code()
    client.answer(CODE, alice.wrong_code())
    client.expect_exact(CODE)
    seen = machine.whatever_shows()
    client.sendline(code)
    shown = client.rest()
    assert "welcome alice" in shown
    machine.log.wait_for(*ACCEPTED)
    assert "alice [pam]" in seen
    for place in (seen, machine.log.text(), shown):
        assert [] == [secret for secret in secrets_of(alice, code) if secret in place]


def secrets_of(account: Account, *codes: str) -> list[str]:
    from base64 import b32encode

    recovery = account.recovery_codes
    bare = [code.replace("-", "") for code in recovery]
    seed = b32encode(account.secret).decode("ascii")
    return [account.password, seed, account.secret.hex(), *recovery, *bare, *codes]


def test_sshd_logs_under_its_own_name_after_the_hook(
    machine: Machine, alice: Account, host: str
) -> None:
    example = (ROOT / "packaging/pam.d/sshd-password-and-code").read_text("utf-8")
    machine.use_pam("sshd", f"auth optional pam_warn.so\n{example}auth optional pam_warn.so\n")
    machine.start_sshd((ROOT / "packaging/sshd_config.d/password-and-code.conf").read_text("utf-8"))
    client = machine.ssh("alice")
    client.answer(PASSWORD, alice.password)
    client.answer(CODE, alice.code())
    assert "welcome alice" in client.rest()
    machine.log.wait_for("Accepted keyboard-interactive/pam")
    lines = [
        line
        for line in machine.log.lines()
        if "pam_warn(sshd:auth)" in line or all(word in line for word in ACCEPTED)
    ]
    before, ours, after = lines
    assert "pam_totp(" in ours
    assert hosts.program(before) == hosts.program(after)
    assert hosts.program(after).startswith("sshd")
    if host == hosts.PAM_PYTHON:
        assert hosts.program(ours) == hosts.program(after)
    else:
        assert hosts.program(ours).startswith("pam_totp[")
