"""A directory that hangs for 35 seconds in whatever asks it for groups: a real module of NSS."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.support import hosts
from tests.support.logs import fields
from tests.support.machine import Account, Machine, Terminal

pytestmark = pytest.mark.root

LINES = "auth required pam_totp.so\n"
CODE = "Verification code: "
# It hangs in every process but those that start the programs of a test, which need groups as well.
HANG = """
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void hang(void)
{
    char name[16] = "";
    FILE *comm = fopen("/proc/self/comm", "r");

    if (comm && fgets(name, sizeof name, comm) && strcmp(name, "python3\\n") != 0)
        sleep(35);
    if (comm)
        fclose(comm);
}

enum nss_status _nss_hang_initgroups_dyn(const char *user, gid_t group, long *start, long *size,
                                         gid_t **groups, long limit, int *error)
{
    (void)user, (void)group, (void)start, (void)size, (void)groups, (void)limit;
    hang();
    *error = ENOENT;
    return NSS_STATUS_UNAVAIL;
}

enum nss_status _nss_hang_getpwnam_r(const char *name, struct passwd *result, char *buffer,
                                     size_t size, int *error)
{
    (void)name, (void)result, (void)buffer, (void)size;
    hang();
    *error = ENOENT;
    return NSS_STATUS_UNAVAIL;
}

enum nss_status _nss_hang_setpwent(int stay)
{
    (void)stay;
    hang();
    return NSS_STATUS_UNAVAIL;
}

enum nss_status _nss_hang_getpwent_r(struct passwd *result, char *buffer, size_t size, int *error)
{
    (void)result, (void)buffer, (void)size;
    *error = ENOENT;
    return NSS_STATUS_NOTFOUND;
}

enum nss_status _nss_hang_getgrnam_r(const char *name, struct group *result, char *buffer,
                                     size_t size, int *error)
{
    (void)name, (void)result, (void)buffer, (void)size;
    hang();
    *error = ENOENT;
    return NSS_STATUS_UNAVAIL;
}
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("nss")
    (folder / "hang.c").write_text(HANG, encoding="ascii")
    built = folder / "libnss_hang.so.2"
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-o", built, folder / "hang.c"]
    subprocess.run(command, check=True, timeout=60)
    return built.read_bytes()


@pytest.fixture
def hung(machine: Machine, library: bytes) -> Machine:
    """The machine: every group that is not in /etc/group is the business of a dead server."""
    machine.add_user("robot", "password of robot", "--groups", "daemon")
    machine.run("sh", "-c", "cat > /usr/lib/libnss_hang.so.2; ldconfig", typed=library)
    machine.write("/etc/nsswitch.conf", "passwd: files\nshadow: files\ngroup: files hang\n")
    machine.write("/etc/pam.d/door", LINES.replace("pam_totp.so", machine.pam_module))
    return machine


def knock(machine: Machine, user: str) -> Terminal:
    return machine.spawn("pamtester", "door", user, "authenticate")


def getents(machine: Machine) -> str:
    return machine.run("pgrep", "-x", "getent", check=False).stdout


def rule(machine: Machine, *arguments: str) -> None:
    """Make a rule while the directory still answers."""
    group = "s/^group: .*/group: files"
    machine.run("sed", "-i", f"{group}/", "/etc/nsswitch.conf")
    machine.run("totpctl", *arguments)
    machine.run("sed", "-i", f"{group} hang/", "/etc/nsswitch.conf")


def test_an_enrolled_administrator_of_the_machine_is_asked_and_let_in(
    hung: Machine, alice: Account
) -> None:
    """Exempt robots, required staff: neither says whether alice, who is in none, must give one."""
    rule(hung, "exempt", "--group", "daemon")
    rule(hung, "require", "--group", "adm")
    begin = time.monotonic()
    terminal = knock(hung, "alice")
    terminal.answer(CODE, alice.code())
    assert "successfully authenticated" in terminal.rest()
    assert time.monotonic() - begin < 30
    assert "" == getents(hung)
    line = fields(hung.log.wait_for(":auth)", "event=error"))
    assert "the directory did not name the user's groups within 5 s" == line["reason"]
    # A robot that may be in adm, for all that anybody knows, is asked as well.
    knock(hung, "robot").expect_exact(CODE)


@pytest.mark.serial
def test_whom_the_file_exempts_does_not_wait_for_a_directory(hung: Machine) -> None:
    rule(hung, "exempt", "--group", "daemon")
    begin = time.monotonic()
    assert CODE not in knock(hung, "robot").rest()
    assert time.monotonic() - begin < 4
    line = fields(hung.log.wait_for(":auth)", "event=skipped"))
    assert ("robot", "daemon") == (line["user"], line["group"])


@pytest.mark.parametrize("host", [hosts.SPAWNED])
def test_administrators_are_told_and_do_not_wait_for_each_person(hung: Machine) -> None:
    """Neither for groups nor for accounts, which both hang here, and each answer for 35 s."""
    rule(hung, "exempt", "--group", "daemon")
    hung.write("/etc/pam.d/sudo", "@include common-auth\n" + LINES + "@include common-account\n")
    hung.run("sed", "-i", "s/^passwd: .*/passwd: files hang/", "/etc/nsswitch.conf")
    begin = time.monotonic()
    done = hung.run("totpctl", "doctor", check=False)
    assert (6, True) == (done.returncode, "[directory]" in done.stdout), done.stdout
    assert "WRONG  the directory does not answer in time: only local users and" in done.stdout
    assert "no such" not in done.stdout
    done = hung.run("totpctl", "status")
    assert "the directory does not answer in time" in done.stderr
    done = hung.run("totpctl", "enable", "su", "--dry-run", check=False)
    assert "the directory does not answer in time" in done.stdout + done.stderr
    assert time.monotonic() - begin < 90
    assert "" == getents(hung)
