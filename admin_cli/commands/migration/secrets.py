"""The secrets that the lines of the other module read, of everybody who has one.

What the module refuses is refused here, by the same rules: open_secret_file() and
drop_privileges() of pam_google_authenticator.c. pam_oath has no rule for the file of everybody,
and reads one that anybody could have written: it is refused here all the same.
"""

from __future__ import annotations

import pwd
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from pam_totp.stack.pam_lines import Line

from ...errors import CommandFailed
from ...host import directory, other_modules
from ...importing import google_authenticator, sources, users_oath
from ...importing.sources import TokenFile
from ...importing.tokens import Contents, Rejected, Unreadable
from ...importing.trust import TrustRule

_IN_HOMES = "~/.google_authenticator"
_USER, _HOME, _TILDE = "${USER}", "${HOME}", "~"
_DIGITS = ("7", "8")
_GOOGLE = other_modules.MODULES[other_modules.GOOGLE_AUTHENTICATOR]
_MODES, _ALLOWED = 0o3777, 0o600  # what is looked at of a mode, and may be set unless a line says
_MOST_BYTES = 64 * 1024


class _SecretPlace(NamedTuple):
    """Where a line reads secrets. ``reader``: who reads them, if that is not their user."""

    module: str
    pattern: str
    digits: int = users_oath.DIGITS
    reader: pwd.struct_passwd | None = None
    allowed: int = _ALLOWED
    has_any_owner: bool = False

    @property
    def is_one_a_person(self) -> bool:
        return _USER in self.pattern or self.is_in_homes

    @property
    def is_in_homes(self) -> bool:
        has_tilde = self.pattern.startswith(_TILDE) or f"/{_TILDE}" in self.pattern
        return _HOME in self.pattern or (self.module == _GOOGLE and has_tilde)

    def rule_for(self, entry: pwd.struct_passwd) -> TrustRule:
        """Return by which rule the module reads the file of ``entry``."""
        if self.module != _GOOGLE:
            return TrustRule(frozenset({0, entry.pw_uid}))
        reader = self.reader or entry
        return TrustRule(
            None if self.has_any_owner else frozenset({reader.pw_uid}),
            _MODES & ~self.allowed,
            self.allowed,
            reader,
            _MOST_BYTES,
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


class Secrets(NamedTuple):
    """``places``: the patterns of their files, as the lines have them.

    ``people``: whom the module asks for a code or denies, as it has something of theirs.
    """

    files: list[TokenFile]
    contents: Contents
    places: tuple[str, ...]
    people: frozenset[str]


def read(lines: Iterable[Line]) -> Secrets:
    """Return all that the lines read. Raises CommandFailed, OSError.

    A file that is not good enough for one of them is not read at all: what is imported counts
    everywhere.
    """
    places = list(dict.fromkeys(map(_place, lines)))
    files: dict[str, TokenFile] = {}
    readers: dict[str, _SecretPlace] = {}
    refused = Contents()
    for place in places:
        found, problems = _files(place)
        refused = refused.plus(problems)
        for file in found:
            files.setdefault(file.name, file)
            readers.setdefault(file.name, place)
    for rejected in refused.rejected:
        files.pop(rejected.place, None)
    contents = refused._replace(rejected=tuple(dict.fromkeys(refused.rejected)))
    people = {each.user for each in contents.rejected}
    for name, file in files.items():
        of_file = _tokens(readers[name], file).in_file(name)
        contents = contents.plus(of_file)
        if file.user:  # what a person's own file says of others means nothing
            people.add(file.user)
            continue
        people.update(token.user for token in of_file.tokens)
        people.update(rejected.user for rejected in of_file.rejected)
    patterns = tuple(dict.fromkeys(place.pattern for place in places))
    return Secrets(list(files.values()), contents, patterns, frozenset(people))


def _place(line: Line) -> _SecretPlace:
    if line.module_name == _GOOGLE:
        place = _SecretPlace(
            _GOOGLE,
            other_modules.option(line, "secret") or _IN_HOMES,
            reader=_reader(line),
            allowed=_allowed(line),
            has_any_owner="no_strict_owner" in line.arguments,
        )
        if place.reader and place.is_in_homes:
            raise _denies_everybody(line, "with user= it knows no homes", "write secret=")
        return place
    usersfile = other_modules.option(line, "usersfile")
    if not usersfile:
        raise CommandFailed(
            f"PAM file {line.file}, line {line.number}: names no usersfile",
            "remove the line: pam_oath denies everybody there",
        )
    digits = other_modules.option(line, "digits") or ""
    return _SecretPlace(
        line.module_name, usersfile, int(digits) if digits in _DIGITS else users_oath.DIGITS
    )


def _reader(line: Line) -> pwd.struct_passwd | None:
    """Return the account of ``user=UID`` or ``user=NAME``; None without. Raises CommandFailed."""
    name = other_modules.option(line, "user")
    if name is None:
        return None
    number = re.match(r"[ \t]*\+?([0-9]{1,9})", name)  # strtol()
    if number:
        entry = directory.person_of_uid(int(number[1]))
    else:
        entry = directory.person(name) if name.isprintable() else None
    if entry is None:
        raise _denies_everybody(line, f"there is no user {name}", "correct user=")
    return entry


def _allowed(line: Line) -> int:
    """Return the mode that ``allowed_perm=`` allows. Raises CommandFailed."""
    given = other_modules.option(line, "allowed_perm")
    if given is None:
        return _ALLOWED
    if not re.fullmatch(r"[0-7]{1,6}", given) or not int(given, 8):
        raise _denies_everybody(line, f"allowed_perm={given} is no mode", "correct allowed_perm=")
    return int(given, 8)


def _denies_everybody(line: Line, problem: str, hint: str) -> CommandFailed:
    return CommandFailed(
        f"PAM file {line.file}, line {line.number}: {problem}, so it denies everybody", hint
    )


def _files(place: _SecretPlace) -> tuple[list[TokenFile], Contents]:
    if place.is_one_a_person:
        return sources.of_everybody(place.path_of, place.rule_for)
    if place.module == _GOOGLE:
        raise CommandFailed(
            f"secret={place.pattern} is one secret for everybody; pam_totp has one for each person",
            "enroll people with: totpctl enroll USER",
        )
    return [sources.central(place.pattern)], Contents()


def _tokens(place: _SecretPlace, file: TokenFile) -> Contents:
    readers: dict[bool, Callable[[TokenFile], Contents]] = {
        True: google_authenticator.read,
        False: partial(users_oath.read, digits=place.digits),
    }
    try:
        if place.module == _GOOGLE and b"\0" in file.data:
            raise Unreadable("has a NUL")
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
