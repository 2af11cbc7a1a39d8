"""What the first processes of a Machine and of a Booted need: mounts of their own."""

from __future__ import annotations

import ctypes
import os
import sys

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000

_libc = ctypes.CDLL(None, use_errno=True)


def command(module: str, *arguments: object) -> list[str]:
    """Return how to start a script of this folder; to be run at the top of the tree."""
    return [sys.executable, "-BEsS", "-m", f"tests.support.{module}", *map(str, arguments)]


def call(function: str, *arguments: object, about: str = "") -> None:
    """Call libc; where that fails, raise OSError about ``about``."""
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about or function)


def mount(
    source: str | None, target: str, kind: str | None, flags: int = 0, options: str = ""
) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    about = f"mount {kind} {target}"
    call("mount", *words, ctypes.c_ulong(flags), options.encode(), about=about)


def make_mounts_private() -> None:
    """Keep every mount made from here on to ourselves.

    Only a mount point can be made private, and in a plain chroot / is none: this ends at the real
    root of the mount namespace, in the folder that was the root before.
    """
    here = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.chdir("/")
    os.chroot("/sys")  # any folder: what matters is to stand outside of it
    while not os.path.samestat(os.stat("."), os.stat("..")):
        os.chdir("..")
    os.chroot(".")
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    os.fchdir(here)
    os.close(here)
