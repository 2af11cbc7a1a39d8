"""Which files with secrets are read: whose they may be, and what others may do with them.

Whoever has written such a file can log in as its user. So a file is refused where others may
write it; and what another module reads for its users is refused where that module refuses it, as
its users are denied then.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .tokens import Unreadable

OTHERS_MAY_READ = stat.S_IRGRP | stat.S_IROTH
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
MOST_BYTES = 4 * 1024 * 1024  # of one file
_LOGIN_UID = "/proc/self/loginuid"


class TrustRule(NamedTuple):
    """What a file must be.

    ``owners``: their uids; None: whoever. ``forbidden``: bits of the mode, ``allowed``: the mode
    that a message names. ``reader``: with whose rights it is opened; None: with our own.
    """

    owners: frozenset[int] | None = None
    forbidden: int = OTHERS_MAY_WRITE
    allowed: int = 0o600
    reader: pwd.struct_passwd | None = None
    most_bytes: int = MOST_BYTES


def check(path: str, status: os.stat_result, rule: TrustRule) -> None:
    """Raise Unreadable for a file that ``rule`` refuses; of a pipe only the kind counts."""
    if not stat.S_ISREG(status.st_mode):
        raise Unreadable("is not a regular file")
    if rule.owners is not None and status.st_uid not in rule.owners:
        raise Unreadable(f"is owned by uid {status.st_uid}, another user")
    check_mode(path, status, rule)


def check_mode(path: str, status: os.stat_result, rule: TrustRule) -> None:
    """Raise Unreadable for a mode that ``rule`` refuses."""
    mode = stat.S_IMODE(status.st_mode)
    fix = f"chmod {rule.allowed:04o} {shlex.quote(path)}"
    if mode & rule.forbidden & OTHERS_MAY_WRITE:
        raise Unreadable(
            f"can be written by others (mode {mode:04o})", f"check what is in it; then run: {fix}"
        )
    if mode & rule.forbidden:
        raise Unreadable(f"has mode {mode:04o}, more than {rule.allowed:04o}", f"run: {fix}")


@contextmanager
def rights_of(entry: pwd.struct_passwd | None) -> Iterator[None]:
    """Open files as ``entry`` could, in their own group alone; None: as we can.

    A home on another machine may be closed to root, and no link leads where its user may not go.
    """
    if entry is None or entry.pw_uid == 0 or os.geteuid() != 0:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    try:
        os.setgroups([])
        os.setegid(entry.pw_gid)
        os.seteuid(entry.pw_uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def uids_of_administrator() -> set[int]:
    """Return root's uid, ours, and that of the person who became root by sudo, or logged in."""
    found = {0, os.geteuid()}
    try:
        with open(_LOGIN_UID, encoding="ascii") as file:
            login = file.read()
    except OSError:
        login = ""
    for uid in (login, os.environ.get("SUDO_UID", "")):
        found |= {int(uid)} if uid.isdecimal() else set()
    return found
