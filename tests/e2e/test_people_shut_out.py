"""Who would be shut out of a real machine: its accounts, groups, sudoers and sshd_config."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from admin_cli.host import sshd
from tests.e2e.conftest import Prepared
from tests.support.machine import Machine

pytestmark = pytest.mark.root

DROP_IN = "/etc/ssh/sshd_config.d/50-mine.conf"
PEOPLE = ("root", "alice", "bob", "carol", "dora", "eve")
_PROGRAM = """
import json, sys
from admin_cli.access import shut_out
from admin_cli.session import Session
from pam_totp.system.config import DEFAULT_PATH
service, keys, ours = json.loads(sys.argv[1])
notes = []
machine = shut_out.look(Session(DEFAULT_PATH), notes)
verdict = shut_out.shut_out(service, keys, machine)
people = sorted(person.name for person in verdict.people if person.name in ours)
denied = {person.name: person.denied for person in verdict.denied if person.name in ours}
left = sorted(name for name in verdict.administrators_left if name in ours)
print(json.dumps([people, denied, left, notes + [*verdict.notes]]))
"""


class Found(NamedTuple):
    people: list[str]
    denied: dict[str, str]
    left: list[str]
    notes: list[str]


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    """alice, enrolled, in the group sudo, with a password; root, whose password is locked."""
    with Machine(installed=True) as started:
        started.unpack(prepared.files)
        started.run("sh", "-c", "rm -rf /etc/ssh/sshd_config.d/* /root/.ssh; ssh-keygen -A")
        started.run("install", "-d", "/run/sshd")
        started.write("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n")
        started.run("usermod", "--password", "*", "root")
        yield started


def look(machine: Machine, service: str, keys: str | None = None) -> Found:
    """Ask shut_out.py; whoever else has an account on this machine is left out."""
    return Found(*machine.ask(_PROGRAM, json.dumps([service, keys, PEOPLE])))


def not_enrolled(name: str) -> str:
    return f"is not enrolled (totpctl enroll {name})"


def key_of(machine: Machine) -> str:
    return machine.read("/etc/ssh/ssh_host_ed25519_key.pub")  # a key is a key


def test_enrolled_administrator_is_left_and_system_accounts_are_nobody(machine: Machine) -> None:
    assert Found(["alice"], {}, ["alice"], []) == look(machine, "sshd", "code")
    assert Found(["alice"], {}, ["alice"], []) == look(machine, "sudo")
    assert Found(["alice"], {}, ["alice"], []) == look(machine, "login")


def test_people_who_are_not_enrolled_are_named(machine: Machine) -> None:
    machine.add_user("bob", "x", "--groups", "sudo")
    machine.add_user("carol", "x")
    machine.add_user("dora", "x")
    machine.run("usermod", "--shell", "/usr/sbin/nologin", "dora")
    denied = {name: not_enrolled(name) for name in ("bob", "carol")}
    by_ssh = look(machine, "sshd", "code")
    assert (["alice", "bob", "carol"], denied, ["alice"]) == by_ssh[:3]
    assert (["alice", "bob"], {"bob": denied["bob"]}, ["alice"]) == look(machine, "sudo")[:3]


def test_nobody_is_left_where_no_administrator_is_enrolled(machine: Machine) -> None:
    machine.add_user("bob", "x", "--groups", "sudo")
    machine.run("totpctl", "remove", "alice", "--yes")
    for service, keys in (("sshd", "code"), ("sshd", "password+code"), ("sudo", None)):
        assert [] == look(machine, service, keys).left


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("suspend alice", "is suspended (totpctl resume alice)"),
        ("remove alice --yes", "is not enrolled (totpctl enroll alice)"),
    ],
)
def test_enrolled_person_who_is_denied_now_is_named(
    machine: Machine, command: str, reason: str
) -> None:
    machine.run("totpctl", *command.split())
    found = look(machine, "sshd", "code")
    assert ({"alice": reason}, []) == (found.denied, found.left)


def test_rules_for_groups_and_exemptions_count(machine: Machine) -> None:
    machine.add_user("bob", "x", "--groups", "sudo")
    machine.run("totpctl", "exempt", "bob")
    assert {} == look(machine, "sudo").denied
    machine.run("totpctl", "exempt", "--remove", "bob")
    machine.run("totpctl", "exempt", "--group", "sudo")
    assert {} == look(machine, "sudo").denied
    machine.run("totpctl", "require", "--group", "sudo")
    assert {"bob": not_enrolled("bob")} == look(machine, "sudo").denied
    assert {} == look(machine, "sshd", "code").denied, "behind the password, bob can enrol"


def test_unenrolled_people_can_enrol_by_ssh_with_a_password_and_never_by_sudo(
    machine: Machine,
) -> None:
    machine.write("/etc/security/pam_totp.conf", "unenrolled = enroll\n")
    machine.add_user("bob", "x", "--groups", "sudo")
    machine.add_user("carol", "x", "--groups", "sudo")
    machine.give_key("carol")
    machine.run("usermod", "--lock", "carol")
    found = look(machine, "sshd", "code")
    assert ({"carol": not_enrolled("carol")}, []) == (found.denied, found.notes)
    assert {"bob": not_enrolled("bob")} == look(machine, "sudo").denied


def test_people_with_key_and_password_are_told_which_of_them_lets_them_enrol(
    machine: Machine,
) -> None:
    machine.write("/etc/security/pam_totp.conf", "unenrolled = enroll\n")
    machine.add_user("bob", "x")
    for name in ("alice", "bob"):
        machine.give_key(name)
    found = look(machine, "sshd", "code")
    assert {} == found.denied
    assert [
        "users cannot enroll in a key login, but they can in a password login "
        "(ssh -o PubkeyAuthentication=no): bob"
    ] == found.notes
    assert [] == look(machine, "sshd", "password+code").notes


def test_account_of_a_directory_counts_though_it_has_no_line_in_shadow(machine: Machine) -> None:
    machine.add_user("bob", "x", "--groups", "sudo")
    machine.run("sed", "-i", "/^bob:/d", "/etc/shadow")
    assert {"bob": not_enrolled("bob")} == look(machine, "sshd", "code").denied


def test_locked_and_expired_accounts_get_in_by_no_way_anyhow(machine: Machine) -> None:
    machine.add_user("bob", "x", "--groups", "sudo")
    machine.add_user("carol", "x", "--groups", "sudo")
    machine.run("usermod", "--lock", "bob")
    machine.run("usermod", "--expiredate", "1", "carol")
    assert ["alice"] == look(machine, "sshd", "code").people
    assert ["alice"] == look(machine, "sudo").people


def test_administrator_with_a_key_alone_needs_a_password_for_both(machine: Machine) -> None:
    machine.give_key("alice")
    assert ["alice"] == look(machine, "sshd", "password+code").left
    machine.run("usermod", "--lock", "alice")
    found = look(machine, "sshd", "code")
    assert ({}, []) == (found.denied, found.left), "she gets in, and sudo asks for a password"
    machine.write("/etc/sudoers.d/alice", "alice ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)
    machine.run("sh", "-c", "echo '@includedir /etc/sudoers.d' >> /etc/sudoers")
    assert ["alice"] == look(machine, "sshd", "code").left
    found = look(machine, "sshd", "password+code")
    assert ({"alice": "has no password (passwd alice)"}, []) == (found.denied, found.left)


@pytest.mark.parametrize(
    ("permit", "keys", "left"),
    [
        ("prohibit-password", "code", []),
        ("prohibit-password", "password+code", []),
        ("prohibit-password", "skip", ["root"]),
        ("yes", "code", ["root"]),
        ("yes", "password+code", []),
        ("forced-commands-only", "skip", []),
        ("no", "skip", []),
    ],
)
def test_root_alone_gets_in_only_where_sshd_takes_answers_of_root(
    machine: Machine, permit: str, keys: str, left: list[str]
) -> None:
    machine.run("userdel", "alice")
    machine.run("totpctl", "enroll", "root", "--json", "--no-confirm")
    machine.write("/root/.ssh/authorized_keys", key_of(machine), mode=0o600)
    machine.write(DROP_IN, f"PermitRootLogin {permit}\n")
    assert left == look(machine, "sshd", keys).left


def test_key_that_tells_to_log_in_as_somebody_else_is_no_way_in(machine: Machine) -> None:
    machine.run("userdel", "alice")
    key = f'no-pty,command="echo Please log in as debian" {key_of(machine)}'
    machine.write("/root/.ssh/authorized_keys", key, mode=0o600)
    assert [] == look(machine, "sshd", "skip").left
    assert [] == look(machine, "sudo").left


def test_root_with_another_way_in_is_left_when_sudo_asks(machine: Machine) -> None:
    machine.run("totpctl", "remove", "alice", "--yes")
    assert [] == look(machine, "sudo").left
    machine.write("/root/.ssh/authorized_keys", key_of(machine), mode=0o600)
    assert ["root"] == look(machine, "sudo").left
    assert [] == look(machine, "sudo", "code").left, "sshd will ask root for a code, too"
    machine.write(sshd.DROP_IN, sshd.drop_in("code"))
    assert [] == look(machine, "sudo").left
    machine.write(sshd.DROP_IN, sshd.drop_in("skip"))
    assert ["root"] == look(machine, "sudo").left
    machine.run("rm", "/root/.ssh/authorized_keys")
    assert [] == look(machine, "sudo").left
    machine.run("usermod", "--password", "$6$x", "root")
    assert ["root"] == look(machine, "sudo").left


def test_root_whom_sshd_does_not_let_in_now_is_not_left_when_sudo_asks(machine: Machine) -> None:
    machine.run("totpctl", "remove", "alice", "--yes")
    machine.run("totpctl", "enroll", "root", "--json", "--no-confirm")
    machine.write("/root/.ssh/authorized_keys", key_of(machine), mode=0o600)
    methods = "PermitRootLogin yes\nKbdInteractiveAuthentication yes\nAuthenticationMethods "
    machine.write(DROP_IN, f"{methods}publickey,keyboard-interactive\n")
    assert ["root"] == look(machine, "sudo").left
    machine.write(DROP_IN, f"{methods}keyboard-interactive\n")
    assert [] == look(machine, "sudo").left


def test_people_whom_sudoers_names_count_as_administrators(machine: Machine) -> None:
    for name in ("bob", "carol", "dora", "eve"):
        machine.add_user(name, "x")
    machine.run("groupadd", "operators")
    machine.run("usermod", "--append", "--groups", "operators", "dora")
    rules = (
        "User_Alias CHIEFS = bob\n"
        "CHIEFS ALL=(ALL) ALL\n"
        "carol ALL=(ALL) NOPASSWD: ALL\n"
        "%operators ALL=(ALL) ALL\n"
        "eve ALL=(ALL) /bin/ls\n"
        "ALL ALL=(ALL) /bin/true\n"
    )
    machine.write("/etc/sudoers.d/mine", rules, mode=0o440)
    machine.run("sh", "-c", "echo '@includedir /etc/sudoers.d' >> /etc/sudoers")
    found = look(machine, "sudo")
    assert ["alice", "bob", "carol", "dora", "eve"] == found.people
    assert ["bob", "dora", "eve"] == sorted(found.denied), "sudo asks carol for nothing"
    assert ["alice", "carol"] == found.left
    assert ["alice"] == look(machine, "sshd", "code").left


def test_sudoers_that_cannot_be_read_is_told_and_groups_count(machine: Machine) -> None:
    machine.write("/etc/sudoers", "nonsense\n", mode=0o440)
    found = look(machine, "sudo")
    (note,) = found.notes
    assert note.startswith("/etc/sudoers: cvtsudoers cannot read it: ")
    assert note.endswith("root and the members of sudo, wheel, admin are taken as administrators")
    assert (["alice"], ["alice"]) == (found.people, found.left)


def test_lists_and_match_blocks_of_sshd_count(machine: Machine) -> None:
    machine.add_user("bob", "x")
    machine.write(DROP_IN, "AllowGroups sudo\n")
    assert ["alice"] == look(machine, "sshd", "code").people
    machine.write(DROP_IN, "Match Group sudo\nDenyUsers alice\n")
    found = look(machine, "sshd", "code")
    assert (["bob"], []) == (found.people, found.left)


def test_server_that_takes_keys_alone_is_told_that_it_will_take_passwords(
    machine: Machine,
) -> None:
    machine.add_user("bob", "x")
    machine.write(DROP_IN, "PasswordAuthentication no\nKbdInteractiveAuthentication no\n")
    machine.give_key("alice")
    found = look(machine, "sshd", "code")
    assert (["alice"], {}) == (found.people, found.denied)
    assert [
        "sshd lets nobody in without a key now; it will, by password and code; "
        "to require a key: --keys key+code"
    ] == found.notes
    for keys in ("key+code", "password+code"):
        assert [] == look(machine, "sshd", keys).notes


def test_server_that_takes_passwords_alone_is_told_that_it_will_take_keys(
    machine: Machine,
) -> None:
    machine.write(DROP_IN, "PubkeyAuthentication no\n")
    assert ["sshd lets nobody in by a key now; it will; to let no key in: --keys none"] == look(
        machine, "sshd", "code"
    ).notes
    assert [] == look(machine, "sshd", "none").notes


def test_keys_that_a_program_knows_let_nobody_be_left(machine: Machine) -> None:
    machine.run("usermod", "--lock", "alice")
    machine.write(DROP_IN, "AuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser nobody\n")
    found = look(machine, "sshd", "code")
    assert (["alice", "root"], []) == (found.people, found.left)
    assert ["root"] == list(found.denied), "who takes no answer of root's, whatever the key"
    assert ["AuthorizedKeysCommand is set, so it is unknown which users have a key"] == found.notes
