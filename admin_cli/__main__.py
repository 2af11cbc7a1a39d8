"""Run totpctl: ``python3 -m admin_cli``."""

from __future__ import annotations

import sys

from . import running
from .completion import answering
from .main import totpctl


def run() -> None:
    shell = answering.asked_by()
    if shell is not None:
        sys.exit(answering.run(totpctl, shell, sys.argv[1:]))
    sys.exit(running.run(totpctl))


if __name__ == "__main__":
    run()
