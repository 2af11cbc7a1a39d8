"""Enroll many people: with one command of ours, and by a run of google-authenticator for each.

What ours takes without its hashing is measured with a digest that costs nothing in the place of
Argon2id's; what hashing takes at least, by the digests alone, in a process for each core.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from pam_totp import store
from pam_totp.core import recovery
from pam_totp.store import sealing

from .people import FOLDER
from .rounds import IS_QUICK

MANY = 2 if IS_QUICK else 1000  # people
GOOGLE_RUNS, SHEETS, ALL_BUT_HASHING, JSON_ALL_BUT_HASHING, DIGESTS = (
    *("google-authenticator", "sheets", "sheets, but hashing"),
    *("json, but hashing", "digests"),
)
_FIRST_UID = 40_000
_ROSTER = FOLDER / "roster"
_WITHOUT_HASHING = """
import sys
sys.path.insert(0, "/usr/lib/pam_totp")
from pam_totp.core import recovery
from pam_totp.core.hashes import sha256
recovery.digest = lambda code, salt: sha256(salt + code.encode()).digest()
from admin_cli.__main__ import run
run()
"""
_TOTPCTL = ("/usr/sbin/totpctl",)
_NO_HASHING = ("/usr/bin/python3", "-I", "-B", "-c", _WITHOUT_HASHING)
# What its own questions recommend, with the answers that it proposes.
_GOOGLE = "google-authenticator -t -d -f -r 3 -R 30 -w 3 -C -Q UTF8 -s"


def enrolling() -> dict[str, float]:
    """Return the seconds that each of the above takes for MANY people."""
    _add_accounts()
    return {
        GOOGLE_RUNS: _timed(_run_google_authenticator),
        JSON_ALL_BUT_HASHING: _timed(_enroll("json", _NO_HASHING, "--json")),
        ALL_BUT_HASHING: _timed(_enroll("quick", _NO_HASHING, "--sheets", FOLDER / "quick-sheets")),
        DIGESTS: _timed(_hash_alone),
        SHEETS: _timed(_enroll("whole", _TOTPCTL, "--sheets", FOLDER / "sheets")),
    }


def _timed(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def _names() -> list[str]:
    return [f"e{number}" for number in range(MANY)]


def _add_accounts() -> None:
    with open("/etc/passwd", "a", encoding="utf-8") as file:
        for number, name in enumerate(_names()):
            file.write(f"{name}:x:{_FIRST_UID + number}:100:Person {number}:/:/bin/sh\n")
    _ROSTER.write_text("".join(f"{name}\n" for name in _names()))


def _run_google_authenticator() -> None:
    folder = FOLDER / "google"
    folder.mkdir(mode=0o700)
    script = f"while read -r name; do {_GOOGLE} {folder}/$name >/dev/null || exit; done <{_ROSTER}"
    subprocess.run(["sh", "-c", script], check=True)
    assert MANY == len(os.listdir(folder))


def _enroll(name: str, program: tuple[str, ...], *options: str | Path) -> Callable[[], None]:
    """Return what enrolls everybody in a store of its own."""
    folder = FOLDER / f"enrolled-{name}"
    folder.mkdir(mode=0o700)
    key, path = folder / "key", folder / "store.db"
    descriptor = os.open(key, os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(descriptor, sealing.generate_key_file())
    os.close(descriptor)
    sealer = sealing.read_sealer(str(key))
    store.create_store(str(path), sealer)
    configuration = folder / "pam_totp.conf"
    configuration.write_text(f"store = {path}\nsealing_key = {key}\n")
    command = [*program, "--config", configuration, "enroll", "--from", _ROSTER, *options]

    def run() -> None:
        with open(folder / "output", "wb") as output:
            subprocess.run(command, stdout=output, check=True)
        with store.open_store(str(path), sealer) as opened:
            assert MANY == sum(1 for _ in opened.records())

    return run


def _hash_alone() -> None:
    cores = len(os.sched_getaffinity(0))
    codes = MANY * recovery.CODES_IN_A_SET
    shares = [codes // cores + (number < codes % cores) for number in range(cores)]
    processes = [multiprocessing.Process(target=_hash, args=(share,)) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def _hash(count: int) -> None:
    for _ in range(count):
        recovery.digest("0" * recovery.LENGTH, bytes(recovery.SALT_BYTES))
