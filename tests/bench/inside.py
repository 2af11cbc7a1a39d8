"""The measurements, run inside a throw-away copy of the machine; prints them as JSON."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pam_totp.service import program
from tests.support.native import build_module

from . import distance, enrolling, judging, load, logins, peers, transactions
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
    for name in ("transactions", "together", "clients", "syncs"):
        source, program = str(SOURCES / f"{name}.c"), str(FOLDER / name)
        command = ["cc", "-O2", "-Wall", "-Wextra", "-o", program, source, "-lpam", "-pthread"]
        subprocess.run(command, check=True)
    without_service = build_module(f'-DPAM_TOTP_SOCKET="{NOWHERE}"', as_shipped=True)
    bare, password = peers.nothing(), peers.password_only()
    hook = peers.one_line_hook()
    served = peers.Ours(peers.SERVICE, "pam_totp.so")
    google = peers.GoogleAuthenticator()
    spawned = peers.Ours(peers.SPAWNED, str(without_service))
    python = peers.Ours(peers.PAM_PYTHON, f"pam_python.so {peers.HOOK}")
    modules: list[peers.Peer] = [served, spawned, python, google, peers.Oath()]
    service = start_service()
    report: dict[str, Any] = {
        "loops": transactions.loops([bare, hook, *modules]),
        "pamtesters": transactions.pamtesters([bare, hook, *modules]),
    }
    peers.start_over(modules)
    report["lone"] = transactions.lone([served, google])
    report["crowds"] = transactions.crowds([served, google])
    peers.start_over(modules)
    logins.start_sshd()
    others = [peer for peer in modules if peer not in (served, google)]
    report["ssh"] = logins.ssh_logins([password, served, google], others)
    found = [
        {peer.name: logins.pending_memory(peer) for peer in (password, hook, *modules)}
        for _ in range(MEMORY_ROUNDS)
    ]
    report["memory"] = {name: statistics.median(kib[name] for kib in found) for name in found[0]}
    report["scale"] = transactions.scale()
    stop_service(service)
    service = start_service()
    report["service"] = {"fresh": private_kib(service.pid)}
    peers.start_over([served])
    report["throughput"] = load.throughput(served)
    load.many_logins(served)
    report["pending"] = load.pending(served, service.pid)
    stop_service(service)
    report["distance"] = distance.distance()
    report["judging"] = judging.judging()
    report["enrolling"] = enrolling.enrolling()
    json.dump(report, sys.stdout)


def stop_service(service: subprocess.Popen[bytes]) -> None:
    service.terminate()
    service.wait(timeout=60)
    Path(program.SOCKET).unlink(missing_ok=True)


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
