"""Who logs in: what the application hands over, and what the directory says of the name."""

from __future__ import annotations

import os
import pwd

from ..core.admission import Account
from ..system.errors import ConversationFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PASSWD_FILE = "/etc/passwd"


def user(pamh: Any) -> str:
    try:
        return str(pamh.get_user(None) or "")
    except UnicodeError:
        return ""
    except pamh.exception:
        raise ConversationFailed("conversation", "nobody said who logs in") from None


def item(pamh: Any, name: str) -> str:
    try:
        return str(getattr(pamh, name) or "")
    except UnicodeError:
        return "?"


def password(pamh: Any) -> str | None:
    try:
        token = pamh.authtok
    except (UnicodeError, pamh.exception):
        return None
    return token if isinstance(token, str) else None


def password_given(pamh: Any) -> bool:
    """Tell whether the stack has asked for a password; not whether it was the right one.

    A worker's ``pamh`` says so itself, for it never has the password.
    """
    return bool(password(pamh)) and bool(getattr(pamh, "password_given", True))


def is_sshd(pamh: Any) -> bool:
    return item(pamh, "service").startswith("sshd")


def came_with_a_key(pamh: Any) -> bool:
    """Tell whether sshd says that it has accepted a key before. Only sshd may be believed."""
    lines = str(pamh.env.get("SSH_AUTH_INFO_0") or "").split("\n")
    return any(line.startswith("publickey ") for line in lines)


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
