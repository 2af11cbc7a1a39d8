"""totpctl exempt --key-only: programs get in by a key, and nobody else by it, with a real sshd."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pexpect import EOF

from admin_cli.host.key_only import FILE
from tests.e2e.conftest import Prepared
from tests.support import enabling, thorough
from tests.support.enabling import totpctl
from tests.support.logs import fields
from tests.support.machine import SSH_PORT, Account, Machine

pytestmark = pytest.mark.root

ROBOT, PASSWORD = "robot", "password of robot"
BATCH = "-oBatchMode=yes"
MARK = "expr 41 + 1"  # whose answer no message shows
FILES = "-F/dev/null -oUserKnownHostsFile=/dev/null -oStrictHostKeyChecking=no -oLogLevel=ERROR"
SCP = f"scp -B {FILES} -P {SSH_PORT} -i {{key}} /etc/os-release {ROBOT}@127.0.0.1:copied"
ASYNCSSH = f"""
import asyncio, asyncssh
async def log_in():
    async with asyncssh.connect("127.0.0.1", {SSH_PORT}, username="{ROBOT}", known_hosts=None,
                                client_keys=["{{key}}"], config=None) as connection:
        print((await connection.run("{MARK}")).stdout)
asyncio.run(log_in())
"""
# Clients that do not offer keyboard-interactive, or cannot.
CLIENTS = {
    "batch": f"ssh {FILES} -p {SSH_PORT} {BATCH} -i {{key}} {ROBOT}@127.0.0.1 {MARK}",
    "scp": f"{SCP} && {MARK}",
    "asyncssh": f"HOME=/tmp /usr/bin/python3 -c '{ASYNCSSH}'",
}


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    """sshd asks for a code; robot has a password, and a key."""
    with enabling.before_enable(prepared.files) as started:
        started.add_user(ROBOT, PASSWORD)
        started.write("/etc/ssh/sshd_config.d/80-sftp.conf", "Subsystem sftp internal-sftp\n")
        assert 0 == totpctl(started, "enable", "sshd", "--no-confirm").returncode
        yield started


@pytest.fixture
def key(machine: Machine) -> str:
    return machine.give_key(ROBOT)


def exempt(machine: Machine, *options: str) -> None:
    done = totpctl(machine, "exempt", ROBOT, "--key-only", "--no-confirm", *options)
    assert 0 == done.returncode, done.stderr


def gets_in(machine: Machine, key: str, client: str = "batch") -> bool:
    command = CLIENTS[client].format(key=key)
    done = machine.run("sh", "-c", command, user="nobody", check=False)
    return "42" in done.stdout.split()


def by(machine: Machine, *options: str, given: tuple[str, ...] = ()) -> bool:
    """Log in as robot, give each prompt the next answer, and return whether that let in.

    A further prompt is where it ends: nobody has got in then.
    """
    terminal = machine.ssh(ROBOT, *options, "-oNumberOfPasswordPrompts=1", command=MARK)
    answers = [*given]
    while terminal.expect(["(?i)(password|code): ", EOF]) == 0:
        if not answers:
            return False
        terminal.sendline(answers.pop(0))
    return "42" in terminal.before.split()


def status_of(machine: Machine, user: str = ROBOT) -> str:
    return str(json.loads(machine.run("totpctl", "show", user, "--json").stdout)["status"])


def found(machine: Machine) -> dict[str, str]:
    shown = json.loads(totpctl(machine, "doctor", "--json").stdout)
    return {f["check"]: f["problem"] for f in shown["findings"] if f["check"] in KEY_ONLY}


KEY_ONLY = ("sshd-key-only", "key-only", "sshd-settings", "sshd-keys")


@pytest.mark.parametrize("keys", thorough.some(["code", "key+code", "password+code", "skip"], 2))
def test_programs_get_in_by_their_key_and_by_nothing_else(
    machine: Machine, alice: Account, key: str, keys: str
) -> None:
    machine.give_key("alice")
    mode = ("enable", "sshd", "--keys", keys, "--no-confirm", "--force")
    assert 0 == totpctl(machine, *mode).returncode
    assert (keys == "skip") is gets_in(machine, key)
    exempt(machine)
    assert dict.fromkeys(CLIENTS, True) == {name: gets_in(machine, key, name) for name in CLIENTS}
    no_key = "-oPubkeyAuthentication=no"
    assert not by(machine, no_key)
    assert not by(machine, no_key, "-oPreferredAuthentications=password", given=(PASSWORD,))
    typed = "-oPreferredAuthentications=keyboard-interactive"
    assert not by(machine, no_key, typed, given=(PASSWORD,))
    assert not by(machine, f"-i{key}", typed)
    others = machine.ssh("alice", f"-i{key}", BATCH).rest()  # of robot, not of alice
    assert "Permission denied" in others
    if keys == "code":
        assert "welcome alice" in enabling.ssh_with_code(machine, alice)
    assert {"key-only": f"sshd lets {ROBOT} in by a key alone"} == found(machine)


def test_wrong_order_and_a_foreign_key_get_nobody_in(machine: Machine, key: str) -> None:
    exempt(machine)
    machine.add_user("carol", "x")
    foreign = machine.give_key("carol")
    assert not gets_in(machine, foreign)
    order = "-oPreferredAuthentications=keyboard-interactive,password,publickey"
    assert by(machine, f"-i{key}", order)
    assert not by(machine, f"-i{foreign}", order)
    assert "Permission denied" in machine.ssh("carol", f"-i{foreign}", BATCH).rest()


def test_a_trial_that_is_undone_ends_the_exemption_as_well(machine: Machine, key: str) -> None:
    before = enabling.snapshot(machine)
    done = totpctl(machine, "exempt", ROBOT, "--key-only")
    assert f"sshd lets in by a key alone, and by nothing else: {ROBOT}\n" in done.stderr
    assert "everything is undone in 10 min, at " in done.stderr
    assert gets_in(machine, key)
    assert "exempt" == status_of(machine)
    again = totpctl(machine, "exempt", ROBOT, "--key-only")
    assert (1, True) == (again.returncode, "robot (key only): not confirmed yet" in again.stderr)
    done = totpctl(machine, "revert")
    assert f"{ROBOT} is no longer exempt\n" in done.stderr
    assert not gets_in(machine, key)
    assert before == enabling.snapshot(machine)
    assert 3 == totpctl(machine, "show", ROBOT).returncode


def test_a_trial_that_is_confirmed_stays_and_asks_for_no_code_to_have_been_used(
    machine: Machine, key: str
) -> None:
    assert 0 == totpctl(machine, "exempt", ROBOT, "--key-only").returncode
    done = totpctl(machine, "confirm")
    assert (0, f"confirmed: sshd will keep letting in by a key alone: {ROBOT}\n") == (
        done.returncode,
        done.stderr,
    )
    assert [] == enabling.left_over(machine)
    again = totpctl(machine, "exempt", ROBOT, "--key-only")
    assert (0, f"{ROBOT}: key only already, nothing to change\n") == (
        again.returncode,
        again.stderr,
    )
    shown = json.loads(totpctl(machine, "status", "--json").stdout)
    assert [{"user": ROBOT, "from": []}] == shown["key_only"]
    assert f"key only     1: {ROBOT}\n" in totpctl(machine, "status").stdout
    assert (
        f"sshd            lets {ROBOT} in by a key alone\n"
        in totpctl(machine, "show", ROBOT).stdout
    )
    events = [fields(line) for line in machine.log.lines() if "pam_totp(totpctl)" in line]
    of_robot = [(e["event"], e.get("reason")) for e in events if e.get("user") == ROBOT]
    assert [("exempted", "key only"), ("confirmed", "key only")] == of_robot


@pytest.mark.parametrize("spoil", ["rm {0}", "echo '{{}}' >{0}"], ids=["lost", "damaged"])
def test_an_undo_that_cannot_know_who_was_exempt_before_says_who_may_still_be(
    machine: Machine, key: str, spoil: str
) -> None:
    """Else a password alone would let robot in by then, and nobody would know."""
    assert 0 == totpctl(machine, "exempt", ROBOT, "--key-only").returncode
    machine.run("sh", "-c", spoil.format("/etc/pam.d/.pam_totp-unconfirmed.json"))
    done = totpctl(machine, "revert")
    assert 0 == done.returncode, done.stderr
    assert not enabling.exists(machine, FILE)
    assert "exempt" == status_of(machine)
    assert f"{ROBOT} may still be exempt; to end that, run: totpctl exempt {ROBOT} --remove\n" in (
        done.stderr
    )
    assert 0 == totpctl(machine, "exempt", ROBOT, "--remove").returncode
    assert 3 == totpctl(machine, "show", ROBOT).returncode


def test_disable_and_enable_keep_it(machine: Machine, key: str) -> None:
    exempt(machine)
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert not by(machine, "-oPubkeyAuthentication=no", given=(PASSWORD,))
    assert gets_in(machine, key)
    assert 0 == totpctl(machine, "enable", "sshd").returncode
    assert gets_in(machine, key)
    assert 0 == totpctl(machine, "revert").returncode
    assert gets_in(machine, key)


def test_with_addresses_the_key_is_enough_there_alone(machine: Machine, key: str) -> None:
    exempt(machine, "--from", "127.0.0.2, ::ffff:127.0.1.0/120,2001:db8::/32")
    assert "Address 127.0.0.2,127.0.1.0/24,2001:db8::/32\n" in machine.read(FILE)
    assert by(machine, f"-i{key}", BATCH, "-oBindAddress=127.0.0.2")
    assert by(machine, f"-i{key}", BATCH, "-oBindAddress=127.0.1.77")
    for elsewhere in ("127.0.0.1", "127.0.0.3", "127.0.2.1"):
        there = f"-oBindAddress={elsewhere}"
        assert not by(machine, f"-i{key}", BATCH, there)
        assert not by(machine, f"-i{key}", there)
        assert not by(machine, "-oPubkeyAuthentication=no", there, given=(PASSWORD, PASSWORD))
    words = f"sshd lets {ROBOT} (from 127.0.0.2, 127.0.1.0/24, 2001:db8::/32) in by a key alone"
    assert {"key-only": words} == found(machine)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("suspend", ROBOT), "suspended"),
        (("require", ROBOT), "must_enroll"),
        (("exempt", ROBOT, "--remove"), ""),
        (("remove", ROBOT, "--yes"), ""),
    ],
)
def test_a_key_alone_is_not_enough_once_the_exemption_ends(
    machine: Machine, key: str, command: tuple[str, ...], status: str
) -> None:
    exempt(machine)
    done = totpctl(machine, *command)
    assert 0 == done.returncode, done.stderr
    assert f"a key alone is no longer enough for {ROBOT}\n" in done.stderr
    assert not gets_in(machine, key)
    assert not by(machine, f"-i{key}", given=("123456",))
    assert not enabling.exists(machine, FILE)
    assert {} == found(machine)
    if status:
        assert status == status_of(machine)
    else:
        assert 3 == totpctl(machine, "show", ROBOT).returncode


def test_others_keep_theirs_when_one_ends(machine: Machine, key: str) -> None:
    machine.add_user("other", "x")
    machine.give_key("other")
    exempt(machine)
    assert 0 == totpctl(machine, "exempt", "other", "--key-only", "--no-confirm").returncode
    assert 0 == totpctl(machine, "suspend", "other").returncode
    assert gets_in(machine, key)
    assert "other" not in machine.read(FILE)


def test_an_end_comes_first_also_while_a_trial_of_others_waits(machine: Machine, key: str) -> None:
    exempt(machine)
    machine.add_user("other", "x")
    machine.give_key("other")
    assert 0 == totpctl(machine, "exempt", "other", "--key-only").returncode
    done = totpctl(machine, "suspend", ROBOT)
    assert 0 == done.returncode
    assert "other (key only): everything is as it was before totpctl exempt\n" in done.stderr
    assert not gets_in(machine, key)
    assert not enabling.exists(machine, FILE)
    assert "nothing is waiting" in totpctl(machine, "revert").stderr


def test_an_end_of_which_sshd_cannot_be_told_suspends_and_says_what_is_left(
    machine: Machine, key: str
) -> None:
    exempt(machine)
    machine.run("sh", "-c", "echo Nonsense yes >>/etc/ssh/machine_config")
    done = totpctl(machine, "suspend", ROBOT)
    assert 1 == done.returncode
    assert f"sshd may still let in by a key alone: {ROBOT}: " in done.stderr
    assert "suspended" == status_of(machine)
    assert not enabling.exists(machine, FILE)  # so that no start of sshd lets robot in


def test_a_last_day_is_refused_as_sshd_knows_none(machine: Machine, key: str) -> None:
    exempt(machine)
    done = totpctl(machine, "exempt", ROBOT, "--until", "2099-01-31")
    assert 1 == done.returncode
    assert "which sshd cannot end on a day" in done.stderr
    assert 0 == totpctl(machine, "exempt", ROBOT).returncode
    assert gets_in(machine, key)


REFUSED = [
    ("true", ("nobody-here",), "there is no user nobody-here"),
    ("rm /home/robot/.ssh/authorized_keys", (ROBOT,), "robot has no key"),
    ("useradd --badname -m -s /bin/sh 'ro*'", ("ro*",), "sshd would not read the name"),
    ("useradd --badname -m -s /bin/sh '!robot'", ("!robot",), "sshd would not read the name"),
    ("totpctl suspend alice", ("alice",), "alice is suspended"),
    (
        "printf 'Match User ro*\\n PubkeyAuthentication no\\n' >{0}/90-mine.conf",
        (ROBOT,),
        "90-mine.conf:2: sets pubkeyauthentication no for Match User ro*, which may be for robot",
    ),
    (
        "printf 'Match Address *,!10.0.0.0/8\\n AuthenticationMethods password\\n' >{0}/90-m.conf",
        (ROBOT,),
        "which may be for robot, too",
    ),
    (
        "sed -i 's|^Include .*|Include {0}/00-pam_totp.conf|' /etc/ssh/machine_config",
        (ROBOT,),
        f"machine_config does not include {FILE}; everything is as it was",
    ),
    ("echo 'Match User alice' >{0}/00-pam_totp-key-only.conf", (ROBOT,), "not what totpctl wrote"),
    ("totpctl enable sudo", (ROBOT,), "sudo: not confirmed yet"),
    ("cp -r /home/robot/.ssh /root/; chown -R root /root/.ssh", ("root",), "needs a confirmation"),
]


@pytest.mark.parametrize(("before", "users", "problem"), thorough.some(REFUSED, 2))
def test_it_is_refused_without_a_trace(
    machine: Machine, alice: Account, key: str, before: str, users: tuple[str, ...], problem: str
) -> None:
    machine.give_key("alice")
    machine.run("sh", "-ec", before.format("/etc/ssh/sshd_config.d"))
    untouched = enabling.snapshot(machine)
    records = machine.run("totpctl", "list", "--json").stdout
    done = totpctl(machine, "exempt", *users, "--key-only")
    assert 1 == done.returncode, done.stderr
    assert problem in done.stderr
    assert untouched == enabling.snapshot(machine)
    assert records == machine.run("totpctl", "list", "--json").stdout


def test_administrators_are_let_in_with_a_warning_and_root_with_a_word(
    machine: Machine, key: str
) -> None:
    machine.run("usermod", "-aG", "sudo", ROBOT)
    done = totpctl(machine, "exempt", ROBOT, "--key-only", "--no-confirm")
    assert f"whoever has a key of {ROBOT} needs only the password to become root" in done.stderr
    machine.run("sh", "-c", f"cp -r /home/{ROBOT}/.ssh /root/; chown -R root:root /root/.ssh")
    done = totpctl(machine, "exempt", "root", "--key-only", "--no-confirm", "--yes")
    assert 0 == done.returncode, done.stderr
    assert "whoever has a key of root is root here" in done.stderr
    assert "welcome root" in machine.ssh("root", f"-i{key}", BATCH).rest()


# A directory to which upper and lower case are the same: a real module of NSS.
ANY_CASE = """
#define _GNU_SOURCE
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <strings.h>

#define LOOK_UP(question, entry, next, path, entry_name)                                       \\
    enum nss_status _nss_anycase_##question(const char *name, struct entry *result,            \\
                                            char *buffer, size_t size, int *error)             \\
    {                                                                                          \\
        struct entry *found;                                                                   \\
        FILE *file = fopen(path, "r");                                                         \\
        int is_there = 0;                                                                      \\
                                                                                               \\
        while (file && !is_there && next(file, result, buffer, size, &found) == 0)             \\
            is_there = strcasecmp(name, result->entry_name) == 0;                              \\
        if (file)                                                                              \\
            fclose(file);                                                                      \\
        *error = ENOENT;                                                                       \\
        return is_there ? NSS_STATUS_SUCCESS : NSS_STATUS_NOTFOUND;                            \\
    }
LOOK_UP(getpwnam_r, passwd, fgetpwent_r, "/etc/passwd", pw_name)
LOOK_UP(getspnam_r, spwd, fgetspent_r, "/etc/shadow", sp_namp)
"""


def install_a_directory_of_any_case(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "anycase.c").write_text(ANY_CASE, encoding="ascii")
    built = tmp_path / "libnss_anycase.so.2"
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-o", built, tmp_path / "anycase.c"]
    subprocess.run(command, check=True, timeout=60)
    install = "cat > /usr/lib/libnss_anycase.so.2; ldconfig"
    machine.run("sh", "-c", install, typed=built.read_bytes())
    names = "passwd: files anycase\nshadow: files anycase\ngroup: files\n"
    machine.write("/etc/nsswitch.any", names)


def test_an_account_that_has_another_name_for_the_directory_is_refused(
    machine: Machine, key: str, tmp_path: Path
) -> None:
    """sshd compares Match User with the name as it is typed: under another, PAM is asked."""
    install_a_directory_of_any_case(machine, tmp_path)
    machine.run("mv", "/etc/nsswitch.any", "/etc/nsswitch.conf")
    assert ROBOT in machine.run("getent", "passwd", "ROBOT").stdout
    untouched = enabling.snapshot(machine)
    done = totpctl(machine, "exempt", ROBOT, "--key-only", "--no-confirm", "--from", "127.0.0.9")
    asked = machine.ssh("ROBOT", f"-i{key}").expect_exact(["welcome robot", "Verification code: "])
    assert asked, "let in from an address that is not named"
    assert 1 == done.returncode
    assert f"this machine takes ROBOT for {ROBOT}, too, and sshd's Match does not" in done.stderr
    assert untouched == enabling.snapshot(machine)


DRIFTS = [
    (f"totpctl exempt {ROBOT} --remove; cp -a /tmp/kept {FILE}", f"but {ROBOT} is not exempt"),
    (f"sed -i 's/User {ROBOT}/User alice/' {FILE}", "but alice is not exempt"),
    (f"userdel {ROBOT}; useradd -u 4711 {ROBOT}", f"but {ROBOT} is not exempt"),
    (f"userdel {ROBOT}", f"but {ROBOT} is not exempt"),
    (f"sed -i 's/Methods publickey/Methods any/' {FILE}", "is not what totpctl wrote"),
    ("mv /etc/nsswitch.any /etc/nsswitch.conf", f"this machine takes ROBOT for {ROBOT}, too"),
    (
        "printf 'Match User *\\nAuthenticationMethods keyboard-interactive\\n'"
        " >/etc/ssh/sshd_config.d/00-first.conf",
        f"AuthenticationMethods keyboard-interactive is in force for {ROBOT}, not publickey: "
        "/etc/ssh/sshd_config.d/00-first.conf:2",
    ),
]


@pytest.mark.parametrize(("change", "problem"), thorough.some(DRIFTS, 2))
def test_doctor_finds_where_store_file_and_sshd_differ(
    machine: Machine, key: str, tmp_path: Path, change: str, problem: str
) -> None:
    exempt(machine)
    if "ROBOT" in problem:
        install_a_directory_of_any_case(machine, tmp_path)
    machine.run("sh", "-ec", f"cp -a {FILE} /tmp/kept; {change}")
    assert problem in found(machine)["sshd-key-only"]
    assert 6 == totpctl(machine, "doctor").returncode
    if "is not exempt" in problem:
        name = problem.split()[1]
        fix = totpctl(machine, "exempt", name, "--remove")
        assert 0 == fix.returncode, fix.stderr
        assert {} == found(machine)
