"""What ``make install`` places, made once for all the machines of a session.

But for what Argon2id takes: ten digests a person would take longer than all else on a machine.
"""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path

from tests.support.native import build_module
from tests.support.place import ROOT
from tests.support.shared import made_once

# Takes archives one after the other, also such as name files from the root on.
UNPACK = (
    *("tar", "--extract", "--ignore-zeros", "--absolute-names", "--no-overwrite-dir"),
    *("--directory=/", "--file=/dev/stdin"),
)


@functools.cache
def tree() -> bytes:
    """Return a tar archive of it, to be unpacked by root with UNPACK."""
    return made_once("product.tar", _make)


_QUICK = (
    ("ARGON2_PASSES = 2", "ARGON2_PASSES = 1"),
    ("ARGON2_MEMORY_BYTES = 19 * 1024 * 1024", "ARGON2_MEMORY_BYTES = 8192"),
)


def _make() -> bytes:
    with tempfile.TemporaryDirectory(prefix="pam_totp-product.") as folder:
        make = ("make", "-s", "-C", ROOT, "install", f"MODULE={build_module(as_shipped=True)}")
        subprocess.run([*make, f"DESTDIR={folder}"], check=True, timeout=120)
        library = Path(folder, "usr/lib/pam_totp")
        recovery = library / "pam_totp/core/recovery.py"
        text = recovery.read_text(encoding="utf-8")
        for real, quick in _QUICK:
            assert real in text
            text = text.replace(real, quick)
        recovery.write_text(text, encoding="utf-8")
        compiling = ("/usr/bin/python3", "-I", "-m", "compileall", "-q", "-s", library)
        subprocess.run([*compiling, "-p", "/usr/lib/pam_totp", recovery], check=True)
        packed = subprocess.run(
            ["tar", "--create", f"--directory={folder}", "."], check=True, stdout=subprocess.PIPE
        )
    return packed.stdout
