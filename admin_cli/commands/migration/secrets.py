"""The secrets that the lines of the other module read, of everybody who has one."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from pam_totp.stack.pam_lines import Line

from ...errors import CommandFailed
from ...host import directory, other_modules
from ...importing import google_authenticator, sources, users_oath
from ...importing.sources import TokenFile
from ...importing.tokens import Contents, Rejected, Unreadable

_IN_HOMES = "~/.google_authenticator"
_USER, _HOME, _TILDE = "${USER}", "${HOME}", "~"
_DIGITS = ("7", "8")
_GOOGLE = other_modules.MODULES[other_modules.GOOGLE_AUTHENTICATOR]


class _SecretPlace(NamedTuple):
    """Where a line reads secrets. ``owner``: whose they may be, beside their user's and root's."""

    module: str
    pattern: str
    owner: int
    digits: int

    @property
    def is_one_a_person(self) -> bool:
        return _USER in self.pattern or _HOME in self.pattern or self._has_tilde

    @property
    def _has_tilde(self) -> bool:
        return self.module == _GOOGLE and (
            self.pattern.startswith(_TILDE) or f"/{_TILDE}" in self.pattern
        )

    def path_of(self, entry: pwd.struct_passwd) -> str:
        """Return the file of ``entry``, as the module expands it: a ~ counts where a name begins.

        In one go, so that nothing in a name or a home is expanded again.
        """
        expanded, at = "", 0
        while at < len(self.pattern):
            rest = self.pattern[at:]
            begins = not expanded or expanded.endswith("/")
            if rest.startswith(_USER):
                expanded, at = expanded + entry.pw_name, at + len(_USER)
            elif rest.startswith(_HOME):
                expanded, at = expanded + entry.pw_dir, at + len(_HOME)
            elif self.module == _GOOGLE and begins and rest.startswith(_TILDE):
                expanded, at = expanded + entry.pw_dir, at + 1
            else:
                expanded, at = expanded + rest[0], at + 1
        return expanded


def read(lines: Iterable[Line]) -> tuple[list[TokenFile], Contents]:
    """Return the files, and what they hold. Raises CommandFailed, OSError."""
    files: dict[str, TokenFile] = {}
    contents = Contents()
    for place in dict.fromkeys(map(_place, lines)):
        found, refused = _files(place)
        contents = contents.plus(refused)
        for file in (file for file in found if file.name not in files):
            files[file.name] = file
            contents = contents.plus(_tokens(place, file).in_file(file.name))
    return list(files.values()), contents


def _place(line: Line) -> _SecretPlace:
    if line.module_name == _GOOGLE:
        pattern = other_modules.option(line, "secret") or _IN_HOMES
        return _SecretPlace(_GOOGLE, pattern, _uid(line), users_oath.DIGITS)
    usersfile = other_modules.option(line, "usersfile")
    if not usersfile:
        raise CommandFailed(
            f"PAM file {line.file}, line {line.number}: names no usersfile",
            "remove the line: pam_oath denies everybody there",
        )
    digits = other_modules.option(line, "digits") or ""
    return _SecretPlace(
        line.module_name, usersfile, 0, int(digits) if digits in _DIGITS else users_oath.DIGITS
    )


def _uid(line: Line) -> int:
    """Return the uid of ``user=NAME``, or of ``user=UID``; 0 without it. Raises CommandFailed."""
    name = other_modules.option(line, "user")
    if not name:
        return 0
    entry = directory.person(name) if name.isprintable() else None
    if entry is not None:
        return entry.pw_uid
    if name.isascii() and name.isdigit() and len(name) < 10:
        return int(name)
    raise CommandFailed(
        f"PAM file {line.file}, line {line.number}: there is no user {name}", "correct user="
    )


def _files(place: _SecretPlace) -> tuple[list[TokenFile], Contents]:
    if place.is_one_a_person:
        return sources.of_everybody(place.path_of, place.owner)
    if place.module == _GOOGLE:
        raise CommandFailed(
            f"secret={place.pattern} is one secret for everybody; pam_totp has one for each person",
            "enroll people with: totpctl enroll USER",
        )
    return sources.named(place.pattern)


def _tokens(place: _SecretPlace, file: TokenFile) -> Contents:
    readers: dict[bool, Callable[[TokenFile], Contents]] = {
        True: google_authenticator.read,
        False: partial(users_oath.read, digits=place.digits),
    }
    try:
        contents = readers[place.module == _GOOGLE](file)
    except Unreadable as error:
        return Contents(rejected=(Rejected("the file", str(error), file.user),))
    return _of_its_owner(contents, file.user) if place.is_one_a_person else contents


def _of_its_owner(contents: Contents, user: str) -> Contents:
    """Reject what a person's own file says of others: the module never looks for those there."""
    others = [token for token in contents.tokens if token.user != user]
    reason = f"is in a file of {user}"
    return contents._replace(
        tokens=tuple(token for token in contents.tokens if token.user == user),
        rejected=contents.rejected + tuple(Rejected(t.place, reason, t.user) for t in others),
    )
