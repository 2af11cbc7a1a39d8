"""SSH keys and codes: with a key, without one, with both, by the examples of packaging."""

from __future__ import annotations

import pytest

from tests.e2e.ssh import ACCEPTED, CODE, DENIED, PASSWORD, our_events, set_up
from tests.support.machine import Account, Machine
from tests.support.place import ROOT

pytestmark = pytest.mark.root


def test_key_and_code_log_in(machine: Machine, alice: Account) -> None:
    set_up(machine, "key-and-code")
    client = machine.ssh("alice", "-i", machine.give_key("alice"))
    client.answer(CODE, alice.code())
    assert PASSWORD not in client.before
    assert "welcome alice" == client.rest().strip()
    assert 0 == client.exit_status()
    machine.log.wait_for(*ACCEPTED)


def test_code_without_the_key_is_not_asked_for(machine: Machine, alice: Account) -> None:
    set_up(machine, "key-and-code")
    client = machine.ssh("alice")
    shown = client.rest()
    assert CODE not in shown
    assert f"{DENIED} (publickey)" in shown
    assert 255 == client.exit_status()
    assert [] == our_events(machine)


def test_code_is_never_all_that_is_asked(machine: Machine, alice: Account) -> None:
    """The PAM file of key-and-code, but an sshd_config that does not ask for the key."""
    machine.use_pam("sshd", (ROOT / "packaging/pam.d/sshd-key-and-code").read_text("utf-8"))
    machine.start_sshd("UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no\n")
    client = machine.ssh("alice")
    shown = client.rest()
    assert CODE not in shown
    assert DENIED in shown
    assert [] == our_events(machine)


def test_key_or_password_asks_whoever_has_the_key_for_the_code_alone(
    machine: Machine, alice: Account
) -> None:
    set_up(machine, "key-or-password-and-code")
    client = machine.ssh("alice", "-i", machine.give_key("alice"))
    client.answer(CODE, alice.code())
    assert PASSWORD not in client.before
    assert "welcome alice" == client.rest().strip()
    assert 0 == client.exit_status()
    assert ["accepted"] == our_events(machine)


def test_key_or_password_asks_whoever_has_no_key_for_password_and_code(
    machine: Machine, alice: Account
) -> None:
    set_up(machine, "key-or-password-and-code")
    client = machine.ssh("alice")
    client.answer(PASSWORD, alice.password)
    assert CODE not in client.before
    client.answer(CODE, alice.code())
    assert "welcome alice" == client.rest().strip()
    assert 0 == client.exit_status()
    assert ["accepted"] == our_events(machine)


def test_key_or_password_takes_a_foreign_key_for_none(machine: Machine, alice: Account) -> None:
    machine.add_user("bob", "password of bob")
    set_up(machine, "key-or-password-and-code")
    client = machine.ssh("alice", "-i", machine.give_key("bob"))
    client.answer(PASSWORD, alice.password)
    assert CODE not in client.before
    client.answer(CODE, alice.code())
    assert "welcome alice" in client.rest()


def test_key_or_password_never_asks_for_a_code_after_a_wrong_password(
    machine: Machine, alice: Account
) -> None:
    set_up(machine, "key-or-password-and-code")
    client = machine.ssh("alice", "-oNumberOfPasswordPrompts=2")
    client.answer(PASSWORD, "wrong")
    client.answer(PASSWORD, "wrong again")
    assert CODE not in client.before
    shown = client.rest()
    assert CODE not in shown
    assert DENIED in shown
    assert [] == our_events(machine)
    assert 0 == machine.state("alice")["failures"]


def test_key_or_password_asks_who_is_exempt_for_the_password(
    machine: Machine, alice: Account
) -> None:
    machine.write("/etc/security/pam_totp.conf", "exempt_groups = sudo\n")
    set_up(machine, "key-or-password-and-code")
    client = machine.ssh("alice", "-oNumberOfPasswordPrompts=2")
    client.answer(PASSWORD, "wrong")
    client.answer(PASSWORD, alice.password)
    assert "welcome alice" == client.rest().strip()
    assert ["skipped"] == our_events(machine)


def test_key_or_password_wants_the_code_even_with_key_and_password(
    machine: Machine, alice: Account
) -> None:
    """After wrong codes sshd starts the stack over: the key must not lead to the password."""
    set_up(machine, "key-or-password-and-code")
    key = machine.give_key("alice")
    client = machine.ssh("alice", "-i", key, "-oNumberOfPasswordPrompts=2")
    shown = ""
    for answer in [alice.password, alice.wrong_code(), "junk", alice.password]:
        client.answer(CODE, answer)
        shown += client.before
    client.expect_exact(CODE)
    shown += client.before
    assert PASSWORD not in shown
    assert "welcome" not in shown
    assert ["malformed", "rejected", "malformed", "malformed"] == our_events(machine)
