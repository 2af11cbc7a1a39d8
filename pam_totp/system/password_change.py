"""The state of a password that this machine keeps: a change of it ends remembered places."""

from __future__ import annotations

import os

from ..core.hashes import sha256
from ..core.remembering import UNSEEN

SHADOW_FILE = "/etc/shadow"
PASSWD_FILE = "/etc/passwd"
_NAME, _HASH, _DAY = 0, 1, 2  # fields of shadow(5)
_DIGEST_LENGTH = 8  # in hexadecimal: enough to tell a change by, and too few to try passwords with


def state(user: str) -> str:
    """Return what changes whenever the password of ``user`` does.

    "DAY.DIGEST": the day that shadow(5) says, and a short digest of the hash, for a password may
    change twice a day. UNSEEN for users whose password the file does not hold: a directory keeps it
    and tells no one of a change. Where the file cannot be read (on Fedora, in a sandbox), it is
    "?.FILE" for accounts of this machine, with a mark of the file: any change of it counts.
    """
    try:
        name, status = os.fsencode(user), os.stat(SHADOW_FILE)
        try:
            fields = _entry(SHADOW_FILE, name)
        except PermissionError:
            # An empty file stands in for one that a sandbox hides: it never changes.
            is_seen = status.st_size > 0 and bool(_entry(PASSWD_FILE, name))
            return f"?.{status.st_ino:x}.{status.st_mtime_ns:x}" if is_seen else UNSEEN
    except (OSError, ValueError):
        return UNSEEN
    return _state_of(fields[_HASH], fields[_DAY]) if len(fields) > _DAY else UNSEEN


def _entry(path: str, name: bytes) -> list[bytes]:
    """Return the fields of the line that begins with ``name``; [] without one."""
    with open(path, "rb") as file:
        for line in file:
            fields = line.rstrip(b"\n").split(b":")
            if fields[_NAME] == name:
                return fields
    return []


def _state_of(password: bytes, day: bytes) -> str:
    if password[:1] in (b"", b"!", b"*"):  # none, locked, or kept elsewhere
        return UNSEEN
    digest = sha256(password).hexdigest()[:_DIGEST_LENGTH]
    return f"{day.decode('ascii') if day.isdigit() else '?'}.{digest}"
