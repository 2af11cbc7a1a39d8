"""fleet demo: a fleet to try, which leaves the logins of the machine alone, and then all of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.person import App, Shell
from tests.docs.playing import without_network
from tests.support.machine import Machine
from tests.support.place import ROOT

pytestmark = pytest.mark.root

CONFIG = "/var/lib/pam_totp-demo/pam_totp.conf"
_STATE = "find /etc /var/lib/pam_totp* -xdev -type f -exec sha256sum {} + | sort -k2"


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        machine.install_product()
        machine.add_user("alice", "correct horse of alice")
        yield machine


def test_the_five_commands_of_the_page(machine: Machine) -> None:
    before = machine.run("sh", "-c", _STATE).stdout
    (block,) = (b for b in blocks_of(ROOT / "docs/howto/fleet.md") if "fleet demo" in b.text)
    root = Shell(machine, App(), "bash", "--noediting", "--norc", "-i")
    lines = block.text.splitlines()
    assert 5 == len(lines)
    for line in lines:
        ended = root.type(without_network(line))
        assert ended is not None, line
        assert 0 == ended.status, f"{line}: {ended.shown}"
    assert before == machine.run("sh", "-c", _STATE).stdout
    assert "postgres" not in machine.run("ps", "axo", "comm").stdout


def test_the_demo_starts_again_and_refuses_to_go_while_the_machine_uses_it(
    machine: Machine,
) -> None:
    machine.run("totpctl", "fleet", "demo", timeout=120)
    machine.run("sh", "-c", "kill $(head -1 /var/lib/pam_totp-demo/data/postmaster.pid)")
    machine.run("sh", "-c", "while pgrep -x postgres >/dev/null; do sleep 0.1; done")
    again = machine.run("totpctl", "fleet", "demo", timeout=120)
    assert "the demo runs" in again.stderr
    listed = machine.run("totpctl", "--config", CONFIG, "fleet", "list").stdout
    assert "demo" in listed
    line = machine.run("totpctl", "--config", CONFIG, "fleet", "add", "real").stdout
    machine.run("sh", "-c", line)
    refused = machine.run("totpctl", "fleet", "demo", "--remove", "--yes", check=False)
    assert 1 == refused.returncode
    assert "names the demo as this machine's store" in refused.stderr
