"""Run totpctl: ``python3 -m admin_cli``."""

from __future__ import annotations

import sys

from . import ui
from .main import totpctl


def run() -> None:
    sys.exit(ui.run(totpctl))


if __name__ == "__main__":
    run()
