"""Read the names that completion offers: users, groups, services. Changes nothing."""

from __future__ import annotations

import os
import re
import sqlite3

from pam_totp.stack import pam_stack
from pam_totp.store.sqlite import names as stored
from pam_totp.store.sqlite.names import Person as Person
from pam_totp.system import config
from pam_totp.system.errors import PamTotpError

from ..host import directory, pam_file
from ..host.accounts import has_shell

_SERVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")  # those that enable takes
_LEFT_BY_PACKAGES = re.compile(r".*\.(dpkg-\w+|ucf-\w+|rpm(new|save|orig)|pam-old|bak)")


def accounts() -> list[str]:
    return sorted({entry.pw_name for entry in directory.people() if has_shell(entry)})


def groups() -> list[str]:
    return sorted({group.name for group in directory.groups()})


def people(config_path: str) -> list[Person] | None:
    """Return everyone with a record; None where the store cannot be read.

    Nor is a fleet's: what is typed at a prompt does not wait for a network.
    """
    try:
        settings = config.load(config_path).config
        return None if settings.is_fleet else stored.people(settings.store)
    except (PamTotpError, OSError, sqlite3.Error):
        return None


def services() -> list[str]:
    names: set[str] = set()
    for folder in pam_stack.PAM_FOLDERS:
        try:
            names.update(filter(_SERVICE.fullmatch, os.listdir(folder)))
        except OSError:
            continue
    return sorted(n for n in names if not pam_file.is_part(n) and not _LEFT_BY_PACKAGES.match(n))


def is_managed(service: str) -> bool:
    """Return whether enable has written in the file of ``service``."""
    try:
        return pam_file.is_managed(pam_stack.read_pam_file(service) or "")
    except PamTotpError:
        return False
