"""What is made once for all workers of a run: tests/run names the folder for it.

Without that, as pytest is run by hand, each process makes its own.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.support.booted_base import kept


def made_once(name: str, make: Callable[[], bytes]) -> bytes:
    """Return what ``make`` returned, in this process or, before, in another one of the run."""
    with kept(folder(), name) as path:
        if not path.exists():
            unfinished = path.with_suffix(".new")
            unfinished.write_bytes(make())
            unfinished.rename(path)
        return path.read_bytes()


def folder() -> Path:
    """Return the folder of the run."""
    return Path(os.environ.get("PAM_TOTP_SCRATCH") or _own_folder().name)


@functools.cache
def _own_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pam_totp-shared.")
