"""The session and the ancestors of this process, as the kernel knows them: see remembering.py.

pam_totp/native/processes.c says the same of an application that a worker serves.
"""

from __future__ import annotations

import os

from . import embedding

_BOOT = "/proc/sys/kernel/random/boot_id"
_MOST_ANCESTORS = 32
# Fields of /proc/PID/stat from the third one on: proc_pid_stat(5).
_PARENT, _SESSION, _TERMINAL, _START = 1, 3, 4, 19


def described() -> str:
    """Return "BOOT LEADER TERMINAL LEADS SETUID ANCESTOR..."; "" where /proc does not tell."""
    try:
        with open(_BOOT, encoding="ascii") as file:
            boot = file.read(64).strip()
        own = _fields("self")
        leader = own[_SESSION]
        leads = leader in (str(os.getpid()), own[_PARENT]) and _is_of_this_program(leader)
        named = [f"{leader}:{_fields(leader)[_START]}"]
        parent = own[_PARENT]
        while int(parent) > 1 and len(named) <= _MOST_ANCESTORS:
            found = _fields(parent)
            named.append(f"{parent}:{found[_START]}")
            parent = found[_PARENT]
    except (OSError, ValueError, IndexError):
        return ""
    said = str(int(leads)), str(int(embedding.at_secure()))
    return " ".join((boot, named[0], own[_TERMINAL], *said, *named[1:]))


def _fields(process: str) -> list[str]:
    """Return the fields behind the name of a program, which may hold anything."""
    with open(f"/proc/{process}/stat", "rb") as file:
        return file.read(4096).rpartition(b")")[2].decode("ascii").split()


def _is_of_this_program(process: str) -> bool:
    return os.readlink(f"/proc/{process}/exe") == os.readlink("/proc/self/exe")
