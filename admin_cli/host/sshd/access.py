"""Whom sshd lets in, and by what: its settings met with what an account has.

Of AllowUsers and DenyUsers the part behind "@" is not looked at: where somebody comes from is not
known beforehand, so such a line allows, and does not deny. Match blocks count as for a login
from this machine.
"""

from __future__ import annotations

import pwd
import re
from collections.abc import Mapping
from typing import NamedTuple

from .. import accounts, directory, sshd
from ..accounts import NO, Shadow


class Ways(NamedTuple):
    """What somebody has to log in with. ``key``: accounts.YES, MAYBE or NO.

    ``may_type``: sshd lets them answer questions; not root under PermitRootLogin
    prohibit-password. ``now``: they get in as things stand.
    """

    password: bool = False
    key: str = NO
    may_type: bool = True
    now: bool = False


NOTHING = Ways()
_LISTS = ("denyusers", "allowusers", "denygroups", "allowgroups")
_KEYWORDS = (
    *_LISTS,
    "authenticationmethods",
    "authorizedkeyscommand",
    "authorizedkeysfile",
    "kbdinteractiveauthentication",
    "passwordauthentication",
    "permitrootlogin",
    "pubkeyauthentication",
    "trustedusercakeys",
)  # what is looked at here, and may stand in a Match block


class Access:
    """What sshd has in force, read once, and for each account where that may differ.

    To ask sshd takes about 10 ms: only a Match block that sets what is looked at here costs it.
    """

    def __init__(self, shadow: Mapping[str, Shadow]) -> None:
        self._shadow = shadow
        self._of_all = sshd.effective()
        self._varies = sshd.has_match_blocks(_KEYWORDS)

    def settings(self, entry: pwd.struct_passwd) -> Mapping[str, str]:
        return sshd.effective(entry.pw_name) if self._varies else self._of_all

    def ways(self, entry: pwd.struct_passwd) -> Ways:
        """Return NOTHING for users who cannot get in, whatever is asked for."""
        if not accounts.has_shell(entry) or accounts.has_expired(entry, self._shadow):
            return NOTHING
        password = accounts.has_password(entry, self._shadow)
        settings = self.settings(entry)
        key = accounts.has_key(entry, settings)
        if (not password and key == NO) or not is_allowed(entry, settings):
            return NOTHING
        may_type = True
        if entry.pw_uid == 0:
            permitted = settings.get("permitrootlogin", "")
            if permitted not in ("yes", "without-password", "prohibit-password"):
                return NOTHING  # "no", and "forced-commands-only", which gives no shell
            may_type = permitted == "yes"
            password = password and may_type
        now = (password and _takes_passwords(settings)) or (key != NO and _takes_keys(settings))
        return Ways(password, key, may_type, now)

    def notes(self, keys: str) -> list[str]:
        """Say what a change to ``keys`` brings that nobody may expect, and what is not known."""
        settings, notes = self._of_all, []
        if keys == "code" and not sshd.takes_passwords_alone(settings):
            notes.append(
                "sshd lets nobody in without a key now; it will, by password and code; "
                "to require a key: --keys key+code"
            )
        if keys != "none" and sshd.keys_in_force(settings) == "none":
            notes.append("sshd lets nobody in by a key now; it will; to let no key in: --keys none")
        for keyword in ("AuthorizedKeysCommand", "TrustedUserCAKeys"):
            if settings.get(keyword.lower(), "none") != "none":
                notes.append(f"{keyword} is set, so it is unknown which users have a key")
        return [*notes, *sshd.of_other_servers(keys)]


def _takes_passwords(settings: Mapping[str, str]) -> bool:
    typed = settings.get("kbdinteractiveauthentication") == "yes" and _is_yes(settings, "usepam")
    if not typed and not _is_yes(settings, "passwordauthentication"):
        return False
    lists = settings.get("authenticationmethods", "any").split()
    return lists == ["any"] or any(
        "keyboard-interactive" in methods or "password" in methods for methods in lists
    )


def _takes_keys(settings: Mapping[str, str]) -> bool:
    lists = settings.get("authenticationmethods", "any").split()
    return lists == ["any"] or any("publickey" in methods for methods in lists)


def _is_yes(settings: Mapping[str, str], keyword: str) -> bool:
    return settings.get(keyword) == "yes"


def is_allowed(entry: pwd.struct_passwd, settings: Mapping[str, str]) -> bool:
    """DenyUsers, AllowUsers, DenyGroups, AllowGroups, each a list of patterns."""
    lists = {keyword: settings.get(keyword, "").split() for keyword in _LISTS}
    deny, allow = lists["denyusers"], lists["allowusers"]
    if any(matches(pattern, entry.pw_name) for pattern in deny if "@" not in pattern):
        return False
    if allow and not any(
        matches(pattern.rpartition("@")[0] or pattern, entry.pw_name) for pattern in allow
    ):
        return False
    if not lists["denygroups"] and not lists["allowgroups"]:
        return True
    groups = directory.group_names(entry)
    if any(matches(pattern, group) for pattern in lists["denygroups"] for group in groups):
        return False
    return not lists["allowgroups"] or any(
        matches(pattern, group) for pattern in lists["allowgroups"] for group in groups
    )


def matches(pattern: str, name: str) -> bool:
    """Match a pattern of ssh_config(5), in which only "*" and "?" mean something."""
    parts = (
        ".*" if character == "*" else "." if character == "?" else re.escape(character)
        for character in pattern
    )
    return re.fullmatch("".join(parts), name, re.DOTALL) is not None
