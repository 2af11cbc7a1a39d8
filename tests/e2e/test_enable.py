"""totpctl enable, confirm and disable, as somebody sees them who then logs in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import CODE, DROP_IN, PASSWORD, RECORD, snapshot, totpctl
from tests.support.logs import fields
from tests.support.machine import Account, Machine

pytestmark = pytest.mark.root


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    with enabling.before_enable(prepared.files) as started:
        yield started


def sudo(machine: Machine, user: Account, code: str) -> str:
    terminal = machine.spawn("sudo", "-k", "id", "-un", user=user.name)
    terminal.expect("(?i)password.*: ")
    terminal.sendline(user.password)
    terminal.answer(CODE, code)
    return terminal.rest()


def our_events(machine: Machine) -> list[tuple[str, str]]:
    lines = [line for line in machine.log.lines() if "pam_totp(totpctl)" in line]
    return [(said["event"], said["service"]) for said in map(fields, lines) if "service" in said]


def test_enable_asks_for_a_code_confirm_keeps_it_and_disable_takes_it_out(
    machine: Machine, alice: Account
) -> None:
    before = snapshot(machine)
    assert "welcome alice" in enabling.ssh_with_password(machine, alice)
    done = totpctl(machine, "enable", "sshd", "sudo")
    assert (0, "") == (done.returncode, done.stdout)
    assert "sshd, sudo: asks for a code from now on" in done.stderr
    assert (
        "Log in from a second terminal NOW, with a new connection, then run: totpctl confirm"
        in done.stderr
    )
    assert "everything is undone in 10 min, at " in done.stderr
    assert "welcome alice" in enabling.ssh_with_code(machine, alice)
    assert "root" in sudo(machine, alice, alice.code(+1))
    assert 0 == totpctl(machine, "confirm").returncode
    enabling.wait_until(lambda: [] == enabling.watchers(machine), "nobody watches any more")
    assert [] == enabling.left_over(machine)
    assert 0 == totpctl(machine, "disable", "sshd", "sudo").returncode
    assert enabling.contents(before) == enabling.contents(snapshot(machine))
    assert "welcome alice" in enabling.ssh_with_password(machine, alice)
    expected = [
        (event, s) for event in ("enabled", "confirmed", "disabled") for s in enabling.SERVICES
    ]
    assert expected == our_events(machine)


def test_a_wrong_password_never_reaches_the_code(machine: Machine, alice: Account) -> None:
    totpctl(machine, "enable", "sshd")
    client = machine.ssh("alice", "-oNumberOfPasswordPrompts=1")
    client.answer(PASSWORD, "wrong")
    shown = client.rest()
    assert CODE not in shown
    assert "Permission denied" in shown


def test_with_keys_code_a_key_needs_the_code_and_no_password(
    machine: Machine, alice: Account
) -> None:
    key = machine.give_key("alice")
    done = totpctl(machine, "enable", "sshd")
    assert "sshd asks key logins for a code but no password" in done.stderr
    client = machine.ssh("alice", f"-i{key}")
    client.answer(CODE, alice.code())
    assert PASSWORD not in client.before
    assert "welcome alice" in client.rest()
    assert "welcome alice" in enabling.ssh_with_code(machine, alice, offset=+1)


def test_with_keys_password_and_code_all_three_are_needed(machine: Machine, alice: Account) -> None:
    key = machine.give_key("alice")
    assert 0 == totpctl(machine, "enable", "sshd", "--keys", "password+code").returncode
    assert "welcome alice" in enabling.ssh_with_code(machine, alice, f"-i{key}")
    without = machine.ssh("alice", "-oNumberOfPasswordPrompts=1").rest()
    assert "Permission denied (publickey)" in without


KEYS_ALONE = "/etc/ssh/sshd_config.d/50-keys-alone.conf"


def answers(machine: Machine, user: Account, *options: str, given: tuple[str, ...] = ()) -> str:
    """Log in, give each prompt the next answer, and return what was shown."""
    client = machine.ssh(user.name, *options, "-oNumberOfPasswordPrompts=1")
    for answer in given:
        client.expect("(?i)(password|code): ")
        client.sendline(answer)
    return client.rest()


def test_a_host_that_takes_no_password_from_the_network_goes_on_to_take_none(
    machine: Machine, alice: Account
) -> None:
    machine.write(KEYS_ALONE, "PasswordAuthentication no\n")
    machine.run("pkill", "-HUP", "-o", "-x", "sshd")
    key = machine.give_key("alice")
    enabling.wait_until(
        lambda: "(publickey)" in machine.ssh("alice").rest(), "sshd takes no password"
    )
    done = totpctl(machine, "enable", "sshd")
    assert "that stays so: --keys key+code; to let passwords and codes in as well" in done.stderr
    assert "sshd requires a key, and then asks for a code; it takes no password" in done.stderr
    assert "AuthenticationMethods publickey,keyboard-interactive:pam\n" in machine.read(DROP_IN)
    client = machine.ssh("alice", f"-i{key}")
    client.answer(CODE, alice.code())
    assert PASSWORD not in client.before
    assert "welcome alice" in client.rest()
    denied = "Permission denied (publickey)"
    for options in (
        ("-oPreferredAuthentications=keyboard-interactive",),
        ("-oPreferredAuthentications=password",),
        (
            f"-i{key}",
            "-oPreferredAuthentications=keyboard-interactive,publickey",
            "-oBatchMode=yes",
        ),
        (f"-i{key}", "-oPreferredAuthentications=keyboard-interactive"),
        (f"-i{key}", "-oPreferredAuthentications=password,keyboard-interactive"),
    ):
        shown = answers(machine, alice, *options)
        assert denied in shown or f"{denied[:-10]}keyboard-interactive)" in shown, options
    assert 0 == totpctl(machine, "confirm").returncode
    found = json.loads(totpctl(machine, "status", "--json").stdout)["services"]
    assert [("on", "key+code", None)] == [
        (s["state"], s["keys"], s["trouble"]) for s in found if s["service"] == "sshd"
    ]
    assert "nothing to change" in totpctl(machine, "enable", "sshd").stderr
    done = totpctl(machine, "enable", "sshd", "--keys", "code", "--dry-run")
    assert "sshd lets nobody in without a key now; it will, by password and code" in done.stderr
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert "welcome alice" in machine.ssh("alice", f"-i{key}", "-oBatchMode=yes").rest()
    assert "(publickey)" in machine.ssh("alice").rest()


def test_a_host_that_takes_no_keys_goes_on_to_take_none(machine: Machine, alice: Account) -> None:
    machine.write(KEYS_ALONE, "PubkeyAuthentication no\n")
    key = machine.give_key("alice")
    done = totpctl(machine, "enable", "sshd")
    assert "sshd lets nobody in by a key, and that stays so: --keys none" in done.stderr
    assert "welcome alice" in enabling.ssh_with_code(machine, alice, f"-i{key}")
    shown = answers(machine, alice, f"-i{key}", "-oPreferredAuthentications=publickey")
    assert "Permission denied" in shown


def test_with_keys_skip_a_key_needs_no_code_and_enable_says_so(
    machine: Machine, alice: Account
) -> None:
    key = machine.give_key("alice")
    done = totpctl(machine, "enable", "sshd", "--keys", "skip")
    assert "key logins are NOT two-factor" in done.stderr
    again = totpctl(machine, "enable", "sshd")
    assert "nothing to change" in again.stderr
    assert "key logins are NOT two-factor" in again.stderr
    assert "welcome alice" in machine.ssh("alice", f"-i{key}").rest()
    assert "welcome alice" in enabling.ssh_with_code(machine, alice)


def test_other_keys_take_the_place_of_the_first(machine: Machine, alice: Account) -> None:
    before = snapshot(machine)
    assert 0 == totpctl(machine, "enable", "sshd", "--no-confirm").returncode
    confirmed = snapshot(machine)
    assert 0 == totpctl(machine, "enable", "sshd", "--keys", "skip").returncode
    assert "AuthenticationMethods publickey keyboard-interactive" in machine.read(DROP_IN)
    assert 0 == totpctl(machine, "revert").returncode
    assert confirmed == snapshot(machine)
    assert 0 == totpctl(machine, "enable", "sshd", "--keys", "skip").returncode
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert enabling.contents(before) == enabling.contents(snapshot(machine))


def test_enable_without_keys_keeps_the_mode_also_where_an_update_took_the_lines_out(
    machine: Machine,
) -> None:
    before = machine.read("/etc/pam.d/sshd")
    machine.give_key("alice")
    options = ("--keys", "password+code", "--no-confirm")
    assert 0 == totpctl(machine, "enable", "sshd", *options).returncode
    strict = snapshot(machine)
    assert "nothing to change" in totpctl(machine, "enable", "sshd").stderr
    assert strict == snapshot(machine)
    machine.write("/etc/pam.d/sshd", before)
    machine.run("rm", DROP_IN)
    assert 0 == totpctl(machine, "enable", "sshd", "--no-confirm").returncode
    assert enabling.contents(strict) == enabling.contents(snapshot(machine))


def test_a_second_enable_changes_nothing_and_says_how_much_time_is_left(machine: Machine) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", "sudo").returncode
    once = snapshot(machine)
    again = totpctl(machine, "enable", "sudo", "sshd")
    assert 0 == again.returncode
    assert "already on, nothing to change" in again.stderr
    assert "then run: totpctl confirm" in again.stderr
    assert re.search(r"undone in (9|10) min, at ", again.stderr)
    assert once == snapshot(machine)
    totpctl(machine, "confirm", "--yes")
    confirmed = snapshot(machine)
    again = totpctl(machine, "enable", "sudo", "sshd")
    assert (0, "sudo, sshd: already on, nothing to change\n") == (again.returncode, again.stderr)
    assert confirmed == snapshot(machine)


def test_what_was_on_before_has_no_part_in_a_trial(machine: Machine) -> None:
    totpctl(machine, "enable", "sshd", "--keys", "skip", "--no-confirm")
    on_before = machine.read("/etc/pam.d/sshd")
    done = totpctl(machine, "enable", "sshd", "sudo")
    assert done.stderr.startswith("sudo: asks for a code from now on\n")
    assert ["sudo"] == json.loads(machine.read(RECORD))["services"]
    assert "sudo: everything is as it was" in totpctl(machine, "revert").stderr
    assert on_before == machine.read("/etc/pam.d/sshd")
    assert [("enabled", "sudo"), ("reverted", "sudo")] == our_events(machine)[-2:]


def test_enable_of_what_is_on_says_what_else_is_in_force(machine: Machine) -> None:
    totpctl(machine, "enable", "sshd", "--no-confirm")
    machine.write("/etc/ssh/sshd_config.d/00-earlier.conf", "PasswordAuthentication yes\n")
    done = totpctl(machine, "enable", "sshd")
    assert 1 == done.returncode
    assert "sshd: already on, nothing to change" in done.stderr
    assert "00-earlier.conf:1: PasswordAuthentication yes is in force, not no" in done.stderr
    assert "hint: fix it there, then run this again" in done.stderr


def test_enable_of_what_is_on_has_sshd_go_by_its_files_again(
    machine: Machine, alice: Account
) -> None:
    key = machine.give_key("alice")
    totpctl(machine, "enable", "sshd", "--no-confirm")
    machine.write("/etc/ssh/sshd_config.d/00-earlier.conf", "AuthenticationMethods any\n")
    machine.run("pkill", "-HUP", "-o", "-x", "sshd")
    enabling.wait_until(
        lambda: "welcome alice" in machine.ssh("alice", f"-i{key}", "-oBatchMode=yes").rest(),
        "the key alone is enough",
    )
    machine.run("rm", "/etc/ssh/sshd_config.d/00-earlier.conf")
    assert 0 == totpctl(machine, "enable", "sshd").returncode
    client = machine.ssh("alice", f"-i{key}")
    client.answer(CODE, alice.code())
    assert "welcome alice" in client.rest()


def test_no_confirm_leaves_nothing_waiting(machine: Machine, alice: Account) -> None:
    done = totpctl(machine, "enable", "sudo", "--no-confirm")
    assert (0, "sudo: asks for a code from now on\n") == (done.returncode, done.stderr)
    assert [] == enabling.left_over(machine)
    assert "root" in sudo(machine, alice, alice.code())


def test_a_dry_run_prints_what_would_change_and_changes_nothing(machine: Machine) -> None:
    before = snapshot(machine)
    done = totpctl(machine, "enable", "sshd", "sudo", "--dry-run")
    assert 0 == done.returncode
    assert before == snapshot(machine)
    machine.write("/tmp/diff", done.stdout)
    machine.run("patch", "-p0", "-d/", "-i/tmp/diff")
    patched = snapshot(machine)
    machine.run("patch", "-p0", "-R", "-d/", "-i/tmp/diff")
    machine.run("mkdir", "-p", "/etc/ssh/sshd_config.d")  # empty, patch has removed it
    assert 0 == totpctl(machine, "enable", "sshd", "sudo", "--no-confirm").returncode
    texts = [line for line in enabling.contents(snapshot(machine)) if len(line) == 2]
    assert texts
    assert texts == [line for line in enabling.contents(patched) if len(line) == 2]


def test_sudo_i_goes_with_sudo_where_it_has_lines_of_its_own(
    machine: Machine, alice: Account
) -> None:
    machine.run("cp", "/etc/pam.d/sudo", "/etc/pam.d/sudo-i")
    done = totpctl(machine, "enable", "sudo", "--no-confirm")
    assert "sudo, sudo-i: asks for a code" in done.stderr
    assert "pam_totp.so" in machine.read("/etc/pam.d/sudo-i")
    terminal = machine.spawn("sudo", "-k", "-i", "id", "-un", user="alice")
    terminal.expect("(?i)password.*: ")
    terminal.sendline(alice.password)
    terminal.answer(CODE, alice.code())
    assert "root" in terminal.rest()


def test_disable_keeps_what_was_edited_since(machine: Machine) -> None:
    totpctl(machine, "enable", "sshd", "sudo", "--no-confirm")
    edit = "sed -i '1i # a first line' {0}; echo '# a last line' >> {0}"
    for path in ("/etc/pam.d/sudo", DROP_IN):
        machine.run("sh", "-c", edit.format(path))
    assert 0 == totpctl(machine, "disable", "sudo", "sshd").returncode
    sudo_file = machine.read("/etc/pam.d/sudo")
    assert sudo_file.startswith("# a first line\n" + enabling.PASSWORD_STEP)
    assert sudo_file.endswith("# a last line\n")
    assert "# a first line\n# a last line\n" == machine.read(DROP_IN)
    again = totpctl(machine, "disable", "sudo", "sshd")
    assert (0, "sudo is off\nsshd is off\n") == (again.returncode, again.stderr)


def test_disable_says_what_asks_all_the_same(machine: Machine) -> None:
    by_hand = enabling.PASSWORD_STEP + "auth required pam_totp.so\n"
    machine.write("/etc/pam.d/sudo", by_hand)
    done = totpctl(machine, "disable", "sshd", "sudo")
    assert 1 == done.returncode
    assert "sshd is off\n" in done.stderr
    assert "sudo is off" not in done.stderr
    assert "sudo still asks for a code: /etc/pam.d/sudo:2 (required pam_totp.so)" in done.stderr
    assert by_hand == machine.read("/etc/pam.d/sudo")


def test_disable_of_one_service_leaves_the_other_waiting(machine: Machine) -> None:
    before = snapshot(machine)
    totpctl(machine, "enable", "sshd", "sudo")
    assert 0 == totpctl(machine, "disable", "sudo").returncode
    assert enabling.PASSWORD_STEP in machine.read("/etc/pam.d/sudo")
    assert "pam_totp.so" in machine.read("/etc/pam.d/sshd")
    assert "already on" in totpctl(machine, "enable", "sshd").stderr
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert before == snapshot(machine)
    assert 1 == totpctl(machine, "confirm", "--yes").returncode


def test_confirm_asks_where_nobody_has_used_a_code_since(machine: Machine, alice: Account) -> None:
    totpctl(machine, "enable", "sudo")
    refused = totpctl(machine, "confirm")
    assert 1 == refused.returncode
    assert "nobody has logged in with a code since " in refused.stderr
    assert "hint: confirm it in advance with --yes" in refused.stderr
    terminal = machine.spawn("totpctl", "confirm")
    terminal.answer("Keep the change anyway? [y/N]: ", "n")
    assert "nothing was changed" in terminal.rest()
    assert 1 == terminal.exit_status()
    terminal = machine.spawn("totpctl", "confirm")
    terminal.answer("Keep the change anyway? [y/N]: ", "y")
    assert "confirmed: sudo will keep asking for a code" in terminal.rest()
    assert 0 == terminal.exit_status()
    nothing = totpctl(machine, "confirm", "--yes")
    assert 1 == nothing.returncode
    assert "nothing is waiting to be confirmed" in nothing.stderr
