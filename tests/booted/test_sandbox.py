"""What the units forbid is nothing that a login needs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.booted.logins import (
    CODE,
    PAM_SERVICE,
    SERVICE,
    SOCKET,
    drop_in,
    events,
    events_of_the_service,
    journal,
    log_in,
    main_pid,
)
from tests.support.booted import Booted
from tests.support.machine import Account

pytestmark = pytest.mark.root

UNITS = "/usr/lib/systemd/system"
CONFIG = "/etc/security/pam_totp.conf"
MOST_EXPOSURE = 2.0  # of 10, in the words of systemd-analyze security

# Many logins at once; prints how many got in. Arguments: pairs of user and code.
_AT_ONCE = """
while [ $# -gt 0 ]; do
    { echo "$2" | pamtester %s "$1" authenticate >/dev/null 2>&1 && echo in; } &
    shift 2
done
wait
"""


def log_in_at_once(machine: Booted, pairs: list[tuple[str, str]]) -> int:
    words = [word for pair in pairs for word in pair]
    shown = machine.run("sh", "-c", _AT_ONCE % PAM_SERVICE, "sh", *words).stdout
    return shown.count("in")


def test_systemd_finds_nothing_wrong_with_the_units(machine: Booted) -> None:
    paths = [f"{UNITS}/{unit}" for unit in (SERVICE, SOCKET)]
    done = machine.run("systemd-analyze", "--man=no", "verify", *paths)
    assert ("", "") == (done.stdout, done.stderr)


def test_little_is_exposed(machine: Booted) -> None:
    shown = machine.run("systemd-analyze", "security", "--no-pager", SERVICE).stdout
    score = re.search(r"Overall exposure level for pam_totp.service: ([0-9.]+)", shown)
    assert score, shown
    assert float(score[1]) <= MOST_EXPOSURE, shown


def test_service_has_no_capability_and_no_way_to_get_one(machine: Booted) -> None:
    assert log_in(machine, machine.add_user("bob"))
    status = machine.read(f"/proc/{main_pid(machine)}/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(facts[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert ("1", "2") == (facts["NoNewPrivs"], facts["Seccomp"])


def test_recovery_code_works(machine: Booted, alice: Account) -> None:
    assert log_in(machine, alice, typed=alice.recovery_codes[3])
    assert not log_in(machine, alice, typed=alice.recovery_codes[3])
    assert ["recovery_used", "rejected"] == events_of_the_service(machine, alice)


def test_store_and_key_in_other_folders_work(machine: Booted) -> None:
    machine.run("install", "-d", "-m", "0700", "/srv/second/key")
    settings = "store = /srv/second/store/store.db\nsealing_key = /srv/second/key/key\n"
    machine.write(CONFIG, settings)
    machine.run("totpctl", "init")
    alice = machine.add_user("alice")
    assert log_in(machine, alice)
    assert not log_in(machine, alice)
    assert ["accepted", "replayed"] == events_of_the_service(machine, alice)


def test_store_in_a_folder_that_is_shut_off_works_with_a_drop_in(machine: Booted) -> None:
    machine.run("install", "-d", "-m", "0700", "/etc/codes")
    machine.write(CONFIG, "store = /etc/codes/store/store.db\n")
    machine.run("totpctl", "init")
    alice = machine.add_user("alice")
    assert not log_in(machine, alice)
    drop_in(machine, SERVICE, "[Service]\nReadWritePaths=/etc/codes\n")
    machine.systemctl("restart", SERVICE)
    assert log_in(machine, alice)
    assert ["error", "accepted"] == events_of_the_service(machine, alice)


def test_user_of_a_record_of_systemd_logs_in(machine: Booted) -> None:
    """libnss-systemd reads it; it is in no /etc/passwd."""
    record = '{"userName":"carol","uid":4711,"gid":4711,"disposition":"regular"}\n'
    machine.write("/run/userdb/carol.user", record)
    machine.run("ln", "-s", "carol.user", "/run/userdb/4711.user")
    carol = machine.enrol("carol")
    assert log_in(machine, carol)
    assert ["accepted"] == events_of_the_service(machine, carol)
    # So with the groups: getent, which asks for them, runs in the sandbox too.
    machine.write("/run/userdb/robots.group", '{"groupName":"robots","gid":4712}\n')
    machine.run("ln", "-s", "robots.group", "/run/userdb/4712.group")
    machine.write("/run/userdb/carol:robots.membership", "{}\n")
    machine.write(CONFIG, "exempt_groups = robots\n")
    log_in(machine, carol)  # nothing else in this PAM file says yes
    assert ["accepted", "skipped"] == events_of_the_service(machine, carol)


def test_user_whom_systemd_makes_up_logs_in(machine: Booted) -> None:
    """libnss-systemd asks systemd itself, over a socket."""
    options = ("--property=DynamicUser=yes", "--property=User=dave", "--property=Type=exec")
    machine.run("systemd-run", *options, "sleep", "infinity")
    dave = machine.enrol("dave")
    assert log_in(machine, dave)
    assert ["accepted"] == events_of_the_service(machine, dave)


def test_forty_users_at_once_get_in(machine: Booted, users: Iterator[Account]) -> None:
    machine.systemctl("stop", SERVICE)
    forty = [next(users) for _ in range(40)]
    assert 40 == log_in_at_once(machine, [(user.name, user.code()) for user in forty])
    lines = journal(machine, f"--unit={SERVICE}")
    assert 40 == sum(f"({PAM_SERVICE}:auth): event=accepted" in line for line in lines)


def test_forty_logins_at_once_with_one_code_let_one_in(
    machine: Booted, users: Iterator[Account]
) -> None:
    user = next(users)
    assert 1 == log_in_at_once(machine, [(user.name, user.code())] * 40)
    assert 1 == events_of_the_service(machine, user).count("accepted")


def let_anybody_ask(machine: Booted) -> None:
    """What docs and pam_totp.socket say."""
    drop_in(machine, SOCKET, "[Socket]\nSocketMode=0666\n")
    machine.write(CONFIG, "unprivileged = yes\n")
    machine.systemctl("restart", SOCKET)


def test_program_without_root_is_denied(machine: Booted, users: Iterator[Account]) -> None:
    user = next(users)
    assert not log_in(machine, user, user=user.name)
    assert ["error"] == sorted(set(events(machine, user)))
    assert [] == events_of_the_service(machine, user)


def test_socket_for_everybody_alone_lets_nobody_ask(
    machine: Booted, users: Iterator[Account]
) -> None:
    let_anybody_ask(machine)
    machine.write(CONFIG, "")
    user = next(users)
    assert not log_in(machine, user, user=user.name)
    assert "accepted" not in events(machine, user)
    assert log_in(machine, user)


def test_unprivileged_program_checks_the_code_of_its_own_user_only(
    machine: Booted, users: Iterator[Account]
) -> None:
    let_anybody_ask(machine)
    alice, bob = next(users), next(users)
    assert not log_in(machine, bob, user=alice.name)
    assert log_in(machine, alice, user=alice.name)
    assert not log_in(machine, alice, user=alice.name)
    assert log_in(machine, bob)
    assert ["accepted", "replayed"] == events_of_the_service(machine, alice)
    assert ["accepted"] == events_of_the_service(machine, bob)
    lines = journal(machine, f"--unit={SERVICE}")
    assert any(
        f"pam_totp(unprivileged.{PAM_SERVICE}:auth): event=accepted" in line for line in lines
    )
    assert any(re.search(r"asks for somebody else.* peer_uid=\d+", line) for line in lines)


def test_unprivileged_program_is_asked_at_its_terminal(
    machine: Booted, users: Iterator[Account]
) -> None:
    let_anybody_ask(machine)
    user = next(users)
    client = machine.spawn("pamtester", PAM_SERVICE, user.name, "authenticate", user=user.name)
    client.answer(CODE, user.code())
    assert "successfully authenticated" in client.rest()
