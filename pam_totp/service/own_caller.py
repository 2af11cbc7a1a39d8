"""Whose process is at the other end of the socket of self-service, and from where.

All of it is what the kernel says, and logind.
"""

from __future__ import annotations

import os
import pwd

from ..login import identity
from ..login.self_service import Caller
from .worker import Peer, Refused

# What the kernel shows of users whom this user namespace does not know, and what is nobody's.
_UNMAPPED = 65534
_NONE = 2**32 - 1
_LONGEST = 48  # an address of IPv6 is shorter
_SEATS = "/run/systemd/sessions"  # a file of logind's for each login, which root alone writes


def caller_of(peer: Peer) -> Caller:
    """Return whose process ``peer`` is. Raises Refused where that is not one account's alone."""
    uid = peer.uid
    if uid == 0:
        raise Refused("root", "has no self-service", "run: totpctl enroll root")
    if uid in (_UNMAPPED, _NONE):
        raise Refused(f"uid {uid}", "is not that of a person")
    try:
        entry = pwd.getpwuid(uid)
    except (KeyError, OverflowError):
        raise Refused(
            f"uid {uid}",
            "belongs to no account here, or the directory that knows it cannot be reached",
            "try again later, or ask an administrator",
        ) from None
    name = identity.canonical_name(entry)
    again = identity.passwd_entry(name)
    if again is None or again.pw_uid != uid or identity.canonical_name(again) != name:
        raise Refused(
            f"uid {uid}", "is not that of the account with its name", "tell an administrator"
        )
    others = sorted(_local_names(uid) - {name})
    if others:
        raise Refused(
            f"uid {uid}",
            f"is shared by several accounts: {', '.join([name, *others])}",
            "ask an administrator to change your enrollment",
        )
    return Caller(name, uid, where_of(peer))


def where_of(peer: Peer) -> str:
    """Say from where ``peer`` came: the address that logind noted, and the terminal; "": unknown.

    Of the process that connected, if it still is there: one that takes its number could at most
    be another one of this user.
    """
    folder = f"/proc/{peer.pid}"
    try:
        if os.stat(folder).st_uid != peer.uid:
            return ""
        seat = _login_of(_read(f"{folder}/cgroup"), peer.uid)
        terminal = terminal_of(_read(f"{folder}/stat"))
    except (OSError, ValueError, IndexError):
        return ""
    found = [seat.get("REMOTE_HOST", ""), terminal or seat.get("TTY", "")]
    return ", ".join(_shown(part) for part in found if part)


def terminal_of(stat: str) -> str:
    """Return the terminal that a /proc/PID/stat names: proc_pid_stat(5), tty_nr; "": none."""
    number = int(stat.rpartition(")")[2].split()[4])
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    if 136 <= major <= 143:  # devices.txt of Linux: the slaves of Unix98
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 and minor < 64 else ""


def _login_of(cgroup: str, uid: int) -> dict[str, str]:
    """Return what logind knows of the login whose scope ``cgroup`` names; {}: nothing."""
    for part in cgroup.strip().split("/"):
        number = part.removeprefix("session-").removesuffix(".scope")
        if part == f"session-{number}.scope" and number.isalnum():
            lines = _read(f"{_SEATS}/{number}").splitlines()
            known = dict(line.split("=", 1) for line in lines if "=" in line)
            return known if known.get("UID") == str(uid) else {}
    return {}


def _local_names(uid: int) -> set[str]:
    """Return the names that the file gives to ``uid``."""
    names = set()
    with open(identity.PASSWD_FILE, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(":")
            if len(fields) > 2 and fields[2] == str(uid) and not line.startswith(("+", "-")):
                names.add(fields[0])
    return names


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(4096)


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:_LONGEST]
