"""Names of hosts, and of groups of them, as commands take them."""

from __future__ import annotations

import re

import click

from ...errors import CommandFailed

EVERYWHERE = "*"  # users.groups: on every host
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


def host_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Check a host's name: it stands in files and in lines that are pasted into a shell."""
    if not _NAME.fullmatch(value):
        raise click.BadParameter("a name has letters, digits, dots, hyphens and underscores")
    return value


def group_names(
    _context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    """Check names of groups of hosts."""
    if not all(map(_NAME.fullmatch, value)):
        raise click.BadParameter("a name has letters, digits, dots, hyphens and underscores")
    return tuple(dict.fromkeys(value))


def refuse_unknown_groups(groups: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Refuse a group that no host is in: a mistyped one would shut people out."""
    missing = [group for group in groups if group not in known]
    if missing:
        raise CommandFailed(
            f"no host is in the group {', '.join(missing)}",
            "see the groups with: totpctl fleet list",
        )
