"""Whole ssh logins: how long they take, and what memory sshd needs while one waits."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from .memory import private_kib
from .peers import Peer, service_file
from .people import FOLDER, PASSWORD, code
from .rounds import rounds, with_a_first

ROUNDS = rounds(200)
EVERY = 8  # rounds: the others take part in one of so many
PORT = 2222
_ASKPASS = FOLDER / "askpass"
_CODE = FOLDER / "code"
_ENVIRONMENT = {**os.environ, "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}


def start_sshd() -> None:
    """One sshd for all; which module asks is decided by the PAM file that stands there now."""
    Path("/run/sshd").mkdir(exist_ok=True)
    key = FOLDER / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    config = FOLDER / "sshd_config"
    config.write_text(
        f"Port {PORT}\nListenAddress 127.0.0.1\nHostKey {key}\nUsePAM yes\nPidFile none\n"
        "KbdInteractiveAuthentication yes\nPasswordAuthentication no\nMaxStartups 100\n"
        "PrintMotd no\nUseDNS no\n"
    )
    _script(_ASKPASS, f"echo '{PASSWORD}'", f"cat {_CODE}")
    subprocess.run(["/usr/sbin/sshd", "-f", str(config)], check=True)
    while not _is_listening():  # it returns before
        time.sleep(0.01)


def _is_listening() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def ssh_logins(always: Sequence[Peer], others: Sequence[Peer]) -> list[dict[str, float]]:
    """Return the seconds of each login by name, the client's start to its end, of each round.

    Everybody takes part in the first round, which does not count, and in the one after it.
    """
    found = {}
    for number in with_a_first(ROUNDS):
        peers = [*always, *others] if number == 0 or number % EVERY == 1 else list(always)
        took = {peer.name: _log_in(peer) for peer in random.sample(peers, len(peers))}
        found[number] = {peer.name: took[peer.name] for peer in peers}
    return [found[number] for number in range(1, ROUNDS + 1)]


def _log_in(peer: Peer) -> float:
    _use(peer)
    command = _ssh(*peer.take(1))
    _CODE.write_text(code(1) + "\n")
    begin = time.perf_counter()
    done = subprocess.run(
        command,
        env={**_ENVIRONMENT, "SSH_ASKPASS": str(_ASKPASS)},
        text=True,
        capture_output=True,
        check=False,
    )
    elapsed = time.perf_counter() - begin
    if done.returncode != 0:
        raise RuntimeError(f"{peer.name}: {done.stdout}{done.stderr}")
    return elapsed


def pending_memory(peer: Peer) -> int:
    """Return the private KiB of the sshd processes of one login that waits at its last prompt."""
    _use(peer)
    asked = FOLDER / "asked"
    asked.unlink(missing_ok=True)
    waiting = FOLDER / "askpass-waiting"
    stop = f"touch {asked}; sleep 60"
    _script(waiting, f"echo '{PASSWORD}'" if peer.line else stop, stop)
    client = subprocess.Popen(
        _ssh(*peer.take(1)),
        env={**_ENVIRONMENT, "SSH_ASKPASS": str(waiting)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not asked.exists():
            time.sleep(0.05)
        time.sleep(0.3)
        return sum(private_kib(pid) for pid in _login_processes())
    finally:
        os.killpg(client.pid, 9)
        client.wait()
        time.sleep(0.3)


def _login_processes() -> list[int]:
    """All sshd processes but the listener: the oldest."""
    found = subprocess.run(["pgrep", "sshd"], capture_output=True, text=True, check=True)
    return sorted(int(pid) for pid in found.stdout.split())[1:]


def _use(peer: Peer) -> None:
    service_file("sshd", f"auth required pam_unix.so nodelay\n{peer.line}")


def _script(path: Path, at_password: str, at_code: str) -> None:
    path.write_text(
        f'#!/bin/sh\ncase "$1" in\n*Password:*) {at_password} ;;\n*) {at_code} ;;\nesac\n'
    )
    path.chmod(0o755)


def _ssh(user: str) -> list[str]:
    options = (
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "PubkeyAuthentication=no",
        "PreferredAuthentications=keyboard-interactive",
    )
    flags = [word for option in options for word in ("-o", option)]
    return ["ssh", "-F", "none", "-p", str(PORT), *flags, f"{user}@127.0.0.1", "true"]
