"""What may stand at the cursor: callbacks for the ``shell_complete`` of click's parameters.

Every command's file imports this one, so names.py, which reads them, is loaded only at Tab.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from pam_totp.core import users
from pam_totp.system import config

# For types alone: it would load all that reads the names.

if TYPE_CHECKING:
    from .names import Person


def accounts(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Everybody who may get a shell: people to enroll."""
    from . import names

    return _to_choose(names.accounts(), context, parameter, incomplete)


def enrolled(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Everybody with a record."""
    people = _people(context)
    return _to_choose(_names_or_accounts(people), context, parameter, incomplete)


def suspended(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """People whom resume can help."""
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
    """The groups of this machine."""
    from . import names

    return _to_choose(names.groups(), context, parameter, incomplete)


def commands(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The commands of totpctl; after the name of a group, those of the group."""
    group: click.Command | None = context.find_root().command
    for name in context.params.get(str(parameter.name)) or ():
        group = group.get_command(context, name) if isinstance(group, click.Group) else None
    listed = group.list_commands(context) if isinstance(group, click.Group) else []
    return [name for name in listed if name.startswith(incomplete)]


def services(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The services that PAM knows."""
    from . import names

    return _to_choose(names.services(), context, parameter, incomplete)


def services_on(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Those in whose files enable has written; all, if there are none."""
    from . import names

    known = names.services()
    managed = [name for name in known if names.is_managed(name)]
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
    if people is not None:
        return [person.name for person in people]
    from . import names

    return names.accounts()


def _people(context: click.Context) -> list[Person] | None:
    """Return everyone with a record; None where that is not to be known.

    Root, and everybody with a configuration of their own, may ask the store. Under sudo, too, a
    completion runs as the user.
    """
    path = os.path.abspath(context.find_root().params.get("config_path") or config.DEFAULT_PATH)
    if path == config.DEFAULT_PATH and os.geteuid() != 0:
        return None
    from . import names

    return names.people(path)
