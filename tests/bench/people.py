"""Who logs in, with which password and code, and whoever reads what is logged about it."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

from tests.support.place import code_at, code_now

FOLDER = Path("/var/lib/bench")  # on a real disk: an fsync must cost what it costs
PASSWORD = "correct horse"
PEOPLE = 300  # accounts of the machine: u0, u1, ...: one for each login of a series
_FIRST_UID = 20_000


def names(count: int) -> list[str]:
    return [f"u{number}" for number in range(count)]


def add_people() -> None:
    """Give the machine PEOPLE accounts, all with the same password and the same home."""
    subprocess.run(["useradd", "-m", "-s", "/bin/sh", "bench"], check=True)
    subprocess.run(["chpasswd"], input=f"bench:{PASSWORD}\n", text=True, check=True)
    for path in ("/etc/passwd", "/etc/shadow"):
        lines = Path(path).read_text().splitlines()
        model = next(line for line in lines if line.startswith("bench:")).split(":")
        for number, name in enumerate(names(PEOPLE)):
            fields = [name, *model[1:]]
            if path == "/etc/passwd":
                fields[2] = str(_FIRST_UID + number)
                fields[5] = "/"
            lines.append(":".join(fields))
        Path(path).write_text("\n".join(lines) + "\n")


def code(seconds: float = 5) -> str:
    """Return the current code, at a moment when it stays the current one for ``seconds``."""
    left = 30 - time.time() % 30
    if left < seconds:
        time.sleep(left + 0.1)
    return code_now()


def two_codes() -> str:
    """Return the current code and the next one. Both are accepted for 30 s and more, in this order:
    the window is 1."""
    now = time.time()
    return f"{code_at(now)},{code_at(now + 30)}"


def settle() -> None:
    """Have all that was written on the disk: no login has to wait for it."""
    subprocess.run(["sync", "--file-system", str(FOLDER)], check=True)


def read_the_log() -> None:
    """Take the place of whoever bound /dev/log, and read it: a datagram wakes a reader up."""
    os.unlink("/dev/log")
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    os.chmod("/dev/log", 0o666)

    def read() -> None:
        while True:
            log.recv(65536)

    threading.Thread(target=read, daemon=True).start()
