"""A file system that is frozen, as for a snapshot, and a name service that hangs: the real ones."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import loop, thorough
from tests.support.machine import Account, Machine, Terminal
from tests.support.place import code_now

pytestmark = pytest.mark.root

SOCKET = "/run/pam_totp/pam_totp.sock"
CONFIG = "/etc/security/frozen.conf"
CODE = "Verification code: "
SECONDS = 10.0 if thorough.NIGHTLY else 1.5

# Only for the service: programs of the test look people up, too.
_NSS = """
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum nss_status _nss_slow_getpwnam_r(const char *name, struct passwd *result, char *buffer,
                                     size_t size, int *error)
{
    char comm[16] = "";
    FILE *file = fopen("/proc/self/comm", "r");

    (void)result, (void)buffer, (void)size;
    if (file && fgets(comm, sizeof comm, file) && strcmp(comm, "pam_totp\\n") == 0
        && strncmp(name, "far", 3) == 0)
        sleep(60);
    if (file)
        fclose(file);
    *error = ENOENT;
    return NSS_STATUS_NOTFOUND;
}
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        machine.install_product()
        start_service(machine)
        machine.write("/etc/pam.d/door", "auth required pam_totp.so\n")
        machine.write(
            "/etc/pam.d/frozen", f"auth required pam_totp.so config={CONFIG} attempts=1\n"
        )
        yield machine


def start_service(machine: Machine) -> None:
    start = f"/usr/lib/pam_totp/worker --listen {SOCKET} & "
    wait = f"while ! [ -S {SOCKET} ]; do sleep 0.01; done"
    machine.run("sh", "-c", f"({start}) </dev/null >/dev/null 2>&1; {wait}")


@pytest.fixture(scope="module")
def alice(machine: Machine) -> Account:
    return machine.enrol("alice")


@contextmanager
def frozen(machine: Machine) -> Iterator[None]:
    machine.run("fsfreeze", "--freeze", "/mnt")
    try:
        yield
    finally:
        machine.run("fsfreeze", "--unfreeze", "/mnt")


def knock(machine: Machine, service: str, user: str) -> Terminal:
    return machine.spawn("pamtester", service, user, "authenticate")


def logs_in(machine: Machine, service: str, user: str, code: str) -> bool:
    terminal = knock(machine, service, user)
    terminal.answer(CODE, code)
    return "successfully authenticated" in terminal.rest()


def test_a_frozen_file_system_holds_up_those_alone_whose_store_is_there(
    machine: Machine, alice: Account
) -> None:
    loop.mount(machine, "32M", "mkfs.ext4", "-q")
    store = "store = /mnt/store/store.db\nsealing_key = /etc/security/pam_totp.key\n"
    machine.write(CONFIG, store)
    machine.run("totpctl", "--config", CONFIG, "init")
    for name in ("bob", "carol"):
        machine.add_user(name, f"password of {name}")
    code = {}
    for name in ("bob", "carol"):
        enroll = ("--config", CONFIG, "enroll", name, "--json", "--no-confirm")
        shown = json.loads(machine.run("totpctl", *enroll).stdout)
        code[name] = code_now(secret=base64.b32decode(shown["secret"]))
    waiting = {name: knock(machine, "frozen", name) for name in code}
    for terminal in waiting.values():
        terminal.expect_exact(CODE)
    with frozen(machine):
        for name, terminal in waiting.items():
            terminal.sendline(code[name])
        machine.log.wait_for("pam_totp(worker): event=error", "a disk is slow")
        assert logs_in(machine, "door", "alice", alice.code())
        time.sleep(SECONDS)
        assert logs_in(machine, "door", "alice", alice.code(1))
    for name, terminal in waiting.items():
        assert "successfully authenticated" in terminal.rest()
        assert not logs_in(machine, "frozen", name, code[name])


def test_a_name_service_that_hangs_delays_nobody_else(
    machine: Machine, alice: Account, tmp_path: Path
) -> None:
    (tmp_path / "slow.c").write_text(_NSS, encoding="ascii")
    built = tmp_path / "libnss_slow.so.2"
    command = ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", built, tmp_path / "slow.c"]
    subprocess.run(command, check=True, timeout=60)
    install = "cat > /usr/lib/libnss_slow.so.2; ldconfig"
    machine.run("sh", "-c", install, typed=built.read_bytes())
    machine.write("/etc/nsswitch.conf", "passwd: files slow\nshadow: files\ngroup: files\n")
    machine.run("pkill", "-f", f"worker --listen {SOCKET}")
    machine.run("sh", "-c", f"while [ -S {SOCKET} ]; do sleep 0.01; done")
    start_service(machine)
    machine.run("totpctl", "unlock", "alice")
    begun = time.monotonic()
    for number in range(5):
        knock(machine, "door", f"far{number}")
    begins = knock(machine, "door", "alice")
    begins.answer(CODE, alice.wrong_code())
    begins.expect_exact(CODE)
    assert time.monotonic() - begun < 60
