"""People and groups as NSS knows them; a directory that hangs costs its patience once a run.

The C library waits for an LDAP server that is gone as long as that likes, and again for each
question. So the files are read here, and all else asks as a login does: membership.py.
Once an answer has not come in time nothing more is asked: then only the files count, and
``problem()`` says so.
"""

from __future__ import annotations

import itertools
import os
import pwd
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from pam_totp.core.admission import Groups
from pam_totp.login import membership

PASSWD_FILE = "/etc/passwd"
HINT = "find out why it is slow: time getent initgroups root; then run this again"
SECONDS = 30.0  # for all questions of one run; one of them may take membership.SECONDS
HANGS = "the directory does not answer in time"
AT_ONCE = 64  # people whom one process is asked for
_QUICK = 0.25  # seconds: after an answer within these, the next is asked for twice as many,
_MOST_AT_ONCE = 1024  # up to these
SLOW = f"the directory was asked for {SECONDS:.0f} s without a complete answer"


class GroupEntry(NamedTuple):
    """One line of group(5)."""

    name: str
    gid: int
    members: tuple[str, ...]


_Fields = tuple[Any, ...]  # of passwd(5)


class _Directory:
    """What was asked and read in this run."""

    def __init__(self) -> None:
        self.problem = ""
        self._left = SECONDS
        self._answers: dict[tuple[str, bytes], list[bytes]] = {}
        self._is_first_of_groups = True
        self._asks_for_many = True  # as long as it names them all, one in a line
        self.people_first = membership.files_come_first(b"passwd")
        self.groups_first = membership.files_come_first(b"group", b"initgroups")
        # Not as struct_passwd: Python 3.11 complains of those that are left when it ends.
        self.people: dict[str, _Fields] = {}
        self.groups: dict[str, GroupEntry] = {}
        self.groups_of: dict[str, set[int]] = {}  # by each line of a group: a name may have several
        self.names_of_groups: dict[tuple[str, int], set[str]] = {}
        for entry in _people(membership.lines_of(PASSWD_FILE)):
            self.people.setdefault(entry.pw_name, tuple(entry))
        for found in _groups(membership.lines_of(membership.GROUP_FILE)):
            self.groups.setdefault(found.name, found)
            for member in found.members:
                self.groups_of.setdefault(member, set()).add(found.gid)

    def local_people(self) -> Iterator[pwd.struct_passwd]:
        return map(pwd.struct_passwd, self.people.values())

    def local_person(self, name: str) -> pwd.struct_passwd | None:
        return pwd.struct_passwd(self.people[name]) if name in self.people else None

    def lines(self, database: str, key: str = "") -> list[bytes]:
        """Return what NSS answers; nothing where it does not."""
        try:
            encoded = os.fsencode(key)
        except UnicodeError:
            return []
        question = (database, encoded)
        if question not in self._answers and not self.problem and b"\0" not in encoded:
            self._answers[question] = self._ask(database, *([encoded] if encoded else []))
        return self._answers.get(question, [])

    def groups_line(self, name: str) -> list[bytes]:
        """Return the line of ``name`` in initgroups, if there is one.

        Whoever asks for the groups of a second account asks for those of many more, as a rule.
        """
        if self._is_first_of_groups:
            self._is_first_of_groups = False
        else:
            self._ask_for_many(name)
        return self.lines("initgroups", name)[:1]

    def _ask_for_many(self, name: str) -> None:
        """Ask one process for the groups of ``name`` and others of the files."""
        if self.problem or not self._asks_for_many or name not in self.people:
            return
        if ("initgroups", os.fsencode(name)) in self._answers:
            return
        names = map(os.fsencode, dict.fromkeys((name, *self.people)))
        new = (key for key in names if ("initgroups", key) not in self._answers)
        keys = list(itertools.islice(new, AT_ONCE))
        lines = self._ask("initgroups", *keys)[:-1]  # nothing is behind the last end of line
        if [line.partition(b" ")[0] for line in lines] == keys:
            answers = zip(keys, lines, strict=True)
            self._answers |= {("initgroups", key): [line] for key, line in answers}
        else:
            self._asks_for_many = False

    def ask_for_people(self, names: Iterable[str]) -> None:
        """Ask a process for many people, of those whom the files do not tell about.

        Whom it does not answer with just that name, person() asks for alone, where the directory
        has answered with other names: it may know ALICE as alice.
        """
        elsewhere = (n for n in names if not (self.people_first and n in self.people))
        keys = [os.fsencode(n) for n in elsewhere if not membership.reads_as_a_number(n)]
        new = [key for key in dict.fromkeys(keys) if ("passwd", key) not in self._answers]
        size = AT_ONCE
        while new and not self.problem:
            some, new = set(new[:size]), new[size:]
            begin = time.monotonic()
            answer = self._ask("passwd", *some)
            is_quick = time.monotonic() - begin < _QUICK
            size = min(2 * size, _MOST_AT_ONCE) if is_quick else AT_ONCE
            lines = {line.partition(b":")[0]: line for line in answer if line}
            if self.problem or not answer:
                continue
            for name in some if lines.keys() <= some else some & lines.keys():
                self._answers.setdefault(("passwd", name), [lines[name]] if name in lines else [])

    def groups_among(self, entry: pwd.struct_passwd, names: tuple[str, ...]) -> Groups:
        if self.problem:
            groups = membership.local_groups(entry, names)
            return groups._replace(
                unknown=tuple(n for n in names if n not in self.groups), problem=self.problem
            )
        begin = time.monotonic()
        groups = membership.groups_among(entry, names)
        self._count(time.monotonic() - begin)
        return groups

    def _ask(self, database: str, *keys: bytes) -> list[bytes]:
        begin = time.monotonic()
        try:
            patience = min(membership.SECONDS, self._left)
            return membership.ask(database, keys, begin + patience).split(b"\n")
        except (OSError, ValueError):
            return []
        finally:
            self._count(time.monotonic() - begin)

    def _count(self, seconds: float) -> None:
        self._left -= seconds
        if seconds >= membership.SECONDS:
            self.problem = HANGS
        elif self._left <= 0:
            self.problem = SLOW


_known: _Directory | None = None


def forget() -> None:
    """Begin a run: what was read and asked before does not count."""
    global _known
    _known = None


def problem() -> str:
    """Return why not everything is known; "" where all that was asked was answered."""
    return _directory().problem


def people() -> Iterator[pwd.struct_passwd]:
    """Yield every account that the machine lists, the files' first."""
    known = _directory()
    if known.people_first:
        yield from known.local_people()
    yield from _people(known.lines("passwd"))
    if known.problem:
        yield from known.local_people()


def person(name: str) -> pwd.struct_passwd | None:
    """Return the account ``name``, as the directory writes it; None if none is known."""
    known = _directory()
    if known.people_first and name in known.people:
        return known.local_person(name)
    if not name:  # getent would name everybody
        return None
    if membership.reads_as_a_number(name):  # or take it for a uid
        return next((entry for entry in people() if entry.pw_name == name), None)
    return next(_people(known.lines("passwd", name)), known.local_person(name))


def expect(names: Iterable[str]) -> None:
    """Prepare for person() of many ``names``, which are printable: by few questions."""
    _directory().ask_for_people(names)


def person_of_uid(uid: int) -> pwd.struct_passwd | None:
    known = _directory()
    local = (entry for entry in known.local_people() if entry.pw_uid == uid)
    return next(local, None) or next(_people(known.lines("passwd", str(uid))), None)


def groups() -> Iterator[GroupEntry]:
    """Yield every group that the machine lists, the file's first."""
    known = _directory()
    if known.groups_first:
        yield from known.groups.values()
    yield from _groups(known.lines("group"))
    if known.problem:
        yield from known.groups.values()


def group(name: str) -> GroupEntry | None:
    """Return the group ``name``, as the directory writes it; None if none is known."""
    known = _directory()
    if known.groups_first and name in known.groups:
        return known.groups[name]
    if not name:
        return None
    if membership.reads_as_a_number(name):  # getent would take it for a gid
        return next((found for found in groups() if found.name == name), None)
    return next(_groups(known.lines("group", name)), known.groups.get(name))


def members(found: GroupEntry) -> list[str]:
    """Return the names of a group's members, also of those whose primary group it is.

    Of the latter, as many as the directory lists: some list nobody.
    """
    primary = (entry.pw_name for entry in people() if entry.pw_gid == found.gid)
    return list(dict.fromkeys((*found.members, *primary)))


def group_ids(entry: pwd.struct_passwd) -> set[int]:
    """Return the numbers of all groups of an account, its primary one too."""
    known = _directory()
    own = {entry.pw_gid}
    for line in known.groups_line(entry.pw_name):
        numbers = line[len(os.fsencode(entry.pw_name)) :].split()
        own |= {int(number) for number in numbers if number.isdigit()}
    if known.groups_first or known.problem:  # that this question has met, perhaps
        own |= known.groups_of.get(entry.pw_name, set())
    return own


def group_names(entry: pwd.struct_passwd) -> set[str]:
    """Return the names of all groups of an account, its primary one too."""
    known = _directory()
    account = (entry.pw_name, entry.pw_gid)
    if account not in known.names_of_groups:
        known.names_of_groups[account] = _group_names(entry, known)
    return set(known.names_of_groups[account])


def _group_names(entry: pwd.struct_passwd, known: _Directory) -> set[str]:
    by_number: dict[int, str] = {}
    if known.groups_first:
        for found in known.groups.values():
            by_number.setdefault(found.gid, found.name)
    names = set()
    for number in group_ids(entry):
        if number not in by_number:
            for found in _groups(known.lines("group", str(number))):
                by_number[number] = found.name
        if number in by_number:
            names.add(by_number[number])
    return names


def groups_among(entry: pwd.struct_passwd, names: tuple[str, ...]) -> Groups:
    """Return what file and directory say of ``names``, as a login asks."""
    return _directory().groups_among(entry, names) if names else Groups()


def _directory() -> _Directory:
    global _known
    if _known is None:
        _known = _Directory()
    return _known


def _people(lines: Iterable[bytes]) -> Iterator[pwd.struct_passwd]:
    for fields in _fields(lines, 7):
        if fields[2].isdigit() and fields[3].isdigit():
            name, password, uid, gid, gecos, home, shell = map(os.fsdecode, fields)
            yield pwd.struct_passwd((name, password, int(uid), int(gid), gecos, home, shell))


def _groups(lines: Iterable[bytes]) -> Iterator[GroupEntry]:
    for fields in _fields(lines, 4):
        if fields[2].isdigit():
            members = tuple(os.fsdecode(name) for name in fields[3].split(b",") if name)
            yield GroupEntry(os.fsdecode(fields[0]), int(fields[2]), members)


def _fields(lines: Iterable[bytes], number: int) -> Iterator[list[bytes]]:
    """Yield the lines that are accounts or groups: none of NIS (+, -), no comment."""
    for line in lines:
        fields = line.split(b":")
        if len(fields) == number and fields[0] and line[:1] not in (b"+", b"-", b"#"):
            yield fields
