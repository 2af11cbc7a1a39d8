"""pam_totp.so, built from this tree by its Makefile."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.place import ROOT


@functools.cache
def build_module(*flags: str) -> Path:
    """Build the module with ``flags`` (CPPFLAGS); the file goes when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="pam_totp-native."))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = ["make", "-s", "-C", ROOT, "native", f"BUILD={folder}", f"CPPFLAGS={' '.join(flags)}"]
    subprocess.run(command, check=True, timeout=120)
    return folder / "pam_totp.so"
