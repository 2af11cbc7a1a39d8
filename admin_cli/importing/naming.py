"""Whose a token is: the account that the command line, a map or the file itself names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..errors import CommandFailed
from ..host import directory
from .texts import numbered_lines, text_of
from .tokens import Rejected, Token, Unusable


class Naming(NamedTuple):
    """What the command line says of names."""

    user: str = ""  # all tokens are this account's
    assigned: dict[str, str] = {}  # accounts by serial
    mapped: dict[str, str] = {}  # accounts by the names of the file
    strips_domain: bool = False
    without_accounts: bool = False  # of a fleet: its people need no account on this machine

    def passes_over(self, token: Token | Rejected) -> bool:
        """Tell whether ``token`` is nobody's, and only some others are to be assigned."""
        is_nobodys = bool(token.serial) and not token.user and not self.user
        return bool(self.assigned) and is_nobodys and token.serial not in self.assigned

    def name_of(self, token: Token) -> str:
        """Return the name of an account as it was given; "" for none."""
        name = self.assigned.get(token.serial, "") if token.serial else ""
        return name or self.user or self.mapped.get(token.user) or self._stripped(token.user)

    def ask_for(self, tokens: Iterable[Token]) -> None:
        """Ask the directory for all their accounts, a process for many of them."""
        names = dict.fromkeys(self.name_of(token) for token in tokens)
        directory.expect(name for name in names if name.isprintable())

    def account_of(self, token: Token) -> str:
        """Return the account's canonical name. Raises Unusable, CommandFailed."""
        name = self.name_of(token)
        if not name:
            how = "--assign USER=SERIAL" if token.serial else "--user"
            raise Unusable(f"it belongs to nobody: name its user with {how}")
        return canonical_name(name, without_accounts=self.without_accounts)

    def _stripped(self, name: str) -> str:
        if not self.strips_domain:
            return name
        return name.rpartition("\\")[2].partition("@")[0]


def canonical_name(name: str, *, without_accounts: bool) -> str:
    """Return the account's canonical name. Raises Unusable, CommandFailed.

    ``without_accounts``: see Naming; of a name without one, it is that name.
    """
    # No account has such a name, and it must not reach a question with lines.
    entry = directory.person(name) if name.isprintable() else None
    if entry is not None:
        return entry.pw_name
    if directory.problem():
        raise CommandFailed(f"{name} is not known: {directory.problem()}", directory.HINT)
    if without_accounts and name.isprintable():
        return name
    raise Unusable(f"there is no user {name} on this machine")


def read_map(data: bytes) -> dict[str, str]:
    """Return the accounts of a map: "NAME ACCOUNT" a line. Raises CommandFailed."""
    mapped: dict[str, str] = {}
    for place, line in numbered_lines(text_of(data)):
        words = line.rsplit(None, 1)
        if len(words) < 2 or mapped.setdefault(words[0], words[1]) != words[1]:
            reason = "is not NAME ACCOUNT" if len(words) < 2 else "names somebody for a second time"
            raise CommandFailed(f"{place} of the map {reason}", "one name and one account a line")
    return mapped


def read_assignments(given: tuple[str, ...]) -> dict[str, str]:
    """Return the accounts by serial, of USER=SERIAL each. Raises CommandFailed."""
    assigned: dict[str, str] = {}
    for assignment in given:
        user, _, serial = assignment.partition("=")
        if not user or not serial:
            raise CommandFailed(f"{assignment} is not USER=SERIAL", "as in: --assign alice=1234567")
        if assigned.setdefault(serial, user) != user:
            raise CommandFailed(f"the serial {serial} is assigned twice")
    return assigned
