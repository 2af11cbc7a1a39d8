"""What ``make install`` places, made once for all the machines of a session."""

from __future__ import annotations

import functools
import subprocess
import tempfile

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


def _make() -> bytes:
    with tempfile.TemporaryDirectory(prefix="pam_totp-product.") as folder:
        make = ("make", "-s", "-C", ROOT, "install", f"MODULE={build_module()}")
        subprocess.run([*make, f"DESTDIR={folder}"], check=True, timeout=120)
        packed = subprocess.run(
            ["tar", "--create", f"--directory={folder}", "."], check=True, stdout=subprocess.PIPE
        )
    return packed.stdout
