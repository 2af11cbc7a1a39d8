"""PAM transactions without sshd: in a loop on libpam in one process, alone, and by pamtester."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from .peers import Oath, Ours, Peer, service_file, start_over
from .people import FOLDER, code, names, settle
from .rounds import IS_QUICK, rounds, with_a_first

LOOP = FOLDER / "transactions"
TOGETHER = FOLDER / "together"
ROUNDS = rounds(12)
IN_A_PROCESS = 2 if IS_QUICK else 16  # transactions that count, after a first one
PAMTESTERS = rounds(20)
LONE_ROUNDS = rounds(12)
LONE_PAUSE = 0.3 if IS_QUICK else 3.0  # seconds
CROWD = 16 if IS_QUICK else 64
CROWD_ROUNDS = rounds(12)
SCALES = (10, 100, 1_000) if IS_QUICK else (10, 1_000, 100_000, 1_000_000)
OATH_USERS = 100_000  # at most: it reads them all
SCALE_ROUNDS = rounds(12)

Timings = dict[str, list[float]]  # seconds of each login, by name


class Module(Protocol):
    """What stays the same when everybody's codes are made unused again."""

    line: str

    def forget(self) -> None: ...


def loops(peers: Sequence[Peer]) -> dict[str, Timings]:
    """Return ``first``: of each process; ``next``: all the others.

    The first loads libraries, and may find that what it needs has been put away since the last
    login. Each round visits every peer once, in another order, so that whatever the machine does
    meanwhile meets all of them alike.
    """
    first: Timings = {peer.name: [] for peer in peers}
    others: Timings = {peer.name: [] for peer in peers}
    services = _services(peers)
    for number in with_a_first(ROUNDS):
        for peer in random.sample(peers, len(peers)):
            times = loop(services[peer.name], peer.take(1 + IN_A_PROCESS if number else 2))
            if number:
                first[peer.name].append(times[0])
                others[peer.name] += times[1:]
    return {"first": first, "next": others}


def loop(service: str, people: Iterable[str], pause: float = 0.0) -> list[float]:
    """Log ``people`` in, in one process; return the seconds of each transaction.

    ``pause``: seconds of nothing between two of them.
    """
    command = [LOOP, service, code(), str(round(pause * 1000)), *people]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{service}: {done.stderr}")
    return [int(line) / 1e9 for line in done.stdout.split()]


def lone(peers: Sequence[Peer]) -> Timings:
    """Return the seconds of a transaction after LONE_PAUSE in which nobody has logged in.

    In a process that has had one before: what a process needs for its first is in loops().
    """
    timings: Timings = {peer.name: [] for peer in peers}
    services = _services(peers)
    for _ in range(LONE_ROUNDS):
        for peer in random.sample(peers, len(peers)):
            _, after_the_pause = loop(services[peer.name], peer.take(2), LONE_PAUSE)
            timings[peer.name].append(after_the_pause)
    return timings


def crowds(peers: Sequence[Peer]) -> Timings:
    """Return the seconds until the last of CROWD people is in, whose pamtesters start together."""
    timings: Timings = {peer.name: [] for peer in peers}
    services = _services(peers)
    for number in with_a_first(CROWD_ROUNDS):
        start_over(peers)
        for peer in random.sample(peers, len(peers)):
            command = [TOGETHER, services[peer.name], code(), *peer.take(CROWD)]
            done = subprocess.run(command, text=True, capture_output=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{peer.name}: {done.stderr}")
            if number:
                timings[peer.name].append(float(done.stdout))
    return timings


def pamtesters(peers: Sequence[Peer]) -> Timings:
    """Return the seconds of a process with one transaction, from its start to its end."""
    timings: Timings = {peer.name: [] for peer in peers}
    services = _services(peers)
    for _ in range(PAMTESTERS):
        for peer in random.sample(peers, len(peers)):
            command = ["pamtester", services[peer.name], *peer.take(1), "authenticate"]
            typed = f"{code()}\n"
            begin = time.perf_counter()
            done = subprocess.run(command, input=typed, text=True, capture_output=True, check=False)
            timings[peer.name].append(time.perf_counter() - begin)
            if done.returncode != 0:
                raise RuntimeError(f"{peer.name}: {done.stdout}{done.stderr}")
    return timings


def scale() -> dict[str, Timings]:
    """Return the seconds of a transaction, by module and enrolled users.

    The same few people log in everywhere, for there are no more where 10 are enrolled; their codes
    are made unused again before each process.
    """
    modules: dict[tuple[str, int], Module] = {}
    for users in SCALES:
        modules["pam_totp", users] = Ours("pam_totp", "pam_totp.so", users)
        if users <= OATH_USERS:
            modules["pam_oath", users] = Oath(users)
    settle()
    timings: dict[str, Timings] = {"pam_totp": {}, "pam_oath": {}}
    for number in with_a_first(SCALE_ROUNDS):
        for (name, users), module in random.sample(list(modules.items()), len(modules)):
            service_file("bench-scale", module.line)
            module.forget()
            times = loop("bench-scale", names(min(SCALES)))
            if number:
                timings[name].setdefault(str(users), []).extend(times[1:])
    return timings


def _services(peers: Sequence[Peer]) -> dict[str, str]:
    services = {peer.name: f"bench-{number}" for number, peer in enumerate(peers)}
    for peer in peers:
        service_file(services[peer.name], peer)
    return services
