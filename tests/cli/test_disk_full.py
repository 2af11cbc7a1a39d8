"""A disk without room: what was stays, and the fix is named."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest

from tests.support.machine import Machine

STORE = "/var/lib/pam_totp"


@pytest.fixture
def small(machine: Machine) -> Machine:
    """A machine whose store has a disk of its own, with room for a user, and one enrolled."""
    machine.run("mkdir", "-m", "0700", STORE)
    machine.run("mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "tmpfs", STORE)
    machine.install_product()
    machine.run("totpctl", "enroll", "root", "--no-confirm")
    return machine


def fill(machine: Machine) -> None:
    """After another program has closed the store last: without a log, changes need room."""
    machine.run("rm", "-f", f"{STORE}/store.db-wal", f"{STORE}/store.db-shm")
    machine.run("dd", "if=/dev/zero", f"of={STORE}/filling", "bs=1k", check=False)


def totpctl(machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
    return machine.run("totpctl", *arguments, check=False)


@pytest.mark.root
@pytest.mark.parametrize(
    "arguments",
    [
        ("enroll", "daemon", "--no-confirm", "--json"),
        ("enroll", "root", "--no-confirm", "--json", "--label", "tablet"),
        ("reset", "root", "--yes", "--no-confirm", "--json"),
        ("recovery-codes", "root", "--yes", "--json"),
    ],
    ids=" ".join,
)
def test_nothing_is_kept_and_nothing_is_issued(small: Machine, arguments: tuple[str, ...]) -> None:
    before = json.loads(totpctl(small, "list", "--json").stdout)
    fill(small)
    done = totpctl(small, *arguments)
    assert (5, "") == (done.returncode, done.stdout)
    error, hint = done.stderr.splitlines()
    assert error.startswith(f"totpctl: error: {STORE}/store.db: ")
    assert f"df -h {STORE}" in hint
    assert hint.startswith("hint: ")
    small.run("rm", f"{STORE}/filling")
    assert before == json.loads(totpctl(small, "list", "--json").stdout)
    assert 0 == totpctl(small, "init").returncode


@pytest.mark.root
def test_once_there_is_room_the_same_command_works(small: Machine) -> None:
    fill(small)
    assert 5 == totpctl(small, "enroll", "daemon", "--no-confirm").returncode
    small.run("rm", f"{STORE}/filling")
    document = json.loads(totpctl(small, "enroll", "daemon", "--no-confirm", "--json").stdout)
    assert 20 == len(base64.b32decode(document["secret"]))


@pytest.mark.root
def test_an_init_without_room_for_the_store_can_be_run_again(machine: Machine) -> None:
    machine.install_product()
    machine.run("rm", "-rf", STORE, "/etc/security/pam_totp.key")
    machine.run("mkdir", "-m", "0700", STORE)
    machine.run("mount", "-t", "tmpfs", "-o", "size=8k,mode=0700", "tmpfs", STORE)
    done = totpctl(machine, "init")
    assert 5 == done.returncode
    assert f"df -h {STORE}" in done.stderr
    machine.run("mount", "-o", "remount,size=1m", STORE)
    assert 0 == totpctl(machine, "init").returncode
    assert "[]\n" == totpctl(machine, "list", "--json").stdout


@pytest.mark.root
def test_an_export_without_room_leaves_no_file(machine: Machine) -> None:
    machine.install_product()
    machine.run("totpctl", "enroll", "root", "--no-confirm")
    machine.run("mkdir", "/out")
    machine.run("mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", "/out")
    machine.run("dd", "if=/dev/zero", "of=/out/filling", "bs=1k", check=False)
    machine.run("sh", "-c", "echo six words that nobody would guess >/root/passphrase")
    export = ("export", "root", "--output", "/out/root", "--passphrase-file", "/root/passphrase")
    done = totpctl(machine, *export)
    assert (1, "") == (done.returncode, done.stdout)
    problem = "cannot write /out/root: No space left on device; nothing was exported"
    assert done.stderr.startswith(f"totpctl: error: {problem}\nhint: ")
    assert "df -h /out" in done.stderr
    assert "filling\n" == machine.run("ls", "-A", "/out").stdout
    machine.run("rm", "/out/filling")
    assert 0 == totpctl(machine, *export).returncode
    assert "600 1\n" == machine.run("stat", "-c", "%a %h", "/out/root").stdout
