"""The PAM files that have the other module, and what they become."""

from __future__ import annotations

from typing import NamedTuple

from pam_totp.stack import pam_stack
from pam_totp.stack.pam_lines import Line, NotUnderstood

from ...enable import reached
from ...enable.trial import Change
from ...enable.trial_record import SERVICE
from ...errors import CommandFailed
from ...host import files, other_modules, pam_file, pam_migration, services

_BY_HAND = "nothing was changed; edit the file by hand: man pam_totp"


class PamChanges(NamedTuple):
    """``names``: the files that change. ``lines``: those of the other module in them.

    ``logins``: the services through which people log in and that ask for a code then, by a file of
    their own or by one that they include.
    """

    names: tuple[str, ...]
    logins: tuple[str, ...]
    lines: tuple[Line, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...]


def plan(module: str, trial: str, *, keys_come_first: bool, unenrolled: str) -> PamChanges:
    """Return what becomes of every file that has ``module``. Raises CommandFailed.

    ``trial``: its id. ``keys_come_first``: sshd asks PAM only about those whose key it has
    accepted. ``unenrolled``: what pam_totp.conf says of users who are not enrolled.
    """
    known = services.read_services()
    found = {name: lines for name, each in known.items() if (lines := _lines_of(module, each))}
    _refuse_what_is_elsewhere(module, known, found)
    # A service counts with the parts that it includes, as they will be.
    names = sorted(found, key=lambda name: (not pam_file.is_part(name), name))
    new: dict[str, str] = {}
    notes: list[str] = []
    changes = []
    for name in names:
        try:
            migrated = pam_migration.migrated(
                name,
                known[name].text,
                module,
                trial,
                read=lambda file: new.get(file) or pam_stack.read_pam_file(file),
                key=keys_come_first and name == "sshd",
                unenrolled=unenrolled,
            )
        except NotUnderstood as error:
            raise CommandFailed(str(error), error.hint or _BY_HAND) from None
        new[name] = migrated.text
        notes += migrated.notes
        path = f"{pam_stack.PAM_FOLDERS[0]}/{name}"
        changes.append(Change(path, files.read(path), files.bytes_of(migrated.text)))
    theirs = tuple(line for name in names for line in found[name])
    return PamChanges(
        tuple(names), _logins(names, known), theirs, tuple(changes), tuple(dict.fromkeys(notes))
    )


def _logins(names: list[str], known: dict[str, services.PamService]) -> tuple[str, ...]:
    own = [name for name in names if not pam_file.is_part(name)]
    by_parts = [
        name
        for name in services.LOGINS
        if name in known and name not in own and any(reached.includes(n, name) for n in names)
    ]
    return (*own, *by_parts)


def _lines_of(module: str, service: services.PamService) -> list[Line]:
    """Return the lines of ``module`` in one file. Raises CommandFailed where it may have some."""
    try:
        found = other_modules.lines_of(module, service.name, service.text)
    except NotUnderstood as error:
        if module not in service.text:
            return []
        raise CommandFailed(str(error), error.hint or _BY_HAND) from None
    if found and not SERVICE.fullmatch(service.name):
        raise CommandFailed(
            f"{service.path} has {module}, and a name that no trial can change", _BY_HAND
        )
    return found


def _refuse_what_is_elsewhere(
    module: str, known: dict[str, services.PamService], found: dict[str, list[Line]]
) -> None:
    """Raise CommandFailed for a file outside of PAM's folders that has ``module``, and is included.

    A trial changes no such file.
    """
    for name in known:
        try:
            entries = pam_stack.auth_stack(name).entries
        except NotUnderstood:
            continue  # it denies everybody, whatever is in it
        for line in (entry.line for entry in entries):
            if line.module_name == module and line.file not in found:
                raise CommandFailed(
                    f"{line.file}:{line.number} has {module}, outside of "
                    f"{pam_stack.PAM_FOLDERS[0]}; {name} includes it",
                    f"move the line into {services.path_of(name)}; then run this again",
                )
