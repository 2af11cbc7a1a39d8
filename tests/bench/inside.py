"""The measurements, run inside a throw-away copy of the machine; prints them as JSON."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from pam_totp.service import program
from tests.support.native import build_module

from . import load, logins, peers, transactions
from .memory import private_kib
from .people import FOLDER, add_people, read_the_log
from .rounds import rounds

SOURCES = Path(__file__).parent
NOWHERE = "/run/pam_totp/nobody.sock"  # where the module that starts its own workers looks

MEMORY_ROUNDS = rounds(5)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    read_the_log()
    add_people()
    for name in ("transactions", "clients", "syncs"):
        source, program = str(SOURCES / f"{name}.c"), str(FOLDER / name)
        command = ["cc", "-O2", "-Wall", "-Wextra", "-o", program, source, "-lpam", "-pthread"]
        subprocess.run(command, check=True)
    service = start_service()
    without_service = build_module(f'-DPAM_TOTP_SOCKET="{NOWHERE}"')
    bare, password = peers.nothing(), peers.password_only()
    hook = peers.one_line_hook()
    modules: list[peers.Peer] = [
        peers.Ours(peers.SERVICE, "pam_totp.so"),
        peers.Ours(peers.SPAWNED, str(without_service)),
        peers.Ours(peers.PAM_PYTHON, f"pam_python.so {peers.HOOK}"),
        peers.google_authenticator(),
        peers.Oath(),
    ]
    loaded = peers.Ours("", "pam_totp.so")
    report = {
        "service": {"fresh": private_kib(service.pid)},
        "loops": transactions.loops([bare, hook, *modules]),
        "pamtesters": transactions.pamtesters([bare, hook, *modules]),
        "scale": transactions.scale(),
        "throughput": load.throughput(loaded),
        "pending": load.pending(loaded, service.pid),
    }
    logins.start_sshd()
    report["ssh"] = logins.ssh_logins([password, *modules])
    found = [
        {peer.name: logins.pending_memory(peer) for peer in (password, hook, *modules)}
        for _ in range(MEMORY_ROUNDS)
    ]
    report["memory"] = {name: statistics.median(kib[name] for kib in found) for name in found[0]}
    json.dump(report, sys.stdout)


def start_service() -> subprocess.Popen[bytes]:
    """Start it as its unit does, with systemd's listening socket replaced by its own."""
    service = subprocess.Popen(
        ["/usr/lib/pam_totp/worker", "--listen"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MALLOC_ARENA_MAX": "2"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not Path(program.SOCKET).exists():
        assert service.poll() is None, "the service did not start"
        time.sleep(0.01)
    time.sleep(0.2)
    return service


if __name__ == "__main__":
    main()
