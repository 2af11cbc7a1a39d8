"""The accounts of this machine: who has a shell, a password, and keys for sshd.

Sources: passwd(5), shadow(5), sshd_config(5).
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import stat
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from . import directory

SHADOW = "/etc/shadow"
ADMIN_GROUPS = ("sudo", "wheel", "admin")
_NO_SHELLS = ("nologin", "false", "sync", "shutdown", "halt")
_DAY = 86400  # seconds
_MAX_BYTES = 1024 * 1024

# What an account has of something.
YES, NO, MAYBE = "yes", "no", "maybe"  # MAYBE: a program or a directory decides
ONE_COMMAND = "one command"  # each of its keys runs one command, and gives no shell


class Shadow(NamedTuple):
    """One line of /etc/shadow. ``expires``: the day since 1970 from which on nobody gets in.

    ``changed``: the day of the last change of the password.
    """

    password: str
    expires: int | None = None
    changed: int | None = None


def everybody(more: Iterable[str] = ()) -> dict[str, pwd.struct_passwd]:
    """Return the accounts that the machine lists, and those of ``more`` that it knows, by name.

    A directory may know people that it does not list: sssd lists nobody, unless told to.
    """
    found: dict[str, pwd.struct_passwd] = {}
    for entry in directory.people():
        found.setdefault(entry.pw_name, entry)
    for name in (*members_of(ADMIN_GROUPS), *more):
        if name not in found and (known := directory.person(name)) is not None:
            found.setdefault(known.pw_name, known)
    return found


def members_of(names: Iterable[str]) -> set[str]:
    """Return who is listed as a member of one of the groups; primary groups are not seen here."""
    members: set[str] = set()
    for name in names:
        found = directory.group(name)
        members.update(found.members if found is not None else ())
    return members


def has_shell(entry: pwd.struct_passwd) -> bool:
    """Return whether the account's program is one to log in with; sshd looks for the file, too."""
    shell = entry.pw_shell or "/bin/sh"
    return os.path.basename(shell) not in _NO_SHELLS and os.access(shell, os.X_OK)


def read_shadow() -> dict[str, Shadow]:
    """Return the lines of /etc/shadow by name. Python has no module for it any more."""
    lines: dict[str, Shadow] = {}
    with open(SHADOW, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            name, password, *fields = [*line.rstrip("\n").split(":"), *[""] * 8][:9]
            expires = int(fields[5]) if fields[5].isdecimal() else None
            changed = int(fields[0]) if fields[0].isdecimal() else None
            lines.setdefault(name, Shadow(password, expires, changed))
    return lines


def has_password(entry: pwd.struct_passwd, shadow: Mapping[str, Shadow]) -> bool:
    """Return whether a password can be right. One of a directory is taken to be there.

    An empty password counts as none: sshd refuses it, and where it works nobody has to know it.
    """
    if entry.pw_name in shadow:
        return _is_usable(shadow[entry.pw_name].password)
    return _is_usable(entry.pw_passwd) or entry.pw_passwd in ("*", "x")


def has_expired(entry: pwd.struct_passwd, shadow: Mapping[str, Shadow]) -> bool:
    line = shadow.get(entry.pw_name)
    return line is not None and line.expires is not None and line.expires <= time.time() // _DAY


def has_key(entry: pwd.struct_passwd, settings: Mapping[str, str]) -> str:
    """Return YES, MAYBE, ONE_COMMAND or NO: the keys that sshd knows with ``settings`` in force."""
    if settings.get("pubkeyauthentication", "yes") == "no":
        return NO
    names = settings.get("authorizedkeysfile", ".ssh/authorized_keys").split()
    files = {_holds_a_key(_expanded(name, entry), entry) for name in names if name != "none"}
    others = ("authorizedkeyscommand", "trustedusercakeys")
    if YES in files:
        return YES
    if MAYBE in files or any(settings.get(other, "none") != "none" for other in others):
        return MAYBE
    return ONE_COMMAND if ONE_COMMAND in files else NO


def _is_usable(password: str) -> bool:
    return password not in ("", "x") and password[:1] not in ("!", "*")


def _expanded(name: str, entry: pwd.struct_passwd) -> str:
    tokens = {"%%": "%", "%h": entry.pw_dir, "%u": entry.pw_name, "%U": str(entry.pw_uid)}
    name = re.sub("%[%huU]", lambda token: tokens[token[0]], name)
    return os.path.join(entry.pw_dir, name)


def _holds_a_key(path: str, entry: pwd.struct_passwd) -> str:
    """MAYBE: a file that root may not read, or sshd will not.

    cloud-init gives root a key that says whom to log in as instead, and no shell.
    """
    try:
        content, status = _own_file(path)
    except PermissionError:  # a home on another machine
        return MAYBE
    except OSError:
        return NO
    lines = [line.strip() for line in content.split(b"\n")]
    keys = [line for line in lines if line and not line.startswith(b"#")]
    # StrictModes, which looks at the folders as well
    is_refused = status.st_mode & 0o022 or status.st_uid not in (0, entry.pw_uid)
    if not keys:
        return NO
    if all(b'command="' in key for key in keys):
        return ONE_COMMAND
    return MAYBE if is_refused else YES


def _own_file(path: str) -> tuple[bytes, os.stat_result]:
    """Return the content of a file that somebody has in their home, and what fstat(2) says of it.

    Nothing but a regular file is opened: it may be a link to /dev/watchdog, which reboots the
    machine, or a FIFO. One of no size is not read: /proc/kmsg has none, and waits. Raises OSError.
    """
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        if status.st_size == 0:
            return b"", status
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(f"/proc/self/fd/{found}", flags), "rb", buffering=0) as file:
            return file.read(_MAX_BYTES) or b"", status
    finally:
        os.close(found)
