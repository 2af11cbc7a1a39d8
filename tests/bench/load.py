"""The service under load: verifications a second, and logins that wait for a person."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import subprocess
import time
from collections.abc import Iterator

from pam_totp.service import program, wire

from .memory import private_kib
from .peers import Ours, service_file
from .people import FOLDER, PEOPLE, names, two_codes
from .rounds import IS_QUICK, rounds, with_a_first
from .transactions import loop

CLIENTS = FOLDER / "clients"
SYNCS = FOLDER / "syncs"
COUNTS = (1, 8, 64)
USERS = 80 if IS_QUICK else PEOPLE
AT_A_TIME = 2 * USERS  # verifications, or blocks: each user with two codes
ROUNDS = rounds(8)
MANY = 500 if IS_QUICK else 100_000  # logins, after which memory is looked at
PENDING = 500
PENDING_ROUNDS = rounds(8)
LOGINS = 2 if IS_QUICK else 16

Rates = dict[str, list[float]]


def throughput(ours: Ours) -> Rates:
    """Return verifications a second by number of clients, and writes a second of the disk alone."""
    rates: Rates = {str(count): [] for count in COUNTS} | {"growing": [], "in place": []}
    for number in with_a_first(ROUNDS):
        for measured in random.sample([*COUNTS, 0], len(COUNTS) + 1):
            found = {str(measured): _verify(ours, measured)} if measured else _sync(number)
            for name, seconds in found.items():
                if number:
                    rates[name].append(AT_A_TIME / seconds)
    return rates


def many_logins(ours: Ours) -> None:
    """Log people in MANY times, by the most of the clients."""
    for _ in range(MANY // AT_A_TIME + 1):
        _verify(ours, max(COUNTS))


def _verify(ours: Ours, clients: int) -> float:
    ours.forget()
    (seconds,) = _seconds(CLIENTS, program.SOCKET, clients, USERS, two_codes(), *ours.arguments)
    return seconds


def _sync(number: int) -> dict[str, float]:
    file = FOLDER / f"blocks-{number}"
    growing, in_place = _seconds(SYNCS, file, AT_A_TIME)
    file.unlink()
    return {"growing": growing, "in place": in_place}


def _seconds(*command: object) -> list[float]:
    done = subprocess.run(list(map(str, command)), text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr}")
    return [float(line) for line in done.stdout.split()]


def pending(ours: Ours, service_pid: int) -> dict[str, object]:
    """Return the seconds of a login with and without PENDING others at the prompt, and the private
    KiB of the service then and before."""
    service_file("bench-load", ours.line)
    times: dict[str, list[float]] = {"alone": [], "among": []}
    idle = private_kib(service_pid)
    busy = 0
    for _ in range(PENDING_ROUNDS):
        ours.forget()
        people = iter(names(PEOPLE))
        times["alone"] += _logins(people)
        with _waiting_at_the_prompt(ours):
            busy = max(busy, private_kib(service_pid))
            times["among"] += _logins(people)
        time.sleep(0.2)
    return {"times": times, "idle": idle, "busy": busy}


def _logins(people: Iterator[str]) -> list[float]:
    return loop("bench-load", [next(people) for _ in range(1 + LOGINS)])[1:]


@contextlib.contextmanager
def _waiting_at_the_prompt(ours: Ours) -> Iterator[None]:
    """Keep PENDING logins at their prompt, without libpam."""
    with contextlib.ExitStack() as all_of_them:
        for person in itertools.islice(itertools.cycle(names(PEOPLE)), PENDING):
            waiting = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            all_of_them.enter_context(waiting)
            waiting.connect(program.SOCKET)
            waiting.send(_request(person, ours.arguments))
            asked = waiting.recv(wire.MAX_PACKET)
            assert asked[3] == wire.MESSAGE, asked
        yield


def _request(user: str, arguments: list[str]) -> bytes:
    def string(text: str) -> bytes:
        return len(text).to_bytes(2, "big") + text.encode("ascii")

    # All but flags, user, service and arguments.
    absent = b"\xff\xff" * (len(wire.RequestPacket._fields) - 4)
    header = b"PT" + bytes([wire.VERSION, wire.REQUEST]) + bytes(4)
    listed = b"".join(map(string, arguments))
    return header + string(user) + string("bench") + absent + bytes([len(arguments)]) + listed
