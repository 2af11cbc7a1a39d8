"""Measure pam_totp beside its peers, in one run, and print the tables for the docs.

sudo ./tests/run bench               all that the page shows
sudo ./tests/run bench --rounds=1    one round of each, and smaller stores: does it run?
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import tempfile
from pathlib import Path

from tests.support.machine import Machine
from tests.support.place import ROOT

from . import rounds, tables, targets
from .people import FOLDER


def main() -> None:
    report = _measured()
    print(f"{datetime.date.today()}, {_machine()}\n")  # noqa: DTZ011
    tables.show(report)
    targets.show(report)


def _measured() -> tables.Report:
    # In /var/tmp: on a disk, where an fsync costs what it costs.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        with Machine(disk=(Path(folder), FOLDER)) as machine:
            machine.install_product()
            env = {name: os.environ[name] for name in (rounds.VARIABLE,) if name in os.environ}
            command = ("/usr/bin/python3", "-m", "tests.bench.inside")
            done = machine.run(*command, env=env, cwd=str(ROOT), timeout=3600)
    report: tables.Report = json.loads(done.stdout)
    return report


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


if __name__ == "__main__":
    main()
