"""What every format is read into: tokens, and what was refused, with the place and the reason.

A reader says what its file says. Which of that this store can hold is decided in supported.py, and
whose it is in naming.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pam_totp.core.otp import HOTP as HOTP
from pam_totp.core.otp import TOTP as TOTP

from ..errors import CommandFailed

if TYPE_CHECKING:
    from ..exporting.sealed_file import Carried

MOST_TOKENS = 10_000  # in one file
MOST_NAME = 256  # characters of whatever names somebody or something

_MOST_NAMED = 10  # of the QR codes that are missing

Entry = TypeVar("Entry")


class Unreadable(CommandFailed):
    """A file is not read at all, not even in part; the problem begins with a verb."""


class Unusable(Exception):
    """One token cannot be used: the reason, and whose it is where that is known."""

    def __init__(self, reason: str, user: str = "", serial: str = "") -> None:
        super().__init__(reason)
        self.user = user
        self.serial = serial

    @property
    def names(self) -> tuple[str, str]:
        return self.user, self.serial


class Token(NamedTuple):
    """One token of a file."""

    place: str  # in its file: "line 3", "entry 2"
    secret: bytes
    user: str = ""  # as the file names the person; "": nobody's
    kind: str = TOTP
    algorithm: str = "SHA1"  # by the name that the store uses, also of those it lacks
    digits: int = 6
    period: int = 30  # seconds
    drift: int = 0  # steps that its clock is ahead
    learned: int = 0  # seconds that another pam_totp has learned beside that
    last_accepted_step: int | None = None  # None: not known
    next_counter: int = 0  # of HOTP: the first that may be accepted
    serial: str = ""
    label: str = ""  # of the device, where the source has one
    issuer: str = ""
    recovery_codes: int = 0  # that the source has in clear
    remarks: tuple[str, ...] = ()  # what an administrator should know of it

    def __repr__(self) -> str:
        return f"<Token {self.place} {self.user!r} {self.algorithm}/{self.digits}/{self.period}>"


class Rejected(NamedTuple):
    """What cannot be imported, and why."""

    place: str
    reason: str
    user: str = ""
    serial: str = ""


class Part(NamedTuple):
    """One QR code of an export that has several; ``number`` counts from 0."""

    export: int
    number: int
    size: int


class Contents(NamedTuple):
    """All that was read, of one file or of many."""

    tokens: tuple[Token, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    parts: tuple[Part, ...] = ()
    people: tuple[Carried, ...] = ()  # of pam_totp's own export, whose tokens are among the tokens

    def plus(self, other: Contents) -> Contents:
        return Contents(
            self.tokens + other.tokens,
            self.rejected + other.rejected,
            self.parts + other.parts,
            self.people + other.people,
        )

    def in_file(self, name: str) -> Contents:
        """Put the file's name before each place."""
        return self._replace(
            tokens=tuple(t._replace(place=f"{name}: {t.place}") for t in self.tokens),
            rejected=tuple(r._replace(place=f"{name}: {r.place}") for r in self.rejected),
        )


def read_each(
    entries: Iterable[tuple[str, Entry]], read: Callable[[str, Entry], Token | None]
) -> Contents:
    """Return the tokens that ``read`` makes of each place and entry; None: there is none.

    Entries that it refuses by Unusable are listed. Raises Unreadable for too many.
    """
    tokens: list[Token] = []
    rejected: list[Rejected] = []
    for place, entry in entries:
        try:
            token = read(place, entry)
            if token and max(map(len, (token.user, token.serial, token.issuer))) > MOST_NAME:
                raise Unusable(f"a name of more than {MOST_NAME} characters")
        except Unusable as error:
            user, serial = (name if len(name) <= MOST_NAME else "" for name in error.names)
            rejected.append(Rejected(place[:MOST_NAME], str(error), user, serial))
        else:
            tokens += [token] if token else []
        if len(tokens) + len(rejected) > MOST_TOKENS:
            raise _too_many()
    return Contents(tuple(tokens), tuple(rejected))


def refuse_too_many_tokens(contents: Contents) -> None:
    """Raise Unreadable for a file that holds more than others may."""
    if len(contents.tokens) + len(contents.rejected) > MOST_TOKENS:
        raise _too_many()


def _too_many() -> Unreadable:
    return Unreadable(f"has more than {MOST_TOKENS:,} tokens", "split it")


def missing_parts(parts: Iterable[Part]) -> list[str]:
    """Say which QR codes of an export are missing; [] where all are there."""
    sizes: dict[int, int] = {}
    found: dict[int, set[int]] = {}
    for part in parts:
        sizes[part.export] = max(part.size, sizes.get(part.export, 1))
        found.setdefault(part.export, set()).add(part.number)
    return [
        f"{size - len(found[export])} of the {size} QR codes of an export are missing: "
        + _numbers([number for number in range(1, size + 1) if number - 1 not in found[export]])
        for export, size in sizes.items()
        if len(found[export]) < size
    ][:_MOST_NAMED]


def _numbers(numbers: list[int]) -> str:
    more = ", and others" if len(numbers) > _MOST_NAMED else ""
    return ", ".join(f"number {number}" for number in numbers[:_MOST_NAMED]) + more
