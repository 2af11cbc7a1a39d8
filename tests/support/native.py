"""pam_totp.so, built from this tree by its Makefile."""

from __future__ import annotations

import atexit
import functools
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.place import ROOT


@functools.cache
def build_module(*flags: str) -> Path:
    """Build the module with ``flags``; the file goes when this process ends.

    A flag is one word for the compiler as it stands, such as ``-DPAM_TOTP_SOCKET="/a path"``.
    """
    folder = Path(tempfile.mkdtemp(prefix="pam_totp-native."))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    words = shlex.join(flags).replace("$", "$$")  # make reads them first, then the shell
    command = ["make", "-s", "-C", ROOT, "native", f"BUILD={folder}", f"CPPFLAGS={words}"]
    subprocess.run(command, check=True, timeout=120)
    return folder / "pam_totp.so"
