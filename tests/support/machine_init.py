"""The first process of a Machine (see machine.py): makes the copy, then starts what it is told to.

    machine_init WANTED

Standard input is a SOCK_SEQPACKET socket; when its other end closes, this process ends and the
kernel removes the machine with all that runs in it. WANTED is JSON: "folder" is shown inside at the
same path, read-only; of "disk", a folder at a path inside, writable; "left_out", paths, is not
taken over from this machine, and "files", by path text and mode, are there instead; "installed"
tells whether the product is. Everything needed is imported before the root changes.

It comes from tests/support/starter.py, and so has loaded what totpctl needs of libraries, and the
product: totpctl, and a worker that listens, are forks of it where nothing speaks against it.
"""

from __future__ import annotations

import contextlib
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
import subprocess
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
from tests.support.starter import load_all_of, status_of

CLONE_NEWUTS, CLONE_NEWIPC = 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
STARTS_OF_OURS = (b"#!/usr/bin/python3 -I\n", b"#!/usr/bin/python3 -IS\n")  # totpctl, worker
PEOPLE = range(1000, 60000)  # others come with a distribution
LIBRARY, PACKAGES = "/usr/lib/pam_totp", ("pam_totp", "admin_cli")
TTY_GROUP = 5
NAME = "machine"
MAX_REQUEST_BYTES = 128 * 1024

ABOVE = "/sys"  # there on every Linux, and nothing that a test needs lies under it
PRODUCT, SCRATCH = f"{ABOVE}/product", f"{ABOVE}/machine"
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

_loaded: dict[str, tuple[int, ...]] = {}  # the files of the product's modules, and how they look


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
    wanted = json.loads(sys.argv[1])
    if wanted["installed"]:  # its files are over those of this machine
        wanted["left_out"] = [p for p in wanted["left_out"] if not os.path.lexists(PRODUCT + p)]
    try:
        make_mounts_private()
        os.chroot(".")
        _make_copy(wanted["folder"], with_product=wanted["installed"])
        if wanted["disk"]:
            _show_disk(*wanted["disk"])
        os.chroot(COPY)
        os.chdir("/")
        log = _furnish()
        _leave_out(wanted["left_out"])
        _write_files(wanted["files"])
        os.initgroups("root", 0)
    except OSError as error:
        control.send(f"{error.strerror}: {error.filename}".encode())
        return
    socket.send_fds(control, [b"ready"], [log.fileno()])
    log.close()
    _serve(control)


def load_product() -> None:
    """Load all modules of the product, in the archive on standard input, as if it was installed.

    What forks from here finds them, and its files in PRODUCT: nobody else sees these mounts.
    """
    call("unshare", CLONE_NEWNS)
    make_mounts_private()
    os.chroot(".")
    mount("tmpfs", ABOVE, "tmpfs", 0, "mode=755")
    for folder in (PRODUCT, SCRATCH):
        os.mkdir(folder)
    subprocess.run(["tar", "--extract", "--file=-", f"--directory={PRODUCT}"], check=True)
    os.setxattr(PRODUCT + LIBRARY, "trusted.overlay.opaque", b"y")
    below = os.path.dirname(LIBRARY)
    mount("overlay", below, "overlay", MS_RDONLY, f"lowerdir={PRODUCT}{below}:{below}")
    sys.path.insert(0, LIBRARY)
    for package in PACKAGES:
        load_all_of(package)
    _loaded.update((path, _look_of(path)) for path in _files_of(_own_modules()))
    del sys.path[0]
    sys.path_importer_cache.clear()
    call("umount2", below.encode(), MNT_DETACH)


def _own_modules() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] in PACKAGES]


def _files_of(names: list[str]) -> list[str]:
    """Return the files that Python reads to load these modules: their source is compared only."""
    specs = [sys.modules[name].__spec__ for name in names]
    return [str(path) for spec in specs for path in (spec.origin, spec.cached)]


def _look_of(path: str) -> tuple[int, ...]:
    """Return by what Python, and whoever may not, tells a file from another of the same name."""
    status = os.stat(path)
    return int(status.st_mtime), status.st_size, status.st_mode, status.st_uid


def _forget_product_unless_installed() -> None:
    """Let what is installed be loaded, unless that is what was loaded before."""
    try:
        is_same = all(_look_of(path) == look for path, look in _loaded.items())
    except OSError:
        is_same = False
    if not is_same:
        for name in _own_modules():
            del sys.modules[name]


def _make_copy(folder: str, *, with_product: bool) -> None:
    """Make COPY: all of this machine's files, with changes kept in memory.

    With the product over them, whose folders can be renamed as if it was written there.
    """
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
        over = PRODUCT + path.rstrip("/")
        lower = f"{over}:{path}" if with_product and os.path.isdir(over) else path
        options = f"lowerdir={lower},upperdir={upper},workdir={work},redirect_dir=on"
        mount("overlay", target, "overlay", 0, options)
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


def _leave_out(paths: list[str]) -> None:
    """Remove what this machine has of it, and its people; let root have no password."""
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
    people = {words[0] for words in _words_of("/etc/passwd") if int(words[2]) in PEOPLE}
    for path in ("/etc/passwd", "/etc/shadow", "/etc/subuid", "/etc/subgid"):
        lines = [words for words in _words_of(path) if words[0] not in people]
        if path == "/etc/shadow":
            lines = [[w[0], "*", *w[2:]] if w[0] == "root" else w for w in lines]
        _write_words(path, lines)
    for path in ("/etc/group", "/etc/gshadow"):
        lines = [words for words in _words_of(path) if words[0] not in people]
        for words in lines:
            words[-1] = ",".join(name for name in words[-1].split(",") if name not in people)
        _write_words(path, lines)


def _words_of(path: str) -> list[list[str]]:
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
        return [line.rstrip("\n").split(":") for line in file]
    return []


def _write_words(path: str, lines: list[list[str]]) -> None:
    if lines != _words_of(path):
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(":".join(words) + "\n" for words in lines)


def _write_files(files: dict[str, tuple[str, int]]) -> None:
    for path, (text, mode) in files.items():
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
        with open(path, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)


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
            wanted = json.loads(request)
            pid = _start(wanted, reply, descriptors[1:])
            replies[pid] = reply
            if wanted["tells_pid"]:
                reply.send(str(pid).encode())


def _start(wanted: dict, reply: socket.socket, standard: list[int]) -> int:
    """Return the pid of the wanted program, on the ``standard`` files or on a terminal."""
    if not standard:
        terminal, line = os.openpty()
        fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("4H", 50, 200, 0, 0))
        os.fchown(line, pwd.getpwnam(wanted["user"]).pw_uid, TTY_GROUP)
        socket.send_fds(reply, [b"terminal"], [terminal])
        os.close(terminal)
        standard = [line, line, line]
    pid = _executed(wanted, standard) or os.fork()
    if pid == 0:
        _become(wanted, standard)
    for descriptor in set(standard):
        os.close(descriptor)
    return pid


def _executed(wanted: dict, standard: list[int]) -> int | None:
    """Start what needs no copy of this process, which takes longer than most programs do."""
    if wanted["user"] != "root" or wanted["may_fork"] or os.isatty(standard[0]):
        return None
    stdin, stdout, stderr = standard
    try:
        program = subprocess.Popen(
            wanted["argv"],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=wanted["env"],
            cwd=wanted["cwd"],
            start_new_session=True,
        )
    except OSError:
        return None
    program.returncode = 0  # this process waits for it with all others
    return program.pid


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
            _run_ours(wanted["argv"], wanted["env"])
        os.execvpe(wanted["argv"][0], wanted["argv"], wanted["env"])
    except BaseException as error:
        os.write(2, f"{wanted['argv'][0]}: {error}\n".encode())
    finally:
        os._exit(127)


def _run_ours(argv: list[str], environment: dict[str, str]) -> None:
    """Run it as Python does that was just started; return where it is not ours, or not there."""
    path = shutil.which(argv[0], path=environment["PATH"])
    if path is None:
        return
    with open(path, "rb") as file:
        source = file.read()
    if not source.startswith(STARTS_OF_OURS):
        return
    call("prctl", PR_SET_NAME, os.path.basename(path).encode())
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    _forget_product_unless_installed()
    sys.argv = [path, *argv[1:]]
    os._exit(status_of(compile(source, path, "exec"), __file__=path))
