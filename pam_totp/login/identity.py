"""Look accounts up: what the directory and /etc/passwd say of a name."""

from __future__ import annotations

import os
import pwd

from ..core.users import Account

PASSWD_FILE = "/etc/passwd"


def passwd_entry(user: str) -> pwd.struct_passwd | None:
    """Look the user up, so that ALICE of a case-insensitive directory is alice here too."""
    try:
        # os.fsdecode: in the C locale, pwd takes what is not ASCII as surrogates.
        return pwd.getpwnam(os.fsdecode(user.encode("utf-8")))
    except (KeyError, ValueError):  # unknown; a NUL or a surrogate in the name
        return None


def canonical_name(entry: pwd.struct_passwd) -> str:
    return os.fsencode(entry.pw_name).decode("utf-8", "surrogateescape")


def account(entry: pwd.struct_passwd) -> Account:
    """Return what ties a record to ``entry``: its uid, and whether this machine gives out that uid.

    A directory may renumber its people. If the file cannot be read, the account counts as one of
    this machine, which is the stricter reading.
    """
    begins = os.fsencode(entry.pw_name) + b":"
    try:
        with open(PASSWD_FILE, "rb") as file:
            is_local = any(line.startswith(begins) for line in file)
    except OSError:
        is_local = True
    return Account(entry.pw_uid, is_local)
