"""docs/howto/fleet.md and fleet-pooler.md, typed on a database server and three hosts.

Each of the four is a throw-away machine. "On `web1`" and the like, above a block, say where it is
typed; and with the one entry of her phone, alice logs in on all three by a real sshd.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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
WELCOME, WRONG, USED = "welcome", "Wrong code", "already been used"
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
        """Log in as alice; return WELCOME, or what she sees instead."""
        client = self.machines[host].ssh("alice", "-oNumberOfPasswordPrompts=1")
        client.answer(ASKS_PASSWORD, PASSWORD)
        if client.expect_exact([CODE, DENIED]) == 0:
            client.sendline(code)
            client.expect_exact(["welcome alice", CODE, DENIED])
        shown = f"{client.before}{client.after}"
        client.close()
        return WELCOME if "welcome alice" in shown else shown


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


def play(fleet: Fleet, page: str, after: dict[str, Callable[[Fleet], None]]) -> None:
    """Type the blocks of ``page``; after the one that has the words of a key, look at the fleet."""
    happened = set()
    for block in blocks_of(ROOT / page):
        if block.not_run is None:
            fleet.play(block)
            for words in after.keys() - happened:
                if words in block.text:
                    happened.add(words)
                    after[words](fleet)
    assert happened == set(after), "a block is gone"


def test_from_three_machines_to_one_entry_in_a_phone_and_a_pooler(fleet: Fleet) -> None:
    play(
        fleet,
        "docs/howto/fleet.md",
        {
            "createdb": the_certificate_is_copied,
            "totpctl enroll alice": one_entry_for_all_three,
            "fleet import --yes": one_reset_for_all_three,
            "fleet allow": not_on_a_host_of_another_group,
            "fleet remove": a_host_that_was_removed_lets_nobody_in,
            "fleet prune": alice_has_a_new_phone,  # the last secret that was shown is rescue's
            "fleet after-restore": no_code_that_was_shown_is_good,
        },
    )
    play(fleet, "docs/howto/fleet-pooler.md", {"fleet add web4 --url": web2_uses_the_pooler})


def the_certificate_is_copied(fleet: Fleet) -> None:
    path = "/root/fleet-ca.pem"
    fleet.machines["web1"].write(path, fleet.machines[DATABASE_SERVER].read(path))


def one_entry_for_all_three(fleet: Fleet) -> None:
    code = fleet.app.code()
    assert WELCOME == fleet.log_in("web1", code)
    assert USED in fleet.log_in("web2", code)
    assert USED in fleet.log_in("web3", code)


def one_reset_for_all_three(fleet: Fleet) -> None:
    before = fleet.app.shown_now()
    alice_has_a_new_phone(fleet)
    assert WRONG in fleet.log_in("web2", before)
    assert WELCOME == fleet.log_in("web3", fleet.app.code())


def not_on_a_host_of_another_group(fleet: Fleet) -> None:
    code = fleet.app.code()
    assert WRONG in fleet.log_in("web3", code)
    assert WELCOME == fleet.log_in("web2", code)


def a_host_that_was_removed_lets_nobody_in(fleet: Fleet) -> None:
    fleet.shells["web1"].type("totpctl fleet allow alice --everywhere")
    assert "cannot be checked" in fleet.log_in("web3", fleet.app.shown_now())
    fleet.machines["web3"].log.wait_for("event=error", "not joined the fleet, or it was removed")


def alice_has_a_new_phone(fleet: Fleet) -> None:
    fleet.shells["web1"].type("totpctl reset alice --yes")


def no_code_that_was_shown_is_good(fleet: Fleet) -> None:
    assert USED in fleet.log_in("web2", fleet.app.shown_now())


def web2_uses_the_pooler(fleet: Fleet) -> None:
    edit = rf"s/db\.example\/pam_totp/db.example:{POOLER_PORT}\/pam_totp/"
    fleet.machines["web2"].run("sed", "-i", edit, "/etc/security/pam_totp.conf")
    alice_has_a_new_phone(fleet)
    assert WELCOME == fleet.log_in("web2", fleet.app.code())
