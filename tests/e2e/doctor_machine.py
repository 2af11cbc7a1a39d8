"""A machine on which sshd and sudo ask for a code, as doctor should find nothing wrong with."""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from admin_cli.doctor.examination import CHECKS
from admin_cli.doctor.finding import NOTE
from tests.e2e import attempts
from tests.support import shared
from tests.support.machine import Account, Machine

LIBRARY = "/usr/lib/pam_totp"
# Nobody enabled su, nothing runs as a service, and everything is on one disk.
PROGRAMS = ("totpctl", "chmod", "chown", "rm", "mount", "systemctl")
ALWAYS = ("other-logins", "service-off", "store-shared")
SHIM = "/tmp/kernel_clock.so"
KEPT = (
    *("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"),
    *("/home/alice", "/etc/pam.d", "/etc/ssh", "/etc/security", "/var/lib/pam_totp", SHIM),
)
# One try is as good as three that are given the same.
_FURNISH = """
rm -f /etc/ssh/sshd_config.d/[!0]*; install -d /run/sshd
echo 'Defaults passwd_tries=1' >>/etc/sudoers
"""
# What the kernel says of its clock is that of the machine that runs the tests. The machine's own
# clock is as many seconds behind as CLOCK_BEHIND has bytes: the shim is preloaded everywhere then.
CLOCK_BEHIND = "/etc/clock-is-behind"
_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
static time_t behind(void)
{
    struct stat file;
    return stat(CLOCK_BEHIND, &file) == 0 ? file.st_size : 0;
}
int clock_gettime(clockid_t clock, struct timespec *now)
{
    int (*next)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = next(clock, now);
    if (clock == CLOCK_REALTIME)
        now->tv_sec -= behind();
    return result;
}
time_t time(time_t *now)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now)
        *now = precise.tv_sec;
    return precise.tv_sec;
}
int adjtimex(struct timex *timex)
{
    timex->status = getenv("UNSYNCHRONISED") ? STA_UNSYNC : 0;
    return 0;
}
"""


# What an administrator wants: somebody gets in without a code, and doctor notes it.
ON_PURPOSE = {
    *("nothing-enabled", "sshd-keys-skip", "skipped-administrators", "unenrolled-skip"),
    "sudo-other-code",  # the password is another user's too
    "sudo-prompt",  # the code is not given where a password is asked for
    "recovery-codes",  # attempts.py uses them up
}


# Findings whose command needs what a test has not: a network, a terminal, a disk, real units.
NOT_TRIED = {
    *(
        "pam-python",
        "worker",
        "sudoers",
        "store-volume",
        "service",
        "service-at-boot",
        "name-service",
        "socket-mode",
    ),
    *("trial", "key-rotation"),
    "sshd-keys-skip",  # until that is confirmed
}


class Clean(NamedTuple):
    """What there is on a clean machine, to be unpacked on one after the other."""

    files: bytes  # a tar archive
    alice: Account


class Doctored(Machine):
    """A machine with sshd, sudo and alice, who is enrolled and may use sudo."""

    alice: Account

    def run(
        self, *argv: object, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a program; totpctl with the shim, and so mostly in a fork of what has loaded it."""
        if env is None and argv[0] == "totpctl":
            env = {"LD_PRELOAD": SHIM}
        return super().run(*argv, env=env, **options)


def prepare() -> Clean:
    with Machine(installed=True) as machine:
        machine.run("totpctl", "init")
        alice = machine.enrol("alice")
        machine.run("ssh-keygen", "-A")
        machine.write("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n")
        machine.run("sh", "-c", "rm -f /etc/ssh/sshd_config.d/*")
        machine.write("/etc/pam.d/sshd", "@include common-auth\n@include common-account\n")
        for service in ("sudo", "sudo-i"):
            machine.write(f"/etc/pam.d/{service}", "@include common-auth\n")
        machine.run("totpctl", "enable", "sshd", "sudo", "--no-confirm")
        machine.run("sh", "-c", f"base64 --decode >{SHIM}", typed=shim())
        pack = 'tar --create "$@" | base64 --wrap=0'
        packed = machine.run("sh", "-c", pack, "sh", "--absolute-names", *KEPT).stdout
    return Clean(base64.b64decode(packed), alice)


@contextmanager
def clean_machine(clean: Clean) -> Iterator[Doctored]:
    with Doctored(installed=True, preload=(_shim_outside(), SHIM)) as machine:
        machine.alice = clean.alice
        machine.unpack(clean.files, then=_FURNISH)
        yield machine


def doctor(machine: Machine, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"LD_PRELOAD": SHIM, **environment}
    return machine.run("totpctl", "doctor", *options, env=env, check=False)


def findings(machine: Machine, **environment: str) -> list[dict[str, Any]]:
    """Return what doctor finds, after seeing that its exit code says the same."""
    done = doctor(machine, "--json", **environment)
    document = json.loads(done.stdout)
    wrong = [finding for finding in document["findings"] if finding["level"] == "wrong"]
    assert (6 if wrong else 0) == done.returncode, done
    assert len(wrong) == document["wrong"]
    found: list[dict[str, Any]] = document["findings"]
    return found


def assert_found(
    machine: Doctored,
    names: str,
    script: str,
    problem: str,
    logins: attempts.Outcome | None = attempts.FINE,
    **env: str,
) -> None:
    """Run ``script`` and see that doctor finds ``names``, in one of them ``problem``, and no more.

    Each finding has all of its texts, and each is a line. Where nothing is wrong, somebody logs in
    by every way, with ``logins``: None where that was tried already.
    """
    machine.run("sh", "-ec", script)
    found = [f for f in findings(machine, **env) if f["check"] not in ALWAYS]
    assert {*names.split()} == {finding["check"] for finding in found}, found
    assert any(problem in finding["problem"] for finding in found) or not names, found
    levels = {check.name: check.level for check in CHECKS}
    for finding in found:
        assert levels[finding["check"]] == finding["level"]
        assert all(text and text.isprintable() for text in finding.values())
    on_purpose = ON_PURPOSE & {*names.split()}
    if logins is not None and not on_purpose and all(f["level"] == NOTE for f in found):
        assert logins == attempts.try_all(machine, machine.alice), found
    assert_fixed(machine, found, **env)


def assert_fixed(machine: Doctored, found: list[dict[str, Any]], **env: str) -> None:
    """Do what doctor says where that is commands alone, and see that the finding is gone.

    A fix that does not fix has sent people looking elsewhere, and locked some out. What two
    findings propose alike is done once.
    """
    done: set[str] = set()
    for finding in found:
        commands = commands_of(finding["fix"])
        if finding["check"] in NOT_TRIED or not commands:
            continue
        for command in (command for command in commands if command not in done):
            run_fix(machine, command)
        done.update(commands)
        left = [(f["check"], f["problem"]) for f in findings(machine, **env)]
        assert (finding["check"], finding["problem"]) not in left, finding


def run_fix(machine: Machine, command: str) -> None:
    """Run it as typed; totpctl alone needs no shell, and so is a fork of what is loaded."""
    if command.startswith("totpctl "):
        machine.run(*shlex.split(command))
    else:
        machine.run("sh", "-c", command)


def commands_of(fix: str) -> list[str]:
    """Return the commands of ``run: ONE; ANOTHER; then run: THIRD``, [] if it has other steps.

    What comes after the first other word than a command's is advice: ``then read it``.
    """
    commands = []
    for step in fix.split("; "):
        command = step.removeprefix("then run: ").removeprefix("run: ")
        is_one_more = bool(commands) and command.split()[0] in PROGRAMS
        is_command = command != step or is_one_more
        if not is_command or "USER" in command:
            break
        commands.append(command)
    return [re.sub(r"^passwd (\S+)", r"echo \1:new | chpasswd", as_typed(c)) for c in commands]


def as_typed(command: str) -> str:
    """Answer beforehand what a person answers at a terminal."""
    if command.startswith("totpctl enroll"):
        return f"{command} --no-confirm --json"
    if command.startswith("totpctl recovery-codes"):
        return f"{command} --yes --json"
    return command


def secret_of(shown: dict[str, Any]) -> bytes:
    """Return the secret in what ``totpctl enroll --json`` prints."""
    return base64.b32decode(shown["secret"])


def our_python(script: str) -> str:
    """Return a shell command that runs ``script`` with the installed modules."""
    words = ["/usr/bin/python3", "-c", f"import sys; sys.path.insert(0, {LIBRARY!r})\n{script}"]
    return shlex.join(words)


@functools.cache
def shim() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "clock.c"), Path(folder, "clock.so")
        source.write_text(_CLOCK, encoding="ascii")
        define = f'-DCLOCK_BEHIND="{CLOCK_BEHIND}"'
        command = ["cc", "-shared", "-fPIC", define, "-o", library, source]
        subprocess.run(command, check=True)
        return base64.b64encode(library.read_bytes())


@functools.cache
def _shim_outside() -> Path:
    """Write it to a file of this machine, for what machines are started by."""
    path = shared.folder() / f"kernel_clock.{os.getpid()}.so"
    path.write_bytes(base64.b64decode(shim()))
    return path
