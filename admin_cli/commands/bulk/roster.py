"""Whom a roster or a group names.

A roster is text, a name a line, or CSV with a header that has a column of names: only a first line
with a comma, a semicolon or a tab in it is a header, so that an account may be called "user".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pam_totp.core import enrollment

from ...errors import CommandFailed, NoSuchUser
from ...host import directory
from ...importing import csv_rows, sources, texts
from ...importing.tokens import Unreadable
from ...session import existing_group
from ..enrollment import issuing

NAME, LABEL, SERIAL = "user", "label", "serial"
COLUMNS = (NAME, LABEL, SERIAL)
_SEPARATORS = ",;\t"
_STDIN_NAME = "standard input"


class RosterEntry(NamedTuple):
    """One person. ``place``: "line 3", or the group; ``label``, ``serial``: "" if not given.

    ``problem``: why nobody can be enrolled by it, "" where somebody may be.
    """

    place: str
    name: str
    label: str = ""
    serial: str = ""
    problem: str = ""


def of_file(path: str) -> tuple[RosterEntry, ...]:
    """Read a roster; ``-`` is standard input. Raises CommandFailed, OSError."""
    shown = _STDIN_NAME if path == sources.STDIN else path
    text = texts.text_of(sources.content(path))
    try:
        entries = tuple(_parsed(text))
    except Unreadable as error:
        raise CommandFailed(f"{shown} {error}", error.hint) from None
    if not entries:
        raise CommandFailed(f"{shown} names nobody", "write one name a line")
    return entries


def of_groups(groups: Sequence[str]) -> tuple[RosterEntry, ...]:
    """Return the members of ``groups``, each once. Raises NoSuchUser, CommandFailed."""
    entries: dict[str, RosterEntry] = {}
    for name in groups:
        group = existing_group(name)
        for member in directory.members(group):
            entries.setdefault(member, RosterEntry(f"group {group.name}", member))
    if directory.problem():
        raise CommandFailed(f"not all members are known: {directory.problem()}", directory.HINT)
    if not entries:
        raise NoSuchUser(f"no account is a member of {', '.join(groups)}", "see: getent group")
    return tuple(entries.values())


def _parsed(text: str) -> Iterator[RosterEntry]:
    lines = texts.numbered_lines(text)
    if lines and any(separator in lines[0][1] for separator in _SEPARATORS):
        yield from _of_rows(csv_rows.rows(text))
        return
    for place, line in lines:
        name = line.partition(" #")[0].rstrip()
        problem = "is more than one name" if len(name.split()) > 1 else ""
        yield RosterEntry(place, name, problem=problem)


def _of_rows(rows: Iterator[tuple[str, list[str]]]) -> Iterator[RosterEntry]:
    _, header = next(rows)
    columns = [cell.lower() for cell in header]
    while columns and not columns[-1]:  # a separator at the end of each line
        columns.pop()
    unknown = [column for column in columns if column not in COLUMNS]
    hint = f"the columns of a roster are: {', '.join(COLUMNS)}; only {NAME} is needed"
    if NAME not in columns:
        raise Unreadable(f"has no column {NAME} in its first line", hint)
    if unknown:
        raise Unreadable(f"has columns that are not known: {', '.join(map(repr, unknown))}", hint)
    if len(set(columns)) < len(columns):
        raise Unreadable("has a column twice", hint)
    for place, cells in rows:
        row = dict(itertools.zip_longest(columns, cells[: len(columns)], fillvalue=""))
        entry = RosterEntry(place, row[NAME], row.get(LABEL, ""), row.get(SERIAL, ""))
        yield entry._replace(problem=_problem(entry, cells[len(columns) :]))


def _problem(entry: RosterEntry, beyond: list[str]) -> str:
    if any(beyond):
        return "has more cells than the header"
    if not entry.name:
        return "names nobody"
    if reason := issuing.label_refusal(entry.label or enrollment.LABEL):
        return f"the label has to have {reason}"
    if reason := issuing.serial_refusal(entry.serial):
        return f"the serial has to have {reason}"
    return ""
