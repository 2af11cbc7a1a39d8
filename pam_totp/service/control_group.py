"""A worker that the module starts leaves its caller's control group, before it holds anything.

systemd gives every user a part of the tree of control groups for their own services. Its owner may
freeze, starve or kill all that runs in it, root's processes too (cgroups(7)): frozen in a
transaction, one would keep everybody else waiting. Nobody but root moves it out of a group of
root's.
"""

from __future__ import annotations

import errno
import os
import stat

from ..system.errors import PamTotpError

MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")  # the second: beside version 1
OURS = "pam_totp"  # a group of root's, at the top of the tree; it stays, and holds nothing
_MEMBERSHIP = "/proc/self/cgroup"
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class CannotLeave(PamTotpError):
    """Somebody else can freeze this process."""


def leave_if_not_roots() -> None:
    """Move to a group of our own, where somebody else than root owns the one that this is in.

    Does nothing where there is no tree of version 2, or another one than that of this process.
    Raises CannotLeave.
    """
    tree = next((mount for mount in MOUNTS if os.path.exists(f"{mount}/cgroup.controllers")), None)
    if tree is None or _is_roots(tree):
        return
    try:
        _enter(f"{tree}/{OURS}")
    except OSError as error:
        raise CannotLeave(
            "control group",
            f"is not root's, and cannot be left: {error.strerror}",
            "start pam_totp.socket, or log in from elsewhere",
        ) from None


def _is_roots(tree: str) -> bool:
    """Tell whether every group from the top of ``tree`` down to ours is root's to write.

    Its top is not looked at: in a container it belongs to whoever runs the container.
    """
    try:
        with open(_MEMBERSHIP, "rb") as file:
            (path,) = (line[3:].rstrip(b"\n") for line in file if line.startswith(b"0::"))
        folder = os.fsencode(tree)
        for name in filter(None, path.split(b"/")):
            folder += b"/" + name
            status = os.lstat(folder)
            if status.st_uid != 0 or status.st_mode & _OTHERS_MAY_WRITE:
                return False
    except ValueError:  # no group of version 2
        return True
    except OSError as error:
        # Too long: somebody nested them. Else what is mounted there shows other groups than ours.
        return error.errno not in (errno.ENAMETOOLONG, errno.ENOMEM)
    return True


def _enter(group: str) -> None:
    try:
        os.mkdir(group, 0o755)
    except FileExistsError:
        pass
    status = os.lstat(group)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0:
        raise PermissionError(errno.EPERM, f"{group} is not root's")
    with open(f"{group}/cgroup.procs", "wb", buffering=0) as members:
        members.write(b"0")  # whoever writes
