"""The names to choose from: callbacks for the ``shell_complete`` of click's parameters.

People come from the store if who presses Tab is root, or names a configuration of their own;
else, under sudo too, where the completion runs as the user, from the directory.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable

import click

from pam_totp.core import users
from pam_totp.stack import pam_stack
from pam_totp.store.sqlite import glance
from pam_totp.store.sqlite.glance import Person
from pam_totp.system import config
from pam_totp.system.errors import PamTotpError

from ..enable.trial_record import SERVICE
from ..host import directory, pam_file
from ..host.accounts import has_shell

_LEFT_BY_PACKAGES = re.compile(r".*\.(dpkg-\w+|ucf-\w+|rpm(new|save|orig)|pam-old|bak)")


def accounts(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Everybody who may get a shell: whom to enrol."""
    return _to_choose(_accounts(), context, parameter, incomplete)


def enrolled(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Everybody with a record."""
    people = _people(context)
    return _to_choose(_names_or_accounts(people), context, parameter, incomplete)


def suspended(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Whom resume can help."""
    people = _people(context)
    if people is not None:
        people = [person for person in people if person.status == users.SUSPENDED]
    return _to_choose(_names_or_accounts(people), context, parameter, incomplete)


def labels(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The authenticators of the user who was named before."""
    user = _params_so_far(context).get("user")
    found = [person.labels for person in _people(context) or () if person.name == user]
    return _to_choose(found[0] if found else (), context, parameter, incomplete)


def groups(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    names = sorted({group.name for group in directory.groups()})
    return _to_choose(names, context, parameter, incomplete)


def services(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The services that PAM knows."""
    return _to_choose(_services(), context, parameter, incomplete)


def services_on(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Those in whose files enable has written; all, if there are none."""
    known = _services()
    managed = [name for name in known if pam_file.is_managed(_text(name))]
    return _to_choose(managed or known, context, parameter, incomplete)


def _to_choose(
    names: Iterable[str], context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return those of ``names`` that begin like ``incomplete`` and were not given before."""
    before = context.params.get(str(parameter.name))
    given = before if isinstance(before, tuple) else ()
    return [name for name in names if name.startswith(incomplete) and name not in given]


def _params_so_far(context: click.Context) -> dict[str, object]:
    """Parse what stands before an option without its value: click's parser stops at that."""
    words: tuple[str, ...] = context.find_root().obj
    of_command = list(words[words.index(str(context.info_name)) + 1 :])
    if of_command and of_command[-1].startswith("-"):
        del of_command[-1]
    again = context.command.make_context(
        context.info_name, of_command, parent=context.parent, resilient_parsing=True
    )
    return again.params


def _names_or_accounts(people: Iterable[Person] | None) -> list[str]:
    return _accounts() if people is None else [person.name for person in people]


def _accounts() -> list[str]:
    return sorted({entry.pw_name for entry in directory.people() if has_shell(entry)})


def _people(context: click.Context) -> list[Person] | None:
    """Return everyone with a record; None where that is not to be known."""
    path = os.path.abspath(context.find_root().params.get("config_path") or config.DEFAULT_PATH)
    if path == config.DEFAULT_PATH and os.geteuid() != 0:
        return None
    try:
        return glance.people(config.load(path).config.store)
    except (PamTotpError, OSError, sqlite3.Error):
        return None


def _services() -> list[str]:
    names: set[str] = set()
    for folder in pam_stack.PAM_FOLDERS:
        try:
            names.update(filter(SERVICE.fullmatch, os.listdir(folder)))
        except OSError:
            continue
    return sorted(n for n in names if not pam_file.is_part(n) and not _LEFT_BY_PACKAGES.match(n))


def _text(service: str) -> str:
    try:
        return pam_stack.read_pam_file(service) or ""
    except PamTotpError:
        return ""
