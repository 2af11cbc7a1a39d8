"""A real sshd and the real ssh client, with the examples that are installed."""

from __future__ import annotations

import pytest
from pexpect import TIMEOUT

from tests.support import hosts
from tests.support.logs import fields
from tests.support.machine import Account, Machine
from tests.support.place import ROOT

pytestmark = pytest.mark.root

PASSWORD = "Password: "
CODE = "Verification code: "
DENIED = "Permission denied"
ACCEPTED = ("event=accepted", "user=alice")


def set_up(machine: Machine, example: str) -> None:
    """Use one pair of examples: a PAM file and an sshd_config.d file."""
    packaging = ROOT / "packaging"
    machine.use_pam("sshd", (packaging / "pam.d" / f"sshd-{example}").read_text("utf-8"))
    machine.start_sshd((packaging / "sshd_config.d" / f"{example}.conf").read_text("utf-8"))


def our_events(machine: Machine) -> list[str]:
    """Return what pam_totp logged of logins, without what totpctl did before."""
    return [fields(line)["event"] for line in machine.log.lines() if "pam_totp(sshd:" in line]


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
    assert "This code was used already." in second.before
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


def test_key_and_code_log_in(machine: Machine, alice: Account) -> None:
    set_up(machine, "key-and-code")
    client = machine.ssh("alice", "-i", machine.give_key("alice"))
    client.answer(CODE, alice.code())
    assert PASSWORD not in client.before
    assert "welcome alice" == client.rest().strip()
    assert 0 == client.exit_status()
    machine.log.wait_for(*ACCEPTED)


def test_key_with_a_wrong_code_does_not_log_in(machine: Machine, alice: Account) -> None:
    set_up(machine, "key-and-code")
    key = machine.give_key("alice")
    client = machine.ssh("alice", "-i", key, "-oNumberOfPasswordPrompts=1")
    for _ in range(3):
        client.answer(CODE, alice.wrong_code())
    assert DENIED in client.rest()
    assert 255 == client.exit_status()
    assert ["rejected"] * 3 == our_events(machine)


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


def test_key_or_password_lets_who_is_exempt_in_with_the_key_alone(
    machine: Machine, alice: Account
) -> None:
    machine.write("/etc/security/pam_totp.conf", "exempt_groups = sudo\n")
    set_up(machine, "key-or-password-and-code")
    client = machine.ssh("alice", "-i", machine.give_key("alice"))
    assert "welcome alice" == client.rest().strip()
    assert ["skipped"] == our_events(machine)


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
