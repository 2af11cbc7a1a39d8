"""docs/howto/fleet.md and fleet-pooler.md, typed on a database server and three hosts.

Each of the four is a throw-away machine. "On `web1`" and the like, above a block, say where it is
typed; and with the one entry of her phone, alice logs in on all three by a real sshd.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks_of
from tests.docs.person import PASSWORD, App, Shell
from tests.docs.playing import with_other_numbers, without_network
from tests.e2e.ssh import CODE, DENIED, set_up
from tests.e2e.ssh import PASSWORD as ASKS_PASSWORD
from tests.support import fleet_network
from tests.support.machine import Machine
from tests.support.place import ROOT

pytestmark = pytest.mark.root

HOSTS = ("web1", "web2", "web3")
DATABASE_SERVER = "db.example"
PORT, POOLER_PORT = 5432, 6432
_MACHINES = re.compile(r"`(db\.example|web[123])`")
# What Debian's package does when it is installed on a machine that has none.
_AS_INSTALLED = """
rm -rf /etc/postgresql/*/main /var/lib/postgresql/*/main
pg_createcluster $(ls /usr/lib/postgresql | tail -1) main --start
"""
_TOKEN = re.compile(r"printf %s '([\w=-]+)'")


class Fleet:
    """The machines, a root shell on each, and alice's phone."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        self.machines = machines
        self.app = App()
        self.shells = {
            name: Shell(machine, self.app, "bash", "--noediting", "--norc", "-i")
            for name, machine in machines.items()
        }
        self._at = DATABASE_SERVER
        self._shown = ""
        self._token = ""

    def play(self, block: Block) -> None:
        """Type a block where its page says, or find what it shows."""
        named = _MACHINES.findall(block.above)
        if block.kind == "sh" and named:
            self._at = named[-1]
        if block.kind == "sh":
            self._shown = "".join(self.type(line, block) for line in block.text.splitlines())
            self._token = "".join(_TOKEN.findall(self._shown)) or self._token
        elif block.kind == "text":
            for line in block.text.splitlines():
                assert re.search(with_other_numbers(line), self._shown), f"{block}: {line}"
        elif block.kind == "ini":
            (path,) = block.files()
            self.machines[DATABASE_SERVER].write(path, block.text)

    def type(self, line: str, block: Block) -> str:
        ended = self.shells[self._at].type(without_network(line.replace("TOKEN", self._token)))
        assert ended is not None, f"{block}: {line}"
        assert 0 == ended.status, f"{block}: {line}\n{ended.shown}"
        return ended.shown

    def log_in(self, host: str, code: str) -> str:
        """Log in as alice; return what she sees after the code."""
        client = self.machines[host].ssh("alice", "-oNumberOfPasswordPrompts=1")
        client.answer(ASKS_PASSWORD, PASSWORD)
        client.answer(CODE, code)
        at = client.expect_exact(["welcome alice", "Wrong code", "already used", CODE, DENIED])
        shown = str(client.before + client.after)
        client.close()
        return shown if at else "welcome"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder: Path = tmp_path_factory.mktemp("network")
    with fleet_network.machines((DATABASE_SERVER, *HOSTS), folder) as machines:
        server = machines[DATABASE_SERVER]
        server.run("sh", "-c", _AS_INSTALLED)
        for port in (PORT, POOLER_PORT):
            fleet_network.serve(server, port)
        for name in HOSTS:
            machine = machines[name]
            machine.run("hostname", name)
            machine.install_product()
            machine.add_user("alice", PASSWORD, "--groups", "sudo")
            set_up(machine, "password-and-code")
            for port in (PORT, POOLER_PORT):
                fleet_network.reach(machine, DATABASE_SERVER, port)
        yield Fleet(machines)


def play(fleet: Fleet, page: str, first: str = "", last: str = "") -> None:
    """Type the blocks of ``page``: from the one that has ``first`` up to that with ``last``."""
    is_on = not first
    for block in blocks_of(ROOT / page):
        is_on = is_on or first in block.text
        if is_on and block.not_run is None:
            fleet.play(block)
        if last and last in block.text:
            return
    assert not last, f"{page} has no block with {last}"


def test_from_three_machines_to_one_entry_in_a_phone(fleet: Fleet) -> None:
    page = "docs/howto/fleet.md"
    db, web1 = fleet.machines[DATABASE_SERVER], fleet.machines["web1"]
    blocks = [block for block in blocks_of(ROOT / page) if block.not_run is None]
    for block in blocks:
        if "fleet init" in block.text:
            web1.write("/root/fleet-ca.pem", db.read("/root/fleet-ca.pem"))
        fleet.play(block)
        if "totpctl enroll alice" in block.text:
            one_entry_for_all_three(fleet)


def one_entry_for_all_three(fleet: Fleet) -> None:
    for host in HOSTS:
        assert "welcome" == fleet.log_in(host, fleet.app.code())
