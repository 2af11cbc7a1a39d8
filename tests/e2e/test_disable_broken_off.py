"""What disable cannot finish keeps nobody out who has a key, and the next run finishes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Prepared
from tests.support import enabling
from tests.support.enabling import totpctl
from tests.support.machine import Account, Machine

pytestmark = pytest.mark.root

SERVER_CONFIG = "/etc/ssh/machine_config"  # of the sshd that runs
STATE = "/var/lib/pam_totp"


@pytest.fixture
def machine(prepared: Prepared) -> Iterator[Machine]:
    with enabling.before_enable(prepared.files) as started:
        yield started


@pytest.fixture
def key(machine: Machine, alice: Account) -> str:
    return f"-i{machine.give_key(alice.name)}"


def is_let_in_by(machine: Machine, key: str) -> bool:
    """Tell whether the key alone is enough, as before enable."""
    client = machine.ssh("alice", key, "-oNumberOfPasswordPrompts=0")
    return "welcome alice" in client.rest()


def test_store_that_takes_nothing_keeps_nobody_out(machine: Machine, key: str) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", "--no-confirm").returncode
    assert not is_let_in_by(machine, key)
    machine.run("mount", "--bind", STATE, STATE)
    machine.run("mount", "-o", "remount,bind,ro", STATE)
    done = totpctl(machine, "disable", "sshd")
    assert (1, True) == (done.returncode, "Read-only file system" in done.stderr)
    assert is_let_in_by(machine, key)
    machine.run("umount", STATE)
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert "{}" == machine.read(f"{STATE}/enabled.json").strip()


@pytest.mark.parametrize("how", ["--no-confirm", "--confirm-within=1h"])
def test_sshd_that_could_not_be_told_is_told_by_the_next_run(
    machine: Machine, alice: Account, key: str, how: str
) -> None:
    assert 0 == totpctl(machine, "enable", "sshd", how).returncode
    machine.run("sh", "-c", f"echo Bogus yes >>{SERVER_CONFIG}")
    for _ in range(2):
        done = totpctl(machine, "disable", "sshd")
        assert (1, True) == (done.returncode, "Bogus" in done.stderr)
        # By its settings of before, sshd still sends key logins on to PAM.
        machine.ssh("alice", key, "-oNumberOfPasswordPrompts=1").expect("welcome alice")
        assert "welcome alice" in enabling.ssh_with_password(machine, alice)
    machine.run("sed", "-i", "/Bogus/d", SERVER_CONFIG)
    assert 0 == totpctl(machine, "disable", "sshd").returncode
    assert is_let_in_by(machine, key)
    assert "pam_totp" not in machine.read("/etc/pam.d/sshd")
    assert [] == enabling.left_over(machine)
