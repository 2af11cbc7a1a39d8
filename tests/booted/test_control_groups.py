"""A user who freezes, at the worst moment, all that runs in the control groups that are theirs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pam_totp.service import prompts
from tests.booted.logins import (
    PAM_SERVICE,
    SERVICE,
    SOCKET,
    SOCKET_PATH,
    journal,
    log_in,
    wait_until,
)
from tests.support import package
from tests.support.booted import Booted
from tests.support.booted_base import base_of
from tests.support.machine import Account

pytestmark = pytest.mark.root

LAUNCHER = "pam_totp-worker.socket"
LIBRARY = "/usr/lib/pam_totp/pam_totp"
BEGUN = "/var/lib/pam_totp/begun"
SUDO = "auth required pam_totp.so attempts=1\naccount required pam_permit.so\n"
# Each has a parent of its own: of one parent's, sudo lets one ask after the other.
PARKED = "for n in $(seq %d); do sh -c 'sleep 900 | sudo -S true' & done; sleep 900"
# bob's transactions say when they begin, and end when the test has seen it: as on a slow disk.
SLOW = f"""
            if attempt.name == "bob":
                import os
                open("{BEGUN}", "w").close()
                while os.path.exists("{BEGUN}"):
                    time.sleep(0.01)
"""
AFTER = "            now, place = int(time.time()), attempt.source.place\n"  # in verify()
_NUMBERS = itertools.count(1)
REPLACE = """
import sys
path, before, after = sys.argv[1:]
text = open(path).read()
assert 1 == text.count(before), before
open(path, "w").write(text.replace(before, after))
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Booted]:
    """One Debian for all of these tests: how it freezes is the kernel's business."""
    with base_of("trixie") as tree, Booted("trixie", str(tree)) as booted:
        package.install(booted)
        for service in (PAM_SERVICE, "sudo"):
            booted.write(f"/etc/pam.d/{service}", SUDO)
        replace(booted, "store/sqlite/questions.py", AFTER, AFTER.rstrip("\n") + SLOW)
        booted.add_account("bob")
        booted.systemctl("start", f"user@{uid_of_bob(booted)}.service")  # as a session does
        wait_until(lambda: exists(booted, f"{runtime(booted)}/systemd/private"))
        yield booted


@pytest.fixture
def bob(machine: Booted) -> Iterator[Account]:
    yield machine.enrol("bob")
    machine.run("totpctl", "remove", "bob", "--yes")


@pytest.fixture
def users(machine: Booted) -> Iterator[Account]:
    number = int(time.monotonic() * 1000)
    return machine.add_users([f"user{number + more}" for more in range(5)])


def replace(machine: Booted, module: str, before: str, after: str) -> None:
    machine.run("python3", "-c", REPLACE, f"{LIBRARY}/{module}", before, after)


def exists(machine: Booted, path: str) -> bool:
    return machine.run("test", "-e", path, check=False).returncode == 0


def uid_of_bob(machine: Booted) -> str:
    return machine.run("id", "-u", "bob").stdout.strip()


def runtime(machine: Booted) -> str:
    return f"/run/user/{uid_of_bob(machine)}"


def as_bob(machine: Booted, *command: object) -> str:
    """Run a program as bob, with his own systemd at hand."""
    environment = ("env", f"XDG_RUNTIME_DIR={runtime(machine)}")
    return machine.run(*environment, *command, user="bob").stdout.strip()


@contextmanager
def unit_of_bob(machine: Booted, script: str) -> Iterator[str]:
    """Run a script as a service of bob's own systemd; give the folder of its control group."""
    number = next(_NUMBERS)
    machine.write(f"/etc/bob/{number}", script)
    unit = f"bob-{number}.service"
    machine.write(f"/etc/systemd/user/{unit}", f"[Service]\nExecStart=sh /etc/bob/{number}\n")
    as_bob(machine, "systemctl", "--user", "daemon-reload")
    as_bob(machine, "systemctl", "--user", "start", unit)
    shown = as_bob(machine, "systemctl", "--user", "show", "--value", "-pControlGroup", unit)
    group = f"/sys/fs/cgroup{shown}"
    try:
        yield group
    finally:
        as_bob(machine, "sh", "-c", f"echo 0 >{group}/cgroup.freeze")
        machine.run("sh", "-c", f"echo 1 >{group}/cgroup.kill")


def others_get_in_while_bob_is_frozen(machine: Booted, bob: Account, other: Account) -> bool:
    """Let bob freeze his sudo, and all that it started, as soon as it has begun to write."""
    with unit_of_bob(machine, f"echo {bob.wrong_code()} | sudo -S true; sleep 900") as group:
        wait_until(lambda: exists(machine, BEGUN))
        try:
            as_bob(machine, "sh", "-c", f"echo 1 >{group}/cgroup.freeze")
            wait_until(lambda: "frozen 1" in machine.read(f"{group}/cgroup.events"))
        finally:
            machine.run("rm", BEGUN)
        return log_in(machine, other)


def prompts_open(machine: Booted) -> int:
    """Count the connections that the service has taken: logins at their prompts, or nearly."""
    accepted = rf" 03 +[0-9]+ {SOCKET_PATH}$"
    count = machine.run("grep", "-Ec", accepted, "/proc/net/unix", check=False).stdout
    return int(count)


def is_turned_away(machine: Booted) -> bool:
    command = ("pamtester", "-I", "ruser=bob", PAM_SERVICE, "bob", "authenticate")
    done = machine.run(*command, typed="1\n", check=False)
    return "Too many logins of yours are waiting" in done.stdout + done.stderr


def start(machine: Booted) -> None:
    machine.systemctl("reset-failed")
    machine.systemctl("start", SOCKET)


def test_while_the_service_is_at_hand(
    machine: Booted, bob: Account, users: Iterator[Account]
) -> None:
    assert others_get_in_while_bob_is_frozen(machine, bob, next(users))


def test_in_a_worker_because_the_service_has_no_place(
    machine: Booted, bob: Account, users: Iterator[Account]
) -> None:
    """What bob brings about by himself, with prompts that he leaves open."""
    machine.systemctl("stop", SERVICE)
    replace(machine, "service/crowd.py", "MAX_CONNECTIONS = 2000", "MAX_CONNECTIONS = 3")
    parked = PARKED % 3
    with unit_of_bob(machine, parked):
        wait_until(lambda: prompts_open(machine) == 3)
        try:
            assert others_get_in_while_bob_is_frozen(machine, bob, next(users))
            assert "too many connections" in "\n".join(journal(machine, "-n100"))
        finally:
            replace(machine, "service/crowd.py", "MAX_CONNECTIONS = 3", "MAX_CONNECTIONS = 2000")
            machine.systemctl("stop", SERVICE)


def test_in_a_worker_because_the_service_ends(
    machine: Booted, bob: Account, users: Iterator[Account]
) -> None:
    machine.systemctl("stop", SOCKET, SERVICE)
    try:
        assert others_get_in_while_bob_is_frozen(machine, bob, next(users))
    finally:
        start(machine)


def test_in_a_worker_that_the_module_starts_itself(
    machine: Booted, bob: Account, users: Iterator[Account]
) -> None:
    """Without systemd, or where it starts none."""
    machine.systemctl("stop", SOCKET, SERVICE)
    machine.systemctl("stop", LAUNCHER, check=False)
    try:
        assert others_get_in_while_bob_is_frozen(machine, bob, next(users))
    finally:
        start(machine)


def test_in_a_service_that_was_started_from_a_session_of_his(
    machine: Booted, bob: Account, users: Iterator[Account]
) -> None:
    """``worker --listen``, as an administrator starts it where there is no systemd."""
    machine.systemctl("stop", SOCKET, SERVICE)
    machine.systemctl("stop", LAUNCHER, check=False)
    socket = "/run/pam_totp/pam_totp.sock"
    with unit_of_bob(machine, "sleep 900") as group:
        enter = f"echo $$ >{group}/cgroup.procs; exec /usr/lib/pam_totp/worker --listen"
        service = machine.start("sh", "-c", enter)
        try:
            wait_until(lambda: exists(machine, socket))
            as_bob(machine, "sh", "-c", f"echo 1 >{group}/cgroup.freeze")
            assert log_in(machine, next(users))
        finally:
            as_bob(machine, "sh", "-c", f"echo 0 >{group}/cgroup.freeze")
            service.terminate()
            service.wait(30)
            start(machine)


def test_totpctl_leaves_it_too(machine: Booted, bob: Account) -> None:
    """An administrator's sudo runs in a session that an intruder may have a part of."""
    with unit_of_bob(machine, "sleep 900") as group:
        enter = f"echo $$ >{group}/cgroup.procs; exec totpctl reset bob"
        asking = machine.spawn("sh", "-c", enter)
        try:
            asking.expect_exact("?")
            shown = machine.run("pgrep", "--newest", "--full", "totpctl reset").stdout
            assert "0::/pam_totp" in machine.read(f"/proc/{shown.strip()}/cgroup").splitlines()
        finally:
            asking.close(force=True)


def test_prompts_of_one_user_are_bounded_and_start_no_worker(
    machine: Booted, bob: Account, users: Iterator[Account]
) -> None:
    workers = ("list-units", "--no-legend", "pam_totp-worker@*")
    wait_until(lambda: machine.systemctl(*workers) == "")  # those of the tests before
    since = journal(machine, "--lines=1", "--show-cursor")[-1].removeprefix("-- cursor: ")
    most = prompts.MAX_OF_ONE_CALLER
    parked = PARKED % most
    with unit_of_bob(machine, parked):
        wait_until(lambda: prompts_open(machine) == most)
        wait_until(lambda: is_turned_away(machine))  # as soon as each of them is at its prompt
        assert log_in(machine, next(users))
    lines = "\n".join(journal(machine, f"--after-cursor={since}"))
    assert 'event=throttled user=bob ruser=bob reason="too many prompts"' in lines
    assert "pam_totp-worker@" not in lines
    assert "no worker" not in lines
