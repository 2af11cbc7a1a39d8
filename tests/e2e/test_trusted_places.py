"""skip_from, with a real sshd that is reached from several addresses, and sudo."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.e2e.sources import HERE, LISTENING, by_ssh, last_event
from tests.support import enabling
from tests.support.enabling import CODE, totpctl
from tests.support.machine import SSH_PORT, Account, Machine

pytestmark = pytest.mark.root

CONFIG = "/etc/security/pam_totp.conf"
OFFICE, ELSEWHERE, OFFICE_V6 = "10.9.0.2", "192.0.2.7", "fd00::2"
RULES = "10.9.0.0/24, fd00::/64, tty"
ADDRESSES = (f"{HERE}/32", f"{OFFICE}/32", f"{ELSEWHERE}/32", "fd00::1/128", f"{OFFICE_V6}/128")
SSHD_PID = "/run/sshd.pid"
LISTEN = f"ListenAddress {HERE}\nListenAddress [fd00::1]\nPidFile {SSHD_PID}\n"


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    """sshd, sudo and login ask for a code; enrolled people in the office, or at a console, not."""
    with enabling.before_enable(prepared.files) as started:
        for address in ADDRESSES:
            flags = ("nodad",) if ":" in address else ()
            started.run("ip", "address", "add", address, "dev", "lo", *flags)
        started.write(LISTENING, LISTEN)  # enable has sshd read its settings again
        started.use_pam("login", enabling.PASSWORD_STEP)
        done = totpctl(started, "enable", "sshd", "sudo", "login", "--no-confirm", "--force")
        assert 0 == done.returncode, done.stderr
        started.log.wait_for(f"Server listening on {HERE} port {SSH_PORT}")
        started.write(CONFIG, f"skip_from = {RULES}\n")
        yield started


def skipped(rule: str) -> dict[str, str]:
    return {"event": "skipped", "reason": "trusted place", "rule": rule, "user": "alice"}


def test_from_the_office_the_password_or_the_key_is_enough_and_from_elsewhere_not(
    machine: Machine, alice: Account
) -> None:
    key = f"-i{machine.give_key('alice')}"
    for source, rule in ((OFFICE, "10.9.0.0/24"), (OFFICE_V6, "fd00::/64")):
        for way in ((), (key,)):
            assert by_ssh(machine, alice, source, *way)
            found = last_event(machine, "sshd")
            assert {**skipped(rule), "rhost": source}.items() <= found.items()
    for way in ((), (key,)):
        assert not by_ssh(machine, alice, ELSEWHERE, *way)
        assert not by_ssh(machine, alice, "127.0.0.1", *way, "-oHostName=127.0.0.1")
    assert by_ssh(machine, alice, ELSEWHERE, code=alice.code())
    assert not by_ssh(machine, alice._replace(password="wrong"), OFFICE)


def test_in_the_office_root_and_whoever_is_denied_elsewhere_are_still_asked(
    machine: Machine, alice: Account
) -> None:
    machine.add_user("bob", "password of bob")
    bob = alice._replace(name="bob", password="password of bob")
    assert not by_ssh(machine, bob, OFFICE)
    assert "not enrolled" == last_event(machine, "sshd")["reason"]
    machine.run("totpctl", "suspend", "alice")
    assert not by_ssh(machine, alice, OFFICE, code=alice.code())
    machine.run("totpctl", "resume", "alice")
    assert by_ssh(machine, alice, OFFICE)


def test_an_address_that_sshd_has_looked_up_is_no_address(machine: Machine, alice: Account) -> None:
    """Whoever answers for the name decides which addresses it has."""
    machine.write("/etc/hosts", f"{OFFICE} pc.office.example\n127.0.0.1 localhost\n")
    machine.write(LISTENING, f"{LISTEN}UseDNS yes\n")
    machine.run("sh", "-c", f"kill -HUP $(cat {SSHD_PID})")
    listening = f"Server listening on {HERE} port {SSH_PORT}"
    again = lambda: machine.log.text().count(listening) == 2  # noqa: E731
    enabling.wait_until(again, "sshd has its new settings")
    assert by_ssh(machine, alice, OFFICE, code=alice.code())
    found = last_event(machine, "sshd")
    assert ("accepted", "pc.office.example") == (found["event"], found["rhost"])


def test_sudo_asks_also_where_this_machine_is_named_like_an_address(
    machine: Machine, alice: Account
) -> None:
    machine.run("hostname", OFFICE)
    machine.write("/etc/hosts", f"{OFFICE} {OFFICE}\n127.0.0.1 localhost\n")
    sudoers = machine.read("/etc/sudoers") + "Defaults pam_rhost\n"
    machine.write("/etc/sudoers", sudoers, mode=0o440)
    terminal = machine.spawn("sudo", "-k", "id", user="alice")
    terminal.answer("password for alice: ", alice.password)
    terminal.answer(CODE, alice.code())
    assert "uid=0" in terminal.rest()
    found = last_event(machine, "sudo")
    assert ("accepted", OFFICE) == (found["event"], found["rhost"])


@pytest.mark.parametrize(
    ("service", "items", "expected"),
    [
        ("sshd", ("rhost=10.9.0.9",), "skipped"),
        ("sshd", ("rhost=::ffff:10.9.0.9",), "skipped"),
        ("sshd", ("rhost=10.9.1.9",), "aborted"),
        ("sshd", ("tty=tty1",), "aborted"),
        ("sudo", ("rhost=10.9.0.9", "tty=tty1"), "aborted"),
        ("login", ("tty=tty1",), "skipped"),
        ("login", ("tty=/dev/tty2",), "skipped"),
        ("login", ("tty=tty1", "rhost=10.9.0.9"), "aborted"),
        ("login", ("tty=pts/1",), "aborted"),
        ("login", ("tty=ttyS0",), "aborted"),
    ],
)
def test_what_an_application_says_counts_in_its_own_service_alone(
    machine: Machine, alice: Account, service: str, items: tuple[str, ...], expected: str
) -> None:
    given = [f"-I{item}" for item in items]
    typed = f"{alice.password}\n"
    done = machine.run(
        "pamtester", *given, service, "alice", "authenticate", typed=typed, check=False
    )
    assert (expected == "skipped") is (done.returncode == 0), done
    assert expected == last_event(machine, service)["event"]


def test_status_show_and_doctor_name_the_places(machine: Machine) -> None:
    assert f"not asked from {RULES} (skip_from)\n" in totpctl(machine, "status").stdout
    shown = json.loads(totpctl(machine, "status", "--json").stdout)
    assert RULES.split(", ") == shown["policy"]["skip_from"]
    words = f"alice is asked for a code, but not from {RULES}"
    assert words in totpctl(machine, "show", "alice").stdout
    findings = json.loads(totpctl(machine, "doctor", "--json").stdout)["findings"]
    found = {f["check"]: f for f in findings}
    assert ("note", f"skip_from = {RULES}") == (
        found["skip-from"]["level"],
        found["skip-from"]["problem"],
    )
    assert f"edit {CONFIG}: " in found["skip-from"]["fix"]
