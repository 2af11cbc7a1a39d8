"""The measurements, run inside a throw-away copy of the machine; prints them as JSON.

Rounds are interleaved: each visits every peer once, so that whatever the machine does meanwhile
meets all of them alike.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.place import code_now

from .peers import FOLDER, USER, Floor, GoogleAuthenticator, Oath, Ours, PasswordOnly, Peer

PASSWORD = "correct horse"
ROUNDS = 60
SCALES = (10, 1_000, 100_000)
PORT = 2222
ASKPASS = FOLDER / "askpass"
CODE = FOLDER / "code"

Timings = dict[str, list[float]]


def main() -> None:
    subprocess.run(["useradd", "-m", "-s", "/bin/sh", USER], check=True)
    subprocess.run(["chpasswd"], input=f"{USER}:{PASSWORD}\n", text=True, check=True)
    peers: list[Peer] = [PasswordOnly(), Floor(), Ours(), GoogleAuthenticator(), Oath()]
    report: dict[str, object] = {
        "pam": pam_transactions(peers[1:]),
        "scale": scale(),
    }
    start_sshd(peers)
    report["ssh"] = ssh_logins(peers)
    report["memory"] = {peer.name: pending_memory(peer) for peer in peers}
    json.dump(report, sys.stdout)


def interleaved(
    peers: Sequence[tuple[str, Peer]], login: Callable[[str, Peer], None], rounds: int
) -> Timings:
    """Return the seconds of each login, by name, after one round that does not count."""
    timings: Timings = {name: [] for name, _ in peers}
    for number in range(rounds + 1):
        for name, peer in random.sample(peers, len(peers)):
            peer.refresh()
            _wait_for_a_quiet_moment_of_the_period()
            begin = time.perf_counter()
            login(name, peer)
            elapsed = time.perf_counter() - begin
            if number:
                timings[name].append(elapsed)
    return timings


def pam_transactions(peers: Sequence[Peer]) -> Timings:
    for peer in peers:
        _service(_service_name(peer.name), peer.line)
    named = [(peer.name, peer) for peer in peers]
    return interleaved(named, lambda name, peer: _pamtester(_service_name(name)), ROUNDS)


def scale() -> Timings:
    named: list[tuple[str, Peer]] = []
    for users in SCALES:
        if users != 10:
            named += [(f"pam_totp {users}", Ours(users)), (f"pam_oath {users}", Oath(users))]
        else:
            named += [(f"pam_totp {users}", Ours(11)), (f"pam_oath {users}", Oath(11))]
    for name, peer in named:
        _service(_service_name(name), peer.line)
    return interleaved(named, lambda name, peer: _pamtester(_service_name(name)), ROUNDS // 2)


def start_sshd(peers: Sequence[Peer]) -> None:
    """One sshd for all; which peer asks is decided by the PAM file that stands there now."""
    Path("/run/sshd").mkdir(exist_ok=True)
    key = FOLDER / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    config = FOLDER / "sshd_config"
    config.write_text(
        f"Port {PORT}\nListenAddress 127.0.0.1\nHostKey {key}\nUsePAM yes\n"
        "KbdInteractiveAuthentication yes\nPasswordAuthentication no\nMaxStartups 100\n"
        "PrintMotd no\nUseDNS no\n"
    )
    ASKPASS.write_text(
        '#!/bin/sh\ncase "$1" in\n*Password:*) echo "'
        + PASSWORD
        + f'" ;;\n*) cat {CODE} ;;\nesac\n'
    )
    ASKPASS.chmod(0o755)
    subprocess.run(["/usr/sbin/sshd", "-f", str(config)], check=True)
    _use(peers[0])


def ssh_logins(peers: Sequence[Peer]) -> Timings:
    def login(name: str, peer: Peer) -> None:
        _login(name, _ssh("true"), env=_ssh_environment())

    class Prepared:
        """Puts its peer's PAM file in place as part of what is not timed."""

        def __init__(self, peer: Peer) -> None:
            self.name, self.line, self._peer = peer.name, peer.line, peer

        def refresh(self) -> None:
            _use(self._peer)
            self._peer.refresh()
            CODE.write_text(code_now() + "\n")

    return interleaved([(peer.name, Prepared(peer)) for peer in peers], login, ROUNDS // 2)


def pending_memory(peer: Peer) -> int:
    """Return the private KiB of the sshd processes of one login that waits at its last prompt."""
    _use(peer)
    peer.refresh()
    asked = FOLDER / "asked"
    asked.unlink(missing_ok=True)
    waiting = FOLDER / "askpass-waiting"
    stop = f"touch {asked}; sleep 60"
    at_password = f"echo '{PASSWORD}'" if peer.line else stop
    waiting.write_text(
        f'#!/bin/sh\ncase "$1" in\n*Password:*) {at_password} ;;\n*) {stop} ;;\nesac\n'
    )
    waiting.chmod(0o755)
    client = subprocess.Popen(
        _ssh("true"),
        env={**_ssh_environment(), "SSH_ASKPASS": str(waiting)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not asked.exists():
            time.sleep(0.05)
        time.sleep(0.3)
        return sum(_private_kib(pid) for pid in _login_processes())
    finally:
        os.killpg(client.pid, 9)
        client.wait()
        time.sleep(0.3)


def _login_processes() -> list[int]:
    """All sshd processes but the listener: the oldest."""
    found = subprocess.run(["pgrep", "sshd"], capture_output=True, text=True, check=True)
    return sorted(int(pid) for pid in found.stdout.split())[1:]


def _private_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE))


def _use(peer: Peer) -> None:
    _service("sshd", f"auth required pam_unix.so nodelay\n{peer.line}")


def _service(name: str, auth: str) -> None:
    Path(f"/etc/pam.d/{name}").write_text(
        f"{auth}\naccount required pam_permit.so\nsession required pam_permit.so\n"
    )


def _service_name(name: str) -> str:
    return "bench-" + re.sub(r"\W+", "-", name)


def _pamtester(service: str) -> None:
    _login(service, ["pamtester", service, USER, "authenticate"], input=f"{code_now()}\n")


def _login(name: str, command: list[str], **options: Any) -> None:
    done = subprocess.run(command, text=True, capture_output=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {' '.join((done.stdout + done.stderr).split())}")


def _ssh(command: str) -> list[str]:
    options = (
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "PubkeyAuthentication=no",
        "PreferredAuthentications=keyboard-interactive",
    )
    flags = [word for option in options for word in ("-o", option)]
    return ["ssh", "-F", "none", "-p", str(PORT), *flags, f"{USER}@127.0.0.1", command]


def _ssh_environment() -> dict[str, str]:
    return {
        **os.environ,
        "SSH_ASKPASS": str(ASKPASS),
        "SSH_ASKPASS_REQUIRE": "force",
        "DISPLAY": ":0",
    }


def _wait_for_a_quiet_moment_of_the_period() -> None:
    """The code that is taken now must still be the current one when it is checked."""
    left = 30 - time.time() % 30
    if left < 3:
        time.sleep(left + 0.1)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    main()
