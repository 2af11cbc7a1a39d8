"""People who cannot be moved, where pam_totp lets in without a code whoever is not enrolled.

The other module denies them, as their file is bad: by the move they would get in with a password
alone. So the administrator names each of them. Only nullok does that: a line without it denies
them after the move as well, whatever pam_totp.conf says.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from pam_totp.core import users
from pam_totp.stack.pam_lines import Line

from ... import output
from ...errors import CommandFailed
from ...host import directory, other_modules
from ...session import Session
from ..importing.plan import ImportPlan


def check(
    session: Session,
    lines: Iterable[Line],
    with_secrets: Iterable[str],
    people: ImportPlan,
    allowed: frozenset[str],
) -> None:
    """Raise CommandFailed where somebody would get in without a code who is not ``allowed`` to.

    And where somebody of ``allowed`` is none of those: a name may be mistyped. ``lines``: those
    of the other module. ``with_secrets``: of whom it has something.
    """
    cause = _cause(lines)
    found = _not_moved(session, with_secrets, people) if cause else []
    unknown = sorted(allowed - {*found})
    if unknown:
        raise CommandFailed(
            f"--without-code {shlex.quote(unknown[0])}: {unknown[0]} is not among those who cannot "
            "be moved and would log in without a code",
            "leave it out, or correct the name",
        )
    left = [name for name in found if name not in allowed]
    if left:
        options = " ".join(f"--without-code {shlex.quote(name)}" for name in left)
        raise CommandFailed(
            f"{output.some_of(left)} cannot be moved, and would log in without a code, because of "
            f"{cause}; nothing was changed",
            f"repair the file, or run: totpctl enroll {shlex.quote(left[0])}; if that is "
            f"intended, add: {options}",
        )
    if found:
        output.warning(f"without a code log in, because of {cause}: {output.some_of(found)}")


def _cause(lines: Iterable[Line]) -> str:
    """Return what lets in whoever is not enrolled, "" where nothing does."""
    for line in lines:
        if other_modules.lets_in_without_a_code(line):
            return f"nullok, in place of line {line.number} of {line.file}"
    return ""


def _not_moved(session: Session, with_secrets: Iterable[str], people: ImportPlan) -> list[str]:
    """Return the accounts that have a secret with the other module, and none with us."""
    moved = {each.name for each in people.planned}
    entries = (directory.person(name) for name in with_secrets if name and name.isprintable())
    left = {entry.pw_name for entry in entries if entry is not None} - moved
    with session.open_store() as store:
        records = ((name, store.load(name)) for name in sorted(left))
        return [name for name, record in records if record is None or not _is_known(record)]


def _is_known(record: users.UserRecord) -> bool:
    """Return whether nullok says nothing of them, now and when an exemption has ended."""
    has_ending = record.status == users.EXEMPT and record.exempt_until != 0
    return bool(record.authenticators) or not (has_ending or record.status == users.ACTIVE)
