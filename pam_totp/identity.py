"""Who logs in: what the application hands over, and what the directory says of the name."""

from __future__ import annotations

import grp
import os
import pwd

from .errors import ConversationFailed
from .records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Groups(NamedTuple):
    """Of some names: whose member an account is, and which are no group, or not to be had now."""

    member_of: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


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


def groups_among(entry: pwd.struct_passwd, names: tuple[str, ...]) -> Groups:
    """Say of ``names`` which groups the user is a member of, and which are none."""
    if not names:
        return Groups()
    member_of = os.getgrouplist(entry.pw_name, entry.pw_gid)
    numbers = {name: _group_id(name) for name in names}
    return Groups(
        tuple(name for name in names if numbers[name] in member_of),
        tuple(name for name in names if numbers[name] is None),
    )


def in_groups(entry: pwd.struct_passwd, names: tuple[str, ...]) -> bool:
    return bool(groups_among(entry, names).member_of)


def _group_id(name: str) -> int | None:
    try:
        return grp.getgrnam(os.fsdecode(name.encode("utf-8"))).gr_gid
    except (KeyError, ValueError):  # unknown; a NUL or a surrogate in the name
        return None
