"""Runs systemd-nspawn where the machine around it notices nothing (see booted.py).

    booted_init.py TREE OPTION...                   in TREE itself
    booted_init.py --copy FOLDER TREE OPTION...     in a copy of it, which FOLDER is for

A copy keeps its changes in memory. OPTION: nspawn's, and perhaps a command.
Own mount namespace, own control group; needs no systemd, and works in a plain chroot. When
standard input closes, or nspawn ends, everything inside is killed and the control group removed.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
CONTROL_GROUPS = "/sys/fs/cgroup"
STATE_OF_NSPAWN = "/run/systemd"
REBOOT = 133  # nspawn's status: that is for whoever has started it to do
NSPAWN = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--link-journal=no"]

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> int:
    _call("unshare", CLONE_NEWNS)
    _keep_mounts_to_ourselves()
    _furnish()
    if arguments[0] == "--copy":
        _, scratch, tree, *options = arguments
        tree = _copy(tree, scratch)
    else:
        tree, *options = arguments
    while (status := _run([*NSPAWN, f"--directory={tree}", *options])) == REBOOT:
        pass
    return status


def _keep_mounts_to_ourselves() -> None:
    """Make all mounts private, and / a mount point, which in a plain chroot it is not.

    Only a mount point can be made private or moved: go to the real root of this namespace, put
    our root over itself there, and come back.
    """
    here = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.chdir("/")
    os.chroot("/sys")  # any folder: what matters is to stand outside of it
    while not os.path.samestat(os.stat("."), os.stat("..")):
        os.chdir("..")
    os.chroot(".")
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    os.fchdir(here)
    os.close(here)
    root = os.getcwd()
    if root != "/":
        _mount(root, root, None, MS_BIND | MS_REC)
        os.chdir(root)
        os.chroot(".")
    os.chdir("/")


def _furnish() -> None:
    """One hierarchy of control groups, whatever the machine has; a place for nspawn's own files."""
    if not os.path.isdir(CONTROL_GROUPS):
        _mount("sysfs", "/sys", "sysfs")
    _mount("cgroup2", CONTROL_GROUPS, "cgroup2")
    if os.path.isdir(STATE_OF_NSPAWN):
        _mount("tmpfs", STATE_OF_NSPAWN, "tmpfs", "mode=755")
    else:
        _mount("tmpfs", "/run", "tmpfs", "mode=755")


def _copy(tree: str, scratch: str) -> str:
    _mount("tmpfs", scratch, "tmpfs", "mode=755")
    copy, upper, work = (f"{scratch}/{name}" for name in ("root", "upper", "work"))
    for folder in (copy, upper, work):
        os.mkdir(folder)
        os.chmod(folder, 0o755)
    _mount("overlay", copy, "overlay", f"lowerdir={tree},upperdir={upper},workdir={work}")
    return copy


def _run(command: list[str]) -> int:
    """Run it in a control group until it ends or standard input does; return its status."""
    group = f"{CONTROL_GROUPS}/pam_totp-tests.{os.getpid()}"
    os.mkdir(group)
    try:
        _enter(group)
        nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        _wait(nspawn)
        _kill(group)
        return nspawn.wait()
    finally:
        _remove(group)


def _wait(nspawn: subprocess.Popen[bytes]) -> None:
    ended, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while nspawn.poll() is None:
        readable, _, _ = select.select([0, ended], [], [])
        if 0 in readable and not os.read(0, 4096):
            return


def _enter(group: str) -> None:
    with open(f"{group}/cgroup.procs", "w", encoding="ascii") as processes:
        processes.write(str(os.getpid()))


def _kill(group: str) -> None:
    _enter(CONTROL_GROUPS)
    with open(f"{group}/cgroup.kill", "w", encoding="ascii") as everybody:  # Linux 5.14
        everybody.write("1")


def _remove(group: str) -> None:
    """Remove a control group and those in it, once the kernel has done with who was there."""
    _kill(group)
    for folder, _, _ in os.walk(group, topdown=False):
        for _ in range(200):
            try:
                os.rmdir(folder)
                break
            except OSError:
                time.sleep(0.02)


def _mount(source: str | None, target: str, kind: str | None, how: int | str = 0) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    flags, data = (how, "") if isinstance(how, int) else (0, how)
    _call("mount", *words, ctypes.c_ulong(flags), data.encode(), about=f"mount {kind} {target}")


def _call(function: str, *arguments: object, about: str = "") -> None:
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about or function)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
