"""Why nothing can be written at a path, and the command that helps: for hints, when it has failed.

os.path.ismount() knows no bind mount of the same file system; the kernel's list does, see proc(5).
"""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

STATE = "/var/lib/pam_totp"  # where a login writes, if the error names no file
FSTAB = "/etc/fstab"
_MOUNTS = "/proc/self/mountinfo"
_NAMESPACE = "/proc/{}/ns/mnt"
FEW_FILES = 16
_QUOTAS = {"quota", "usrquota", "usrjquota", "uquota", "prjquota", "pquota"}


class Mount(NamedTuple):
    """Which folder of a file system is shown at ``point``: one line of proc_pid_mountinfo(5)."""

    folder: str  # as the kernel escapes it; of one that was deleted, with //deleted behind it
    point: str
    options: list[str]
    file_system_options: list[str]


def mounts(file: str = "") -> list[Mount]:
    """Return the mounts that this process sees, or those of ``file``, in their order. OSError."""
    with open(file or _MOUNTS, encoding="utf-8", errors="surrogateescape") as lines:
        fields = [line.rstrip("\n").split(" ") for line in lines]
    return [Mount(f[3], _unescaped(f[4]), f[5].split(","), f[-1].split(",")) for f in fields]


def mount_point(path: str) -> str:
    """Return where the file system of ``path`` is mounted, "/" if that cannot be known."""
    path = os.path.realpath(path)
    points = mount_points()
    while path != "/" and path not in points:
        path = os.path.dirname(path)
    return path


def mount_points() -> set[str]:
    try:
        return {mount.point for mount in mounts()}
    except (OSError, IndexError):
        return {"/"}


def unmounted_points(path: str) -> list[str]:
    """Return the mount points at or above ``path`` that fstab(5) names, with nothing mounted."""
    try:
        with open(FSTAB, encoding="utf-8", errors="surrogateescape") as file:
            entries = [line.split() for line in file if not line.lstrip().startswith("#")]
    except OSError:
        return []
    mounted = mount_points()
    points = []
    for entry in entries:
        if len(entry) < 4 or "noauto" in entry[3].split(",") or not entry[1].startswith("/"):
            continue
        point = _unescaped(entry[1]).rstrip("/")
        if point and f"{path}/".startswith(f"{point}/") and point not in mounted:
            points.append(point)
    return points


def missing_hint(path: str) -> str:
    """Say what brings a store or its folder back: its disk, where that is not mounted."""
    for point in unmounted_points(path):
        return f"run: mount {_quoted(point)}; if it is no longer in use, remove it from {FSTAB}"
    return "restore it, or mount its disk; on a new machine run: totpctl init"


def has_quotas(path: str) -> bool:
    """Tell by its options whether users may take only so much of the file system of ``path``."""
    of_mount, of_file_system = _options(mount_point(path))
    return not _QUOTAS.isdisjoint(option.partition("=")[0] for option in of_mount + of_file_system)


def no_room_hint(path: str) -> str:
    """Say how to see what takes the room on the file system of ``path``: blocks, or inodes.

    A file system may be out of inodes, which are what files are counted in, while df shows room.
    """
    point = mount_point(path)
    try:
        room = os.statvfs(point)
    except OSError:
        return f"make room on the disk: df -h {_quoted(point)}; df -i {_quoted(point)}"
    if room.f_files and room.f_ffree < FEW_FILES:
        return f"remove files, it has no inodes left: df -i {_quoted(point)}"
    return f"make room on the disk: df -h {_quoted(point)}"


def read_only_hint(path: str) -> str:
    """Say what makes ``path`` writable: its mount, its attributes, or the sandbox of a service."""
    folder = os.path.dirname(os.path.abspath(path))
    existing = path if os.path.exists(path) else folder
    point = mount_point(existing)
    try:
        is_read_only = os.statvfs(existing).f_flag & os.ST_RDONLY
    except OSError:
        is_read_only = 1
    if not is_read_only:
        names = f"{_quoted(folder)} {_quoted(path)}"
        return f"check whether chattr made it immutable: lsattr -d {names}"
    of_mount, of_file_system = _options(point)
    # Without "bind", mount changes the file system too, from 2.39 on in a way an overlay refuses.
    mount_alone = "ro" in of_mount and "rw" in of_file_system
    options = "remount,bind,rw" if mount_alone else "remount,rw"
    remount = f"run: mount -o {options} {_quoted(point)}"
    if _in_a_namespace_of_its_own():
        return (
            f"{remount}; if only the service cannot write there: systemctl edit pam_totp.service; "
            f"write: [Service], then: BindPaths={folder}"
        )
    return f"{remount}; if that fails, look at: dmesg"


def system_hint(error: OSError) -> str:
    """Return what to look at: errno.h numbers what can run out, or fail, in a login."""
    path = os.path.abspath(error.filename or STATE)
    if error.errno == errno.EROFS:
        return read_only_hint(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_room_hint(path)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many files are open: look at LimitNOFILE, and at /proc/sys/fs/file-nr"
    if error.errno in (errno.ENOMEM, errno.EAGAIN):
        return "memory, or the number of processes, is used up: look at: free -m; dmesg"
    return "look at: dmesg"


def holders_hint(path: str) -> str:
    """Say how to see which processes have ``path`` open: with what every machine has."""
    pattern = _quoted(f"{path}*")
    return f"find /proc/[0-9]*/fd -lname {pattern}"


def is_file_system_read_only(path: str) -> bool:
    """Return whether the file system itself is read-only: not one of its mounts, as in a sandbox.

    So it is after an error (errors=remount-ro). Unknown is no.
    """
    return "ro" in _options(mount_point(path))[1]


def _options(point: str) -> tuple[list[str], list[str]]:
    """Return the options of the last mount at ``point``, and of its file system; [] if unknown."""
    try:
        last = [mount for mount in mounts() if mount.point == point][-1]
    except (OSError, IndexError):
        return [], []
    return last.options, last.file_system_options


def _in_a_namespace_of_its_own() -> bool:
    """Tell whether this process may see other mounts than an administrator does."""
    try:
        return os.readlink(_NAMESPACE.format("self")) != os.readlink(_NAMESPACE.format(1))
    except OSError:  # the service may not look at process 1
        return True


def _quoted(path: str) -> str:
    """Quote for a shell, as shlex does, which is not loaded beside an application for this."""
    if all(character.isalnum() or character in "/._-+@:," for character in path):
        return path
    return "'" + path.replace("'", "'\\''") + "'"


def _unescaped(name: str) -> str:
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        name = name.replace(escape, character)
    return name
