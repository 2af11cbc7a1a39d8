"""Measure pam_totp beside its peers, in one run, and print the tables for the docs.

sudo ./tests/run bench
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import tempfile
from pathlib import Path

from tests.support.machine import Machine
from tests.support.place import ROOT

from .peers import FOLDER, Floor

Timings = dict[str, list[float]]


def main() -> None:
    # In /var/tmp: on a disk, where an fsync costs what it costs.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        with Machine(disk=(Path(folder), FOLDER)) as machine:
            machine.install_product()
            done = machine.run(
                "/usr/bin/python3", "-m", "tests.bench.inside", cwd=str(ROOT), timeout=3600
            )
            report = json.loads(done.stdout)
    print(f"{datetime.date.today()}, {_machine()}\n")  # noqa: DTZ011
    _print_pam(report["pam"])
    _print_ssh(report["ssh"])
    _print_scale(report["scale"])
    _print_memory(report["memory"])


def _machine() -> str:
    release = platform.freedesktop_os_release()["PRETTY_NAME"]
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{release}, {os.cpu_count()} cores of {cpu}"


def _print_pam(timings: Timings) -> None:
    floor = statistics.median(timings[Floor.name])
    rows = [
        (name, _milliseconds(times), f"{statistics.median(times) / floor:.2f}")
        for name, times in timings.items()
    ]
    _print_table("One PAM transaction (pamtester)", ("module", "median", "to the floor"), rows)


def _print_ssh(timings: Timings) -> None:
    bare = statistics.median(timings["password only"])
    google = statistics.median(timings["google-authenticator"]) - bare
    rows = [
        (
            name,
            _milliseconds(times),
            f"{(statistics.median(times) - bare) * 1000:+.1f} ms",
            f"{statistics.median(times) / bare:.2f}",
        )
        for name, times in timings.items()
    ]
    headings = ("login", "median", "added to a password", "to password only")
    _print_table("One ssh login, from the client's start to its end", headings, rows)
    ours = statistics.median(timings["pam_totp"]) - bare
    print(f"What pam_totp adds, to what google-authenticator adds: {ours / google:.1f}\n")


def _print_scale(timings: Timings) -> None:
    rows = []
    for name, times in timings.items():
        module, users = name.split()
        smallest = statistics.median(timings[f"{module} 10"])
        ratio = f"{statistics.median(times) / smallest:.2f}"
        rows.append((module, f"{int(users):,}", _milliseconds(times), ratio))
    headings = ("module", "enrolled users", "median", "to 10 users")
    _print_table("One PAM transaction, by enrolled users", headings, rows)


def _print_memory(memory: dict[str, int]) -> None:
    bare = memory["password only"]
    rows = [(name, f"{kib} KiB", f"{kib - bare:+} KiB") for name, kib in memory.items()]
    headings = ("login", "private memory", "to password only")
    _print_table("sshd's memory while a login waits at its last prompt", headings, rows)


def _milliseconds(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:.1f} ms"


def _print_table(title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    print(f"### {title}\n")
    for row in (headings, tuple("---" for _ in headings), *rows):
        print("| " + " | ".join(row) + " |")
    print()


if __name__ == "__main__":
    main()
