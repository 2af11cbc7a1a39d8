"""What the units forbid is nothing that a login needs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from pam_totp.service import sandbox
from tests.booted.conftest import RELEASES
from tests.booted.logins import (
    CODE,
    PAM_SERVICE,
    SERVICE,
    SOCKET,
    drop_in,
    events,
    events_of_the_service,
    events_of_workers,
    journal,
    log_in,
    log_in_twice,
    main_pid,
    wait_until,
)
from tests.support.booted import Booted
from tests.support.machine import Account

pytestmark = [
    pytest.mark.root,
    # What a sandbox holds off, each systemd decides for itself.
    pytest.mark.parametrize("base", RELEASES, indirect=True),
]

UNITS = "/usr/lib/systemd/system"
CONFIG = "/etc/security/pam_totp.conf"
MOST_EXPOSURE = 2.0  # of 10, in the words of systemd-analyze security

KEPT = "/root/kept"
KEEP = f"""
systemctl stop {SERVICE}
rm -rf {KEPT}; mkdir {KEPT}; cp -p {CONFIG} /etc/nsswitch.conf {KEPT}
"""
LAUNCHER, WORKER = "pam_totp-worker.socket", "pam_totp-worker@.service"
INTRUSION = "/usr/bin/python3 -I /usr/local/lib/intruder"
# Where daemons of root's, LXD and postfix among them, have a socket outside /run.
DAEMONS = (
    "/var/lib/lxd/unix.socket",
    "/var/spool/postfix/private/local",
    "/opt/agent/agent.sock",
    "/srv/agent/agent.sock",
    "/root/agent.sock",
    "/home/agent.sock",
    "/mnt/agent.sock",
)
AS_BEFORE = f"""
systemctl stop {SOCKET} {SERVICE}
systemctl stop daemon.service 2>/dev/null || true
cp -p {KEPT}/pam_totp.conf {CONFIG}; cp -p {KEPT}/nsswitch.conf /etc/nsswitch.conf
rm -rf /etc/systemd/system/pam_totp*.d /etc/systemd/system/intruder.service {" ".join(DAEMONS)}
rm -rf /run/userdb/*
systemctl daemon-reload
systemctl start {SOCKET}
"""
DAEMON = f"""
import os, socket, time
kept = []
for path in {DAEMONS}:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    kept.append(socket.socket(socket.AF_UNIX))
    kept[-1].bind(path)
    kept[-1].listen()
time.sleep(3600)
"""
INTRUDER = f"""
import os, socket, stat
print("ids", os.getuid(), os.geteuid())
for path in ("/run/systemd/journal/dev-log", "/run/systemd/private", "/run/dbus/system_bus_socket",
             "/run/systemd/io.systemd.Manager", *{DAEMONS}):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        try:
            socket.socket(socket.AF_UNIX, kind).connect(path)
            answer = "yes"
            break
        except OSError:
            answer = "no"
    print(path, answer)
for folder in ("/var/lib/pam_totp", "/run", "/run/systemd/system", "/run/systemd", "/run/sudo",
               "/var/lib/dpkg", "/var/spool", "/etc", "/etc/pam.d", "/usr/lib", "/root", "/srv",
               "/dev/shm", "/sys/fs/cgroup"):
    try:
        with open(folder + "/written", "w") as file:
            file.write("x")
        os.unlink(file.name)
        print(folder, "yes")
    except OSError:
        print(folder, "no")
found = []
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if folder != "/" or name not in ("proc", "sys", "dev")]
    for name in names:
        path = os.path.join(folder, name)
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            found.append(path)
print("sockets", *found)
"""

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


@pytest.fixture
def altered(shared: Booted) -> Iterator[Booted]:
    """The same machine, whose configuration, units and name service are put back afterwards."""
    shared.run("sh", "-ec", KEEP)
    yield shared
    shared.run("sh", "-ec", AS_BEFORE)


def test_systemd_finds_nothing_wrong_with_the_units(shared: Booted) -> None:
    paths = [f"{UNITS}/{unit}" for unit in (SERVICE, SOCKET, LAUNCHER, WORKER)]
    done = shared.run("systemd-analyze", "--man=no", "verify", *paths)
    assert ("", "") == (done.stdout, done.stderr)


def test_little_is_exposed(shared: Booted) -> None:
    shown = shared.run("systemd-analyze", "security", "--no-pager", SERVICE).stdout
    score = re.search(r"Overall exposure level for pam_totp.service: ([0-9.]+)", shown)
    assert score, shown
    assert float(score[1]) <= MOST_EXPOSURE, shown


def test_service_has_no_capability_and_no_way_to_get_one(shared: Booted) -> None:
    assert log_in(shared, shared.add_user("bob"))
    status = shared.read(f"/proc/{main_pid(shared)}/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(facts[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert ("1", "2") == (facts["NoNewPrivs"], facts["Seccomp"])


def test_recovery_code_works(shared: Booted) -> None:
    alice = shared.add_user("alice")
    assert log_in(shared, alice, typed=alice.recovery_codes[3])
    assert not log_in(shared, alice, typed=alice.recovery_codes[3])
    assert ["recovery_used", "rejected"] == events_of_the_service(shared, alice)


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ("/srv/second", "second/key/key: is not there in the sandbox"),
        ("/etc/codes", "codes/store: is read-only in the sandbox"),
    ],
)
def test_store_elsewhere_costs_the_sandbox_until_a_drop_in_lets_it_be_written(
    altered: Booted, users_of_shared: Iterator[Account], folder: str, problem: str
) -> None:
    machine = altered
    machine.run("install", "-d", "-m", "0700", folder, f"{folder}/key")
    settings = f"store = {folder}/store/store.db\nsealing_key = {folder}/key/key\n"
    machine.write(CONFIG, settings)
    machine.run("totpctl", "init")
    names = [next(users_of_shared).name for _ in range(3)]
    alice, bob, carol = machine.enrol_at_once(names)
    assert log_in(machine, alice)
    assert [] == events_of_the_service(machine, alice)
    lines = journal(machine, f"--unit={SERVICE}")
    assert any(problem in line for line in lines)
    for unit in (SERVICE, WORKER):
        drop_in(machine, unit, f"[Service]\nBindPaths=-{folder}\n")
    machine.systemctl("restart", SERVICE)
    assert (True, False) == log_in_twice(machine, bob)
    assert ["accepted", "replayed"] == events_of_the_service(machine, bob)
    machine.systemctl("stop", SOCKET, SERVICE)
    assert log_in(machine, carol)
    assert ["accepted"] == events_of_workers(machine, carol)


def test_name_service_of_elsewhere_costs_the_sandbox_until_a_drop_in_lets_it_work(
    altered: Booted, users_of_shared: Iterator[Account]
) -> None:
    machine = altered
    alice, bob, carol = (next(users_of_shared) for _ in range(3))
    machine.run("sed", "-i", "s/^passwd:.*/& vas4/", "/etc/nsswitch.conf")
    assert log_in(machine, alice)
    assert [] == events_of_the_service(machine, alice)
    lines = journal(machine, f"--unit={SERVICE}")
    assert any("may not work in the sandbox: vas4" in line for line in lines)
    for unit in (SERVICE, WORKER):
        drop_in(machine, unit, f"[Service]\nEnvironment={sandbox.BOUND_SERVICES}=vas4\n")
    machine.systemctl("restart", SERVICE)
    assert log_in(machine, bob)
    assert ["accepted"] == events_of_the_service(machine, bob)
    machine.systemctl("stop", SOCKET, SERVICE)
    assert log_in(machine, carol)
    assert ["accepted"] == events_of_workers(machine, carol)


def test_service_that_was_taken_over_reaches_and_writes_nothing_of_roots(altered: Booted) -> None:
    """A program of somebody else's in its place: user 0, as it."""
    machine = altered
    machine.run("mkdir", "-p", "/run/sudo", "/run/systemd/system")
    machine.write("/usr/local/lib/intruder", INTRUDER)
    machine.write("/usr/local/lib/daemon", DAEMON)
    machine.run("systemd-run", "--unit=daemon", "/usr/bin/python3", "/usr/local/lib/daemon")
    wait_until(lambda: machine.run("test", "-S", DAEMONS[-1], check=False).returncode == 0)
    unit = machine.read(f"{UNITS}/{SERVICE}")
    for before, after in (
        ("ExecStart=/usr/lib/pam_totp/worker --activated", f"ExecStart={INTRUSION}"),
        ("Type=notify", "Type=oneshot"),
        ("Restart=on-failure\n", ""),
        ("Requires=pam_totp.socket", ""),
    ):
        assert before in unit
        unit = unit.replace(before, after)
    machine.write("/etc/systemd/system/intruder.service", unit)
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "intruder.service")
    machine.run("journalctl", "--sync")
    shown = machine.run("journalctl", "-ocat", "_SYSTEMD_UNIT=intruder.service").stdout
    found = dict(line.split(" ", 1) for line in shown.splitlines())
    assert "0 0" == found["ids"]
    needed = ("/var/lib/pam_totp", "/run/systemd/journal/dev-log")
    assert ["yes", "yes"] == [found[path] for path in needed]
    others = {
        path: answer for path, answer in found.items() if path not in ("ids", "sockets", *needed)
    }
    assert len(others) > 10
    assert dict.fromkeys(others, "no") == others
    known = (
        "/run/pam_totp/",
        "/run/systemd/journal/dev-log",
        "/run/systemd/notify",
        "/run/systemd/userdb/",
    )
    assert [path for path in found["sockets"].split() if not path.startswith(known)] == []


def test_store_that_is_restored_under_a_running_service_is_the_one_that_counts(
    altered: Booted, users_of_shared: Iterator[Account]
) -> None:
    """The service still holds the old folder, wherever it was moved to."""
    machine = altered
    folder, alice, bob = "/var/lib/pam_totp", next(users_of_shared), next(users_of_shared)
    machine.run("cp", "-a", folder, f"{folder}.backup")
    assert log_in(machine, alice)
    machine.run("mv", folder, f"{folder}.old")
    machine.run("mv", f"{folder}.backup", folder)
    time.sleep(sandbox.LOOK_SECONDS)
    machine.run("totpctl", "suspend", bob.name)
    assert not log_in(machine, bob)
    machine.run("totpctl", "resume", bob.name)
    machine.run("rm", "-rf", f"{folder}.old")
    code = bob.code()
    assert log_in(machine, bob, code)
    assert ["rejected", "accepted"] == events_of_workers(machine, bob)
    machine.systemctl("restart", SERVICE)
    assert not log_in(machine, bob, code)
    assert ["replayed"] == events_of_the_service(machine, bob)


def test_user_of_a_record_of_systemd_logs_in(altered: Booted) -> None:
    """libnss-systemd reads it; it is in no /etc/passwd."""
    machine = altered
    record = '{"userName":"carol","uid":4711,"gid":4711,"disposition":"regular"}\n'
    machine.write("/run/userdb/carol.user", record)
    machine.run("ln", "-s", "carol.user", "/run/userdb/4711.user")
    (carol,) = machine.enrol_at_once(["carol"])
    assert log_in(machine, carol)
    assert ["accepted"] == events_of_the_service(machine, carol)
    # So with the groups: getent, which asks for them, runs in the sandbox too.
    machine.write("/run/userdb/robots.group", '{"groupName":"robots","gid":4712}\n')
    machine.run("ln", "-s", "robots.group", "/run/userdb/4712.group")
    machine.write("/run/userdb/carol:robots.membership", "{}\n")
    machine.write(CONFIG, "exempt_groups = robots\n")
    log_in(machine, carol)  # nothing else in this PAM file says yes
    assert ["accepted", "skipped"] == events_of_the_service(machine, carol)


def test_user_whom_systemd_makes_up_logs_in(shared: Booted) -> None:
    """libnss-systemd asks systemd itself, over a socket."""
    options = ("--property=DynamicUser=yes", "--property=User=dave", "--property=Type=exec")
    shared.run("systemd-run", *options, "sleep", "infinity")
    (dave,) = shared.enrol_at_once(["dave"])
    assert log_in(shared, dave)
    assert ["accepted"] == events_of_the_service(shared, dave)


def test_forty_users_at_once_get_in(shared: Booted, users_of_shared: Iterator[Account]) -> None:
    shared.systemctl("stop", SERVICE)
    forty = [next(users_of_shared) for _ in range(40)]
    assert 40 == log_in_at_once(shared, [(user.name, user.code(+1)) for user in forty])
    lines = "\n".join(journal(shared, f"--unit={SERVICE}"))
    let_in = re.findall(rf"\({PAM_SERVICE}:auth\): event=accepted user=(\w+)", lines)
    names = {user.name for user in forty}
    assert sorted(names) == sorted(name for name in let_in if name in names)


def test_forty_logins_at_once_with_one_code_let_one_in(
    shared: Booted, users_of_shared: Iterator[Account]
) -> None:
    user = next(users_of_shared)
    assert 1 == log_in_at_once(shared, [(user.name, user.code(+1))] * 40)
    assert 1 == events_of_the_service(shared, user).count("accepted")


@pytest.fixture
def anybody_may_ask(shared: Booted) -> Iterator[None]:
    """What docs and pam_totp.socket say."""
    before = shared.read(CONFIG)
    drop_in(shared, SOCKET, "[Socket]\nSocketMode=0666\n")
    shared.write(CONFIG, "unprivileged = yes\n")
    shared.systemctl("restart", SOCKET)
    yield
    shared.write(CONFIG, before)
    shared.run("rm", "-r", f"/etc/systemd/system/{SOCKET}.d")
    shared.systemctl("daemon-reload")
    shared.systemctl("restart", SOCKET)


def test_program_without_root_is_denied(shared: Booted, users_of_shared: Iterator[Account]) -> None:
    user = next(users_of_shared)
    assert not log_in(shared, user, user=user.name)
    assert ["error"] == sorted(set(events(shared, user)))
    assert [] == events_of_the_service(shared, user)


@pytest.mark.usefixtures("anybody_may_ask")
def test_socket_for_everybody_alone_lets_nobody_ask(
    shared: Booted, users_of_shared: Iterator[Account]
) -> None:
    shared.write(CONFIG, "")
    user = next(users_of_shared)
    assert not log_in(shared, user, user=user.name)
    assert "accepted" not in events(shared, user)
    assert log_in(shared, user)


@pytest.mark.usefixtures("anybody_may_ask")
def test_unprivileged_program_checks_the_code_of_its_own_user_only(
    shared: Booted, users_of_shared: Iterator[Account]
) -> None:
    alice, bob = next(users_of_shared), next(users_of_shared)
    assert not log_in(shared, bob, user=alice.name)
    assert (True, False) == log_in_twice(shared, alice, user=alice.name)
    assert log_in(shared, bob)
    assert ["accepted", "replayed"] == events_of_the_service(shared, alice)
    assert ["accepted"] == events_of_the_service(shared, bob)
    lines = journal(shared, f"--unit={SERVICE}")
    assert any(
        f"pam_totp(unprivileged.{PAM_SERVICE}:auth): event=accepted" in line for line in lines
    )
    assert any(re.search(r"asks for somebody else.* peer_uid=\d+", line) for line in lines)


@pytest.mark.usefixtures("anybody_may_ask")
def test_unprivileged_program_is_asked_at_its_terminal(
    shared: Booted, users_of_shared: Iterator[Account]
) -> None:
    user = next(users_of_shared)
    client = shared.spawn("pamtester", PAM_SERVICE, user.name, "authenticate", user=user.name)
    client.answer(CODE, user.code())
    assert "successfully authenticated" in client.rest()
