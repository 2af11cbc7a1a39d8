"""A real sshd and the real ssh client, with the examples that are installed."""

from __future__ import annotations

import pytest

from tests.e2e.ssh import ACCEPTED, CODE, DENIED, PASSWORD, our_events, set_up
from tests.support.machine import Account, Machine

pytestmark = pytest.mark.root


def test_password_and_code_log_in(machine: Machine, alice: Account) -> None:
    set_up(machine, "password-and-code")
    client = machine.ssh("alice")
    client.answer(PASSWORD, alice.password)
    client.answer(CODE, alice.code())
    assert "welcome alice" == client.rest().strip()
    assert 0 == client.exit_status()
    line = machine.log.wait_for(*ACCEPTED)
    assert line.endswith(
        "pam_totp(sshd:auth): event=accepted user=alice rhost=127.0.0.1 tty=ssh authenticator=phone"
    )
    machine.log.wait_for("Accepted keyboard-interactive/pam for alice from 127.0.0.1")


def test_right_code_after_a_wrong_one_needs_no_new_password(
    machine: Machine, alice: Account
) -> None:
    set_up(machine, "password-and-code")
    client = machine.ssh("alice")
    client.answer(PASSWORD, alice.password)
    client.answer(CODE, alice.wrong_code())
    client.answer(CODE, alice.code())
    assert "Wrong code." in client.before
    assert PASSWORD not in client.before
    assert "welcome alice" in client.rest()
    assert 0 == client.exit_status()
    assert ["rejected", "accepted"] == our_events(machine)


def test_pasted_answers_log_in(machine: Machine, alice: Account) -> None:
    set_up(machine, "password-and-code")
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in alice.code())
    pasted = f"\u00a0{wide[:3]}\u2009{wide[3:]}\t"
    for answer in (pasted, alice.recovery_codes[0].replace("-", " \u2013 ")):
        client = machine.ssh("alice")
        client.answer(PASSWORD, alice.password)
        client.answer(CODE, answer)
        assert "welcome alice" in client.rest()
    assert ["accepted", "recovery_used"] == our_events(machine)


def test_wrong_password_never_reaches_the_code_prompt(machine: Machine, alice: Account) -> None:
    set_up(machine, "password-and-code")
    client = machine.ssh("alice", "-oNumberOfPasswordPrompts=1")
    client.answer(PASSWORD, "wrong")
    shown = client.rest()
    assert CODE not in shown
    assert DENIED in shown
    assert 255 == client.exit_status()
    assert [] == our_events(machine)
    assert 0 == machine.state("alice")["failures"]


def test_three_wrong_codes_lead_back_to_the_password(machine: Machine, alice: Account) -> None:
    set_up(machine, "password-and-code")
    client = machine.ssh("alice", "-oNumberOfPasswordPrompts=2")
    client.answer(PASSWORD, alice.password)
    for _ in range(3):
        client.answer(CODE, alice.wrong_code())
    client.expect_exact(PASSWORD)
    assert CODE not in client.before
    assert ["rejected"] * 3 == our_events(machine)


def test_throttled_user_is_told_to_wait_and_asked_no_more(machine: Machine, alice: Account) -> None:
    set_up(machine, "password-and-code")
    client = machine.ssh("alice", "-oPreferredAuthentications=keyboard-interactive")
    client.answer(PASSWORD, alice.password)
    for _ in range(3):
        client.answer(CODE, alice.wrong_code())
    client.answer(PASSWORD, alice.password)
    for _ in range(2):
        client.answer(CODE, alice.wrong_code())
    client.answer(PASSWORD, alice.password)
    assert "Too many in a row: wait 30 seconds before the next try." in client.before
    client.answer(CODE, alice.code())
    shown = client.rest()
    assert "Too many wrong codes. Wait " in shown
    assert DENIED in shown
    assert PASSWORD not in shown
    assert 255 == client.exit_status()
    assert ["rejected"] * 5 + ["throttled"] == our_events(machine)


def test_replayed_code_is_refused_and_the_next_one_logs_in(
    machine: Machine, alice: Account
) -> None:
    set_up(machine, "password-and-code")
    code, following = alice.code(), alice.code(+1)
    first = machine.ssh("alice")
    first.answer(PASSWORD, alice.password)
    first.answer(CODE, code)
    assert "welcome alice" in first.rest()
    second = machine.ssh("alice")
    second.answer(PASSWORD, alice.password)
    second.answer(CODE, code)
    second.answer(CODE, following)
    assert "This code has already been used." in second.before
    assert "welcome alice" in second.rest()
    assert ["accepted", "replayed", "accepted"] == our_events(machine)


def test_recovery_code_logs_in_once(machine: Machine, alice: Account) -> None:
    set_up(machine, "password-and-code")
    first = machine.ssh("alice", "-tt")
    first.answer(PASSWORD, alice.password)
    first.answer(CODE, alice.recovery_codes[3])
    shown = first.rest()
    assert "Recovery code accepted. It is used up; 9 left." in shown
    assert "welcome alice" in shown
    again = machine.ssh("alice")
    again.answer(PASSWORD, alice.password)
    again.answer(CODE, alice.recovery_codes[3])
    again.answer(CODE, alice.code())
    assert "Wrong code." in again.before
    assert "welcome alice" in again.rest()
    assert ["recovery_used", "rejected", "accepted"] == our_events(machine)
    assert 9 == machine.state("alice")["recovery_codes_left"]


@pytest.mark.parametrize("kind", ["code", "recovery code"])
def test_many_logins_at_once_with_one_code_let_one_in(
    machine: Machine, alice: Account, kind: str
) -> None:
    set_up(machine, "password-and-code")
    clients = [machine.ssh("alice", "-oNumberOfPasswordPrompts=1") for _ in range(8)]
    for client in clients:
        client.answer(PASSWORD, alice.password)
    for client in clients:
        client.expect_exact(CODE)
    code = alice.code() if kind == "code" else alice.recovery_codes[0]
    for client in clients:
        client.sendline(code)
    welcomed = 0
    for client in clients:
        welcomed += client.expect_exact([CODE, "Too many", "welcome alice"]) == 2
    assert 1 == welcomed
    accepted = [event for event in our_events(machine) if event in ("accepted", "recovery_used")]
    assert 1 == len(accepted)
    assert 8 == len(our_events(machine))


def test_unknown_user_is_asked_as_everybody_is(machine: Machine, alice: Account) -> None:
    set_up(machine, "password-and-code")
    shown = []
    for name in ("alice", "mallory"):
        client = machine.ssh(name, "-oNumberOfPasswordPrompts=1")
        client.answer(PASSWORD, "wrong")
        before = client.before.strip()
        shown.append((before + client.rest()).replace(name, "NAME"))
        assert 255 == client.exit_status()
    assert shown[0] == shown[1]
    assert DENIED in shown[0]
