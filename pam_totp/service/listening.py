"""The socket that the service listens on: systemd's, or one of its own at a path."""

from __future__ import annotations

import fcntl
import os
import socket
import stat

from . import sandbox
from .loop import BACKLOG
from .server import IDLE_SECONDS, CannotListen, Service


def serve_activated(descriptor: int) -> None:
    """Serve the listening socket that systemd hands over (sd_listen_fds(3)), until it is idle."""
    pid, count = os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDS")
    if (pid, count) != (str(os.getpid()), "1"):
        raise CannotListen("systemd", "handed over no socket", "see pam_totp.socket")
    sandbox.remember()
    with socket.socket(fileno=descriptor) as listener:
        Service(listener, idle_seconds=IDLE_SECONDS).run()


def serve_at(path: str) -> None:
    """Listen at ``path``, in a folder that is made where it is missing, until told to stop."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        os.mkdir(folder)
        os.chmod(folder, 0o755)  # noqa: S103  # whatever the umask: the socket decides who may
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        _bind(listener, path)
        ours = os.lstat(path)
        try:
            Service(listener).run()
        finally:
            if os.path.lexists(path) and os.path.samestat(ours, os.lstat(path)):
                os.unlink(path)


def _bind(listener: socket.socket, path: str) -> None:
    # Not the folder: whoever can open it for reading can lock it, and keep us waiting for ever.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(f"{path}.lock", flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once: the second finds the first one listening
        _remove_stale(path)
        listener.bind(path)  # for root alone: make_ready() has set the umask
        listener.listen(BACKLOG)
    finally:
        os.close(lock)


def _remove_stale(path: str) -> None:
    """Remove the socket of a service that did not end in an orderly way."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise CannotListen(path, "is there, and is no socket", f"look at: ls -l {path}")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise CannotListen(path, "is served already", f"see who: ss -xlp src {path}")
