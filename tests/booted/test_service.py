"""The service's life under systemd: started by a login, idle, stopped, restarted, upgraded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.booted.logins import (
    CODE,
    PAM_SERVICE,
    PASSWORD,
    SERVICE,
    SOCKET,
    SOCKET_PATH,
    events,
    events_of_the_service,
    is_active,
    journal,
    log_in,
    log_in_by_ssh,
    log_in_twice,
    main_pid,
    wait_until,
)
from tests.support.booted import SOURCE, Booted
from tests.support.machine import Account

pytestmark = pytest.mark.root

GERMAN = "Best\u00e4tigungscode: "
WORKER_OF_THE_SERVICE = "/usr/lib/pam_totp/pam_totp/service/server.py"


def test_after_a_boot_the_first_login_starts_the_service(machine: Booted, alice: Account) -> None:
    machine.reboot()
    assert "enabled" == machine.systemctl("is-enabled", SOCKET)
    assert "active" == is_active(machine, SOCKET)
    assert "inactive" == is_active(machine, SERVICE)
    assert "welcome alice" == log_in_by_ssh(machine, alice)
    assert "active" == is_active(machine, SERVICE)
    assert ["accepted"] == events_of_the_service(machine, alice)
    assert "" == machine.systemctl("--failed", "--quiet")


def test_later_logins_use_the_same_service(machine: Booted, users: Iterator[Account]) -> None:
    served = [next(users) for _ in range(3)]
    assert [True] * 3 == [log_in(machine, user) for user in served]
    assert [["accepted"]] * 3 == [events_of_the_service(machine, user) for user in served]
    starts = [line for line in journal(machine, f"--unit={SERVICE}") if "Started " in line]
    assert 1 == len(starts)


def test_events_are_in_the_journal_under_their_own_name(
    shared: Booted, users_of_shared: Iterator[Account]
) -> None:
    user = next(users_of_shared)
    assert not log_in(shared, user, typed=user.wrong_code())
    options = ("--identifier=pam_totp", "--facility=authpriv", "--priority=notice")
    assert ["rejected"] == events(shared, user, *options)


def test_folder_of_the_socket_is_for_root_to_write_and_the_socket_for_root_to_use(
    shared: Booted,
) -> None:
    shown = shared.run("stat", "--format=%U:%G %a %F", "/run/pam_totp", SOCKET_PATH).stdout
    assert ["root:root 755 directory", "root:root 600 socket"] == shown.splitlines()


def test_idle_service_goes_away_and_comes_back(machine: Booted, users: Iterator[Account]) -> None:
    machine.systemctl("stop", SERVICE)
    change = "s/^IDLE_SECONDS = 300.0/IDLE_SECONDS = 2.0/"
    machine.run("sed", "-i", change, WORKER_OF_THE_SERVICE)
    assert "IDLE_SECONDS = 2.0" in machine.read(WORKER_OF_THE_SERVICE)
    for user in (next(users), next(users)):
        assert log_in(machine, user)
        assert "active" == is_active(machine, SERVICE)
        assert ["accepted"] == events_of_the_service(machine, user)
        wait_until(lambda: is_active(machine, SERVICE) == "inactive")
        assert "success" == machine.systemctl("show", "--value", "--property=Result", SERVICE)
        assert "active" == is_active(machine, SOCKET)


def test_service_does_not_go_away_under_somebody_who_takes_long(
    machine: Booted, users: Iterator[Account]
) -> None:
    machine.systemctl("stop", SERVICE)
    change = "s/^IDLE_SECONDS = 300.0/IDLE_SECONDS = 1.0/"
    machine.run("sed", "-i", change, WORKER_OF_THE_SERVICE)
    user = next(users)
    waiting = machine.spawn("pamtester", PAM_SERVICE, user.name, "authenticate")
    waiting.expect_exact(CODE)
    machine.run("sleep", "4")
    assert "active" == is_active(machine, SERVICE)
    waiting.sendline(user.code())
    assert "successfully authenticated" in waiting.rest()


def test_the_service_speaks_by_the_locale_of_the_host_as_it_is_now(
    shared: Booted, users_of_shared: Iterator[Account]
) -> None:
    """In its sandbox, and without a restart; so does a worker for one login."""
    account = next(users_of_shared)
    shared.write("/etc/locale.conf", "LANG=de_DE.UTF-8\n")
    try:
        assert GERMAN == prompt_of(shared, account)
        shared.systemctl("stop", SOCKET, SERVICE)
        assert GERMAN == prompt_of(shared, account)
        shared.systemctl("start", SOCKET)
        assert GERMAN == prompt_of(shared, account)
        pid = main_pid(shared)
    finally:
        shared.run("rm", "/etc/locale.conf")
        shared.systemctl("start", SOCKET)
    assert (CODE, pid) == (prompt_of(shared, account), main_pid(shared))


def prompt_of(machine: Booted, account: Account) -> str:
    """Return the prompt for a code."""
    asked = machine.spawn("pamtester", PAM_SERVICE, account.name, "authenticate")
    found = asked.expect_exact([CODE, GERMAN])
    asked.sendline("")
    asked.rest()
    return (CODE, GERMAN)[found]


def test_stopped_service_leaves_logins_to_workers_of_their_own(
    shared: Booted, users_of_shared: Iterator[Account]
) -> None:
    alice = shared.add_user("alice")
    shared.systemctl("stop", SOCKET, SERVICE)
    assert 0 != shared.run("test", "-e", SOCKET_PATH, check=False).returncode
    user = next(users_of_shared)
    assert (True, False) == log_in_twice(shared, user)
    assert ["accepted", "replayed"] == events(shared, user)
    assert [] == events_of_the_service(shared, user)
    assert "welcome alice" == log_in_by_ssh(shared, alice)
    shared.systemctl("start", SOCKET)
    user = next(users_of_shared)
    assert log_in(shared, user)
    assert ["accepted"] == events_of_the_service(shared, user)


def test_service_stopped_alone_is_started_by_the_next_login(
    shared: Booted, users_of_shared: Iterator[Account]
) -> None:
    shared.systemctl("stop", SERVICE)
    assert "active" == is_active(shared, SOCKET)
    user = next(users_of_shared)
    assert log_in(shared, user)
    assert ["accepted"] == events_of_the_service(shared, user)


def test_socket_is_restarted_while_the_service_runs(
    shared: Booted, users_of_shared: Iterator[Account]
) -> None:
    """What the module's log lines advise."""
    assert log_in(shared, next(users_of_shared))
    shared.systemctl("restart", SOCKET)
    user = next(users_of_shared)
    assert log_in(shared, user)
    assert ["accepted"] == events_of_the_service(shared, user)


def test_restart_denies_who_waits_at_a_prompt_and_nobody_else(
    machine: Booted, alice: Account, users: Iterator[Account]
) -> None:
    waiting = machine.ssh(alice)
    waiting.answer(PASSWORD, alice.password)
    waiting.expect_exact(CODE)
    before = main_pid(machine)
    restart = machine.start("systemctl", "restart", SERVICE)
    wait_until(lambda: is_active(machine, SERVICE) == "deactivating")
    meanwhile = []
    for _ in range(6):  # more than the old one has threads that wait for a login
        user = next(users)
        client = machine.spawn("pamtester", PAM_SERVICE, user.name, "authenticate")
        meanwhile.append((user, client))
    assert 0 == restart.wait(60)
    assert before != main_pid(machine) != 0
    for user, client in meanwhile:
        client.answer(CODE, user.code())
        assert "successfully authenticated" in client.rest(), user.name
    waiting.sendline(alice.code())
    assert "welcome" not in waiting.rest()
    assert ["error"] == events(machine, alice)
    assert log_in(machine, next(users))


def test_who_answers_while_the_service_stops_is_let_in(machine: Booted, alice: Account) -> None:
    machine.systemctl("stop", SERVICE)
    longer = "s/^GRACE_SECONDS = 5.0/GRACE_SECONDS = 12.0/"  # the machine may have much to do
    loop = "/usr/lib/pam_totp/pam_totp/service/loop.py"
    machine.run("sed", "-i", longer, loop)
    assert "GRACE_SECONDS = 12.0" in machine.read(loop)
    waiting = machine.ssh(alice)
    waiting.answer(PASSWORD, alice.password)
    waiting.expect_exact(CODE)
    restart = machine.start("systemctl", "restart", SERVICE)
    wait_until(lambda: is_active(machine, SERVICE) == "deactivating")
    waiting.sendline(alice.code())
    assert "welcome alice" == waiting.rest().strip()
    assert 0 == restart.wait(60)


@pytest.mark.night
def test_upgrade_replaces_the_service_that_runs(machine: Booted, users: Iterator[Account]) -> None:
    assert log_in(machine, next(users))
    before = main_pid(machine)
    machine.run(f"{SOURCE}/install.sh", timeout=300)
    assert before != main_pid(machine) != 0
    user = next(users)
    assert log_in(machine, user)
    assert ["accepted"] == events_of_the_service(machine, user)


def test_uninstall_leaves_no_unit_behind(machine: Booted) -> None:
    machine.run("rm", "/etc/pam.d/sshd", f"/etc/pam.d/{PAM_SERVICE}")
    machine.run(f"{SOURCE}/install.sh", "--uninstall", "--purge")
    assert "" == machine.systemctl("list-unit-files", "--no-legend", "pam_totp*", check=False)
    assert "" == machine.systemctl("list-units", "--all", "--no-legend", "pam_totp*")
    assert 0 != machine.run("test", "-e", SOCKET_PATH, check=False).returncode
    assert [] == machine.run("find", "/etc/systemd", "-name", "pam_totp*").stdout.splitlines()
