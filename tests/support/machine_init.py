"""The first process of a Machine (see machine.py): makes the copy, then starts what it is told to.

    machine_init FOLDER [DISK PLACE]

Standard input is a SOCK_SEQPACKET socket; when its other end closes, this process ends and the
kernel removes the machine with all that runs in it. FOLDER is shown inside at the same path,
read-only; DISK at PLACE, writable. Everything needed is imported before the root changes.

It comes from tests/support/starter.py, and so has loaded what totpctl needs of libraries: that
program it runs in a fork, where nothing speaks against it.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import select
import shutil
import signal
import socket
import stat
import struct
import sys
import termios

from tests.support.namespaces import (
    CLONE_NEWNS,
    MS_BIND,
    MS_RDONLY,
    MS_REMOUNT,
    call,
    make_mounts_private,
    mount,
)
from tests.support.starter import status_of

CLONE_NEWUTS, CLONE_NEWIPC = 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
START_OF_TOTPCTL = b"#!/usr/bin/python3 -I\n"
TTY_GROUP = 5
NAME = "machine"
MAX_REQUEST_BYTES = 128 * 1024

SCRATCH = "/sys"  # there on every Linux, and nothing that a test needs lies under it
COPY = f"{SCRATCH}/root"
MAYBE_MOUNTED = ("/etc", "/opt", "/root", "/usr", "/usr/local", "/var", "/var/lib")
DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}


def main() -> None:
    control = socket.socket(fileno=os.dup(0))
    call("unshare", CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET)
    first = os.fork()
    if first:
        control.close()
        os.waitpid(first, 0)
        return
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    os.umask(0o022)
    try:
        make_mounts_private()
        os.chroot(".")
        _make_copy(sys.argv[1])
        if len(sys.argv) > 2:
            _show_disk(sys.argv[2], sys.argv[3])
        os.chroot(COPY)
        os.chdir("/")
        log = _furnish()
    except OSError as error:
        control.send(f"{error.strerror}: {error.filename}".encode())
        return
    socket.send_fds(control, [b"ready"], [log.fileno()])
    log.close()
    _serve(control)


def _make_copy(folder: str) -> None:
    """Make COPY: all of this machine's files, with changes kept in memory."""
    mount("tmpfs", SCRATCH, "tmpfs", 0, "mode=755")
    mounted = [path for path in MAYBE_MOUNTED if os.path.ismount(path)]
    for number, path in enumerate(["/", *mounted]):
        upper, work = f"{SCRATCH}/upper{number}", f"{SCRATCH}/work{number}"
        target = COPY + path.rstrip("/")
        for new in (upper, work, target):
            os.makedirs(new, exist_ok=True)
        status = os.stat(path)
        os.chmod(upper, stat.S_IMODE(status.st_mode))
        os.chown(upper, status.st_uid, status.st_gid)
        mount("overlay", target, "overlay", 0, f"lowerdir={path},upperdir={upper},workdir={work}")
    for path, mode in (("/run", "755"), ("/tmp", "1777"), ("/dev", "755"), ("/home", "755")):
        os.makedirs(COPY + path, exist_ok=True)
        mount("tmpfs", COPY + path, "tmpfs", 0, f"mode={mode}")
    os.makedirs(COPY + folder, exist_ok=True)
    mount(folder, COPY + folder, None, MS_BIND)
    mount(None, COPY + folder, None, MS_BIND | MS_REMOUNT | MS_RDONLY)


def _show_disk(folder: str, place: str) -> None:
    """Let what is written to ``place`` go to a real disk."""
    os.makedirs(COPY + place, exist_ok=True)
    mount(folder, COPY + place, None, MS_BIND)


def _furnish() -> socket.socket:
    """Fill /proc and /dev, start the network, and return the socket bound to /dev/log."""
    os.makedirs("/proc", exist_ok=True)
    mount("proc", "/proc", "proc")
    for name, numbers in DEVICES.items():
        os.mknod(f"/dev/{name}", stat.S_IFCHR, os.makedev(*numbers))
        os.chmod(f"/dev/{name}", 0o666)
    os.mkdir("/dev/pts")
    mount("devpts", "/dev/pts", "devpts", 0, f"ptmxmode=0666,mode=0620,gid={TTY_GROUP}")
    os.symlink("pts/ptmx", "/dev/ptmx")
    os.symlink("/proc/self/fd", "/dev/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"/dev/{name}")
    call("sethostname", NAME.encode(), len(NAME))
    with open("/etc/hosts", "w", encoding="ascii") as hosts:
        hosts.write(f"127.0.0.1 localhost {NAME}\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    with open("/proc/sys/net/unix/max_dgram_qlen", "w", encoding="ascii") as queue:
        queue.write("10000")  # nobody waits for the test to read the log
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    os.chmod("/dev/log", 0o666)
    return log


def _serve(control: socket.socket) -> None:
    """Start a process for every request, and report how each of them ends."""
    replies: dict[int, socket.socket] = {}
    child_ended, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        readable, _, _ = select.select([control, child_ended], [], [])
        if child_ended in readable:
            os.read(child_ended, 4096)
            _report_ended(replies)
        if control in readable:
            request, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 4)
            if not request:
                return
            reply = socket.socket(fileno=descriptors[0])
            replies[_start(json.loads(request), reply, descriptors[1:])] = reply


def _start(wanted: dict, reply: socket.socket, standard: list[int]) -> int:
    """Return the pid of the wanted program, on the ``standard`` files or on a terminal."""
    if not standard:
        terminal, line = os.openpty()
        fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("4H", 50, 200, 0, 0))
        os.fchown(line, pwd.getpwnam(wanted["user"]).pw_uid, TTY_GROUP)
        socket.send_fds(reply, [b"terminal"], [terminal])
        os.close(terminal)
        standard = [line, line, line]
    pid = os.fork()
    if pid == 0:
        _become(wanted, standard)
    for descriptor in set(standard):
        os.close(descriptor)
    return pid


def _report_ended(replies: dict[int, socket.socket]) -> None:
    """Wait for whoever has ended, orphans too; tell who asked for the others."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in replies:
            with replies.pop(pid) as reply:
                try:
                    reply.send(str(os.waitstatus_to_exitcode(status)).encode())
                except OSError:  # nobody waits for this one any more
                    pass


def _become(wanted: dict, standard: list[int]) -> None:
    """Turn this fork into the wanted program; never returns."""
    try:
        os.setsid()
        if os.isatty(standard[0]):
            fcntl.ioctl(standard[0], termios.TIOCSCTTY, 0)
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
        os.closerange(3, 256)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        entry = pwd.getpwnam(wanted["user"])
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        os.chdir(wanted["cwd"])
        if wanted["may_fork"]:
            _run_totpctl(wanted["argv"], wanted["env"])
        os.execvpe(wanted["argv"][0], wanted["argv"], wanted["env"])
    except BaseException as error:
        os.write(2, f"{wanted['argv'][0]}: {error}\n".encode())
    finally:
        os._exit(127)


def _run_totpctl(argv: list[str], environment: dict[str, str]) -> None:
    """Run it as Python does that was just started; return where it is not ours, or not there."""
    path = shutil.which(argv[0], path=environment["PATH"])
    if path is None:
        return
    with open(path, "rb") as file:
        source = file.read()
    if not source.startswith(START_OF_TOTPCTL):
        return
    call("prctl", PR_SET_NAME, os.path.basename(path).encode())
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [path, *argv[1:]]
    os._exit(status_of(compile(source, path, "exec"), __file__=path))
