"""A service that dies, hangs or does not start: who logs in still gets in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.booted.logins import (
    CODE,
    PASSWORD,
    SERVICE,
    SOCKET,
    SOCKET_PATH,
    break_start,
    drop_in,
    events,
    events_of_the_service,
    events_of_workers,
    is_active,
    journal,
    log_in,
    log_in_by_ssh,
    log_in_twice,
    main_pid,
    wait_until,
)
from tests.support.booted import Booted
from tests.support.machine import Account

pytestmark = pytest.mark.root

FAILS = "/usr/bin/false"
HANGS = "/usr/bin/sleep infinity"
IS_NOT_THERE = "/usr/lib/pam_totp/no-such-worker"


def fix_start(machine: Booted) -> None:
    """What an administrator does."""
    machine.run("rm", "-r", f"/etc/systemd/system/{SERVICE}.d")
    machine.systemctl("daemon-reload")
    machine.systemctl("reset-failed")
    machine.systemctl("restart", SOCKET)


def test_killed_service_is_there_again(machine: Booted, users: Iterator[Account]) -> None:
    assert log_in(machine, next(users))
    before = main_pid(machine)
    machine.run("kill", "-KILL", before)
    at_once, later = next(users), next(users)
    assert log_in(machine, at_once)  # by the next one, or by a worker of its own
    wait_until(lambda: main_pid(machine) not in (0, before))
    assert log_in(machine, later)
    assert ["accepted"] == events_of_the_service(machine, later)


def test_login_at_its_prompt_is_denied_when_the_service_is_killed(
    machine: Booted, alice: Account
) -> None:
    waiting = machine.ssh(alice)
    waiting.answer(PASSWORD, alice.password)
    waiting.expect_exact(CODE)
    machine.run("kill", "-KILL", main_pid(machine))
    waiting.sendline(alice.code())
    assert "welcome" not in waiting.rest()
    assert ["error"] == events(machine, alice)
    assert "welcome alice" == log_in_by_ssh(machine, alice)


@pytest.mark.parametrize("command", [FAILS, IS_NOT_THERE, HANGS])
def test_service_that_cannot_start_costs_nobody_a_login(
    machine: Booted, users: Iterator[Account], command: str
) -> None:
    break_start(machine, command)
    first, second = next(users), next(users)
    assert log_in(machine, first)
    wait_until(lambda: is_active(machine, SOCKET) == "failed")
    assert 0 != machine.run("test", "-e", SOCKET_PATH, check=False).returncode
    assert (True, False) == log_in_twice(machine, second)
    assert ["error", "accepted"] == events(machine, first)
    assert ["accepted", "replayed"] == events(machine, second)
    fix_start(machine)
    third = next(users)
    assert log_in(machine, third)
    assert ["accepted"] == events_of_the_service(machine, third)


def test_restarting_the_socket_is_all_that_a_mended_service_needs(
    machine: Booted, users: Iterator[Account]
) -> None:
    drop_in(machine, SERVICE, "[Unit]\nStartLimitIntervalSec=4\n", name="hurry")
    break_start(machine, FAILS)
    assert log_in(machine, next(users))
    wait_until(lambda: is_active(machine, SOCKET) == "failed")
    machine.run("rm", f"/etc/systemd/system/{SERVICE}.d/broken.conf")
    machine.systemctl("daemon-reload")
    machine.run("sleep", "5")
    machine.systemctl("restart", SOCKET)
    user = next(users)
    assert log_in(machine, user)
    assert ["accepted"] == events_of_the_service(machine, user)


@pytest.mark.parametrize("base", ["bookworm"], indirect=True)
def test_service_that_is_restarted_too_often_comes_back_by_itself(
    machine: Booted, users: Iterator[Account]
) -> None:
    for _ in range(6):
        machine.systemctl("restart", SERVICE, check=False)
    assert "failed" == is_active(machine, SOCKET)
    meanwhile, later = next(users), next(users)
    assert log_in(machine, meanwhile)
    assert ["accepted"] == events_of_workers(machine, meanwhile)
    wait_until(lambda: is_active(machine, SOCKET) == "active")
    assert log_in(machine, later)
    assert ["accepted"] == events_of_the_service(machine, later)
    assert "" == machine.systemctl("--failed", "--quiet")


@pytest.mark.parametrize("base", ["trixie"], indirect=True)
def test_service_that_could_not_start_for_a_while_comes_back_by_itself(
    machine: Booted, users: Iterator[Account]
) -> None:
    """As in an upgrade of the whole machine, while Python is replaced."""
    break_start(machine, FAILS)
    assert log_in(machine, next(users))
    wait_until(lambda: is_active(machine, SOCKET) == "failed")
    machine.run("rm", f"/etc/systemd/system/{SERVICE}.d/broken.conf")
    machine.systemctl("daemon-reload")
    wait_until(lambda: is_active(machine, SOCKET) == "active")
    user = next(users)
    assert log_in(machine, user)
    assert ["accepted"] == events_of_the_service(machine, user)


def test_service_that_hangs_is_replaced_while_the_next_login_waits(
    machine: Booted, alice: Account, users: Iterator[Account]
) -> None:
    waiting = machine.ssh(alice)
    waiting.answer(PASSWORD, alice.password)
    waiting.expect_exact(CODE)
    before = main_pid(machine)
    machine.run("kill", "-STOP", before)
    waiting.sendline(alice.code())
    user = next(users)
    assert log_in(machine, user)
    assert "welcome" not in waiting.rest()
    assert ["error"] == events(machine, alice)
    assert main_pid(machine) not in (0, before)
    assert "welcome alice" == log_in_by_ssh(machine, alice)


def test_store_that_cannot_be_reached_is_said_by_the_service(
    machine: Booted, users: Iterator[Account]
) -> None:
    user = next(users)
    machine.run("mv", "/var/lib/pam_totp/store.db", "/var/lib/pam_totp/elsewhere")
    assert not log_in(machine, user)
    machine.run("mv", "/var/lib/pam_totp/elsewhere", "/var/lib/pam_totp/store.db")
    assert log_in(machine, user)
    assert ["error", "accepted"] == events_of_the_service(machine, user)


def test_sshd_tells_its_password_method_from_a_person_who_typed_the_password_twice(
    machine: Booted, alice: Account
) -> None:
    """By what it answers to a message, in both releases of OpenSSH."""
    by_person = machine.ssh(alice)
    by_person.answer(PASSWORD, alice.password)
    by_person.answer(CODE, alice.password)
    by_person.answer(CODE, alice.code())
    assert "welcome alice" in by_person.rest()
    settings = "PasswordAuthentication yes\nAuthenticationMethods any\n"
    machine.write("/etc/ssh/sshd_config.d/00-test.conf", settings)
    machine.systemctl("restart", "ssh.service")
    only = ("-oPreferredAuthentications=password", "-oNumberOfPasswordPrompts=1")
    by_sshd = machine.ssh(alice, *only)
    by_sshd.answer("password: ", alice.password)
    assert "welcome" not in by_sshd.rest()
    assert ["malformed", "accepted", "malformed"] == events(machine, alice)
    advice = ["sshd_config" in line for line in journal(machine) if "event=malformed" in line]
    assert [False, True] == advice
