"""pam_totp.so, built from this tree by its Makefile; an application, and a module for passwords."""

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
def build_module(*flags: str, as_shipped: bool = False) -> Path:
    """Build the module with ``flags``; the file goes when this process ends.

    ``as_shipped``: optimized as the Makefile has it, which takes half as long again. A flag is one
    word for the compiler as it stands, such as ``-DPAM_TOTP_SOCKET="/a path"``.
    """
    folder = _folder()
    words = shlex.join(flags).replace("$", "$$")  # make reads them first, then the shell
    command = ["make", "-s", "-C", ROOT, "native", f"BUILD={folder}", f"CPPFLAGS={words}"]
    if not as_shipped:
        command.append("CFLAGS=-O1")
    subprocess.run(command, check=True, timeout=120)
    return folder / "pam_totp.so"


@functools.cache
def build_application(*flags: str) -> Path:
    """Build tests/native/login.c, which logs in and tells what happens."""
    target = _folder() / "login"
    # Without -rdynamic libpam would not find the application's own syslog().
    _compile(target, "login.c", "-D_GNU_SOURCE", "-rdynamic", *flags, "-lpam", "-pthread")
    return target


@functools.cache
def build_one_password() -> Path:
    """Build a password module: see tests/native/pam_one_password.c.

    By the name of its file the judge takes it for pam_unix, which it stands for.
    """
    target = _folder() / "pam_unix.so"
    _compile(target, "pam_one_password.c", "-fPIC", "-shared", "-lpam")
    return target


def _folder() -> Path:
    """Return a new folder, which goes when this process ends; others can look into it."""
    folder = Path(tempfile.mkdtemp(prefix="pam_totp-native."))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _compile(target: Path, source: str, *flags: str) -> None:
    options = ("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror")
    command = ["gcc", *options, "-o", target, ROOT / "tests" / "native" / source, *flags]
    subprocess.run(command, check=True, timeout=120)
