"""Runs systemd-nspawn where the machine around it notices nothing (see booted.py).

    booted_init TREE OPTION...                          in TREE itself
    booted_init --copy FOLDER TREE OPTION...            in a copy of it, which FOLDER is for
    booted_init --layer LAYER FOLDER TREE OPTION...     so, and LAYER gets what has changed

A copy keeps its changes in memory. TREE: also LAYER:TREE, with such changes in it.
OPTION: nspawn's, and perhaps a command.
Own mount namespace, own control group; needs no systemd, and works in a plain chroot. When
standard input closes, or nspawn ends, everything inside is killed and the control group removed.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

from tests.support.namespaces import CLONE_NEWNS, MS_BIND, MS_REC, call, make_mounts_private, mount

CONTROL_GROUPS = "/sys/fs/cgroup"
STATE_OF_NSPAWN = "/run/systemd"
REBOOT = 133  # nspawn's status: that is for whoever has started it to do
NSPAWN = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--link-journal=no"]


def main(arguments: list[str]) -> int:
    call("unshare", CLONE_NEWNS)
    make_mounts_private()
    _make_root_a_mount_point()
    _furnish()
    layer = None
    if arguments[0] == "--layer":
        layer, *arguments = arguments[1:]
        arguments = ["--copy", *arguments]
    if arguments[0] == "--copy":
        _, scratch, tree, *options = arguments
        tree = _copy(tree, scratch)
    else:
        tree, *options = arguments
    while (status := _run([*NSPAWN, f"--directory={tree}", *options])) == REBOOT:
        pass
    if layer and status == 0:
        subprocess.run(["cp", "--archive", f"{scratch}/upper/.", layer], check=True)
    return status


def _make_root_a_mount_point() -> None:
    """Put our root, which in a plain chroot is an ordinary folder, over itself, and stay there."""
    root = os.getcwd()
    if root != "/":
        mount(root, root, None, MS_BIND | MS_REC)
        os.chdir(root)
        os.chroot(".")
    os.chdir("/")


def _furnish() -> None:
    """One hierarchy of control groups, whatever the machine has; a place for nspawn's own files."""
    if not os.path.isdir(CONTROL_GROUPS):
        mount("sysfs", "/sys", "sysfs")
    mount("cgroup2", CONTROL_GROUPS, "cgroup2")
    if os.path.isdir(STATE_OF_NSPAWN):
        mount("tmpfs", STATE_OF_NSPAWN, "tmpfs", options="mode=755")
    else:
        mount("tmpfs", "/run", "tmpfs", options="mode=755")


def _copy(tree: str, scratch: str) -> str:
    mount("tmpfs", scratch, "tmpfs", options="mode=755")
    copy, upper, work = (f"{scratch}/{name}" for name in ("root", "upper", "work"))
    for folder in (copy, upper, work):
        os.mkdir(folder)
        os.chmod(folder, 0o755)
    mount("overlay", copy, "overlay", options=f"lowerdir={tree},upperdir={upper},workdir={work}")
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
