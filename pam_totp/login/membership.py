"""Whose member an account is: by /etc/group, and by the directory, which gets a bounded time.

An LDAP server that is gone can hold getgrouplist(3) up for half a minute or for good, and a call
into it cannot be taken back: a thread that waits there stays, and under pam_python a second thread
crashes the application. So getent(1) asks, in processes that are killed when time is up.
"""

from __future__ import annotations

import _signal
import _socket
import os
import time
from typing import TYPE_CHECKING

from ..core.admission import Groups
from ..system import embedding

if TYPE_CHECKING:
    import pwd
    from collections.abc import Iterator, Sequence

SECONDS = 5.0  # for all questions of one login; sssd answers from its cache at the next one
MAX_BYTES = 8 * 1024 * 1024  # of one answer: a group of 200,000 members
GROUP_FILE = "/etc/group"
SWITCH_FILE = "/etc/nsswitch.conf"
PROGRAM = "/usr/bin/getent"

_ENVIRONMENT = {"PATH": embedding.PATH, "LC_ALL": "C"}
_NOT_FOUND = 2  # exit status of getent
_REAP_SECONDS = 1.0  # a process that a disk or NFS holds does not die; nobody waits for it


def local_groups(entry: pwd.struct_passwd, names: tuple[str, ...]) -> Groups:
    """Return what /etc/group alone says of ``names``: who is a member there is one for certain."""
    ids, own = _read_group_file(entry)
    return Groups(tuple(name for name in names if ids.get(_encoded(name)) in own))


def groups_among(entry: pwd.struct_passwd, names: tuple[str, ...]) -> Groups:
    """Return what file and directory say of ``names``. Takes SECONDS at most, and never raises."""
    if not names:
        return Groups()
    ids, own = _read_group_file(entry)
    deadline = time.monotonic() + SECONDS
    questions: list[_Question] = []
    problem = ""
    try:
        initgroups = _Question("initgroups", os.fsencode(entry.pw_name))
        questions.append(initgroups)
        elsewhere = {name: _encoded(name) for name in names if _encoded(name) not in ids}
        asked = {}
        for name, encoded in elsewhere.items():
            if encoded:
                asked[name] = _Question("group", encoded)
                questions.append(asked[name])
        own |= initgroups.groups_of_user(deadline)
        for name, question in asked.items():
            number = question.id_of_group(deadline)
            if number is not None:
                ids[elsewhere[name]] = number
    except TimeoutError:
        problem = f"the directory did not name the user's groups within {SECONDS:.0f} s"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        problem = f"the directory did not name the user's groups: {PROGRAM}: {why}"
    finally:
        for question in questions:
            question.close()
    numbers = {name: ids.get(_encoded(name)) for name in names}
    return Groups(
        tuple(name for name in names if numbers[name] in own),
        tuple(name for name in names if numbers[name] is None),
        problem,
    )


def ask(database: str, keys: Sequence[bytes], deadline: float) -> bytes:
    """Return the lines of ``keys`` in a database of NSS, of everything there where there are none.

    Raises TimeoutError at ``deadline``, a time of time.monotonic(); OSError or ValueError where
    getent does not do its work.
    """
    question = _Question(database, *keys)
    try:
        return question.answer(deadline)
    finally:
        question.close()


def _encoded(name: str) -> bytes:
    """Return ``name`` as NSS takes it; empty for what no group can be called."""
    try:
        encoded = name.encode("utf-8")
    except UnicodeError:
        return b""
    return b"" if b"\0" in encoded else encoded


def _read_group_file(entry: pwd.struct_passwd) -> tuple[dict[bytes, int], set[int]]:
    """Return the numbers of the groups of the file, and those that ``entry`` is a member of."""
    ids: dict[bytes, int] = {}
    own = {entry.pw_gid}
    if not files_come_first(b"group", b"initgroups", whatever_they_say=True):
        return ids, own
    user = os.fsencode(entry.pw_name)
    for line in lines_of(GROUP_FILE):
        fields = line.split(b":")
        if len(fields) != 4 or not fields[2].isdigit() or line[:1] in b"+-#":
            continue
        number = int(fields[2])
        ids.setdefault(fields[0], number)
        if user in fields[3].split(b","):
            own.add(number)
    return ids, own


def files_come_first(*databases: bytes, whatever_they_say: bool = False) -> bool:
    """Tell whether NSS asks the files in /etc before anything else, so that their word stands.

    ``whatever_they_say``: also where an action, as ``[SUCCESS=merge]``, has it ask others too.
    """
    for services in services_of(*databases):
        first, *others = services.replace(b"[", b" [").split() or [b""]
        if first != b"files" or (others[:1] and others[0][:1] == b"[" and not whatever_they_say):
            return False
    return True


def files_are_all(database: bytes) -> bool:
    """Tell whether NSS asks nobody but the files in /etc."""
    return all(services.split() == [b"files"] for services in services_of(database))


def services_of(*databases: bytes) -> Iterator[bytes]:
    """Yield what nsswitch.conf(5) says of each line of one of ``databases``."""
    for line in lines_of(SWITCH_FILE):
        database, _, services = line.partition(b"#")[0].partition(b":")
        if database.strip() in databases:
            yield services


def lines_of(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            return file.read().split(b"\n")
    except OSError:
        return []


def reads_as_a_number(name: str) -> bool:
    """Tell whether getent may take ``name`` for a number, which it reads with strtoul(3)."""
    return not name.strip("+-0123456789 \t\n\v\f\r")


class _Question:
    """A getent that runs: ``close()`` ends it, whatever came of it."""

    def __init__(self, database: str, *keys: bytes) -> None:
        self._key = keys[0] if keys else b""
        words = [os.fsencode(PROGRAM), database.encode("ascii"), *([b"--", *keys] if keys else [])]
        self._answer, its = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            self._child = os.posix_spawn(
                PROGRAM,
                words,
                _ENVIRONMENT,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, its.fileno(), 1),
                    (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
                ],
                setsigmask=(),
            )
        except BaseException:
            self._answer.close()
            raise
        finally:
            its.close()
        self._runs = True

    def groups_of_user(self, deadline: float) -> set[int]:
        """Return the numbers in the one line that getent always writes. Raises OSError."""
        line = self.answer(deadline)
        if not line.startswith(self._key) or not line.endswith(b"\n"):
            raise ValueError("no answer came")
        return set(map(int, line[len(self._key) :].split()))

    def id_of_group(self, deadline: float) -> int | None:
        """Return the number of the group, None where there is none. Raises OSError."""
        fields = self.answer(deadline).split(b":")
        if len(fields) < 3:
            return None
        if reads_as_a_number(os.fsdecode(self._key)) and fields[0] != self._key:
            return None
        return int(fields[2])

    def answer(self, deadline: float) -> bytes:
        """Return all that getent writes. Raises TimeoutError, or another OSError."""
        chunks: list[bytes] = []
        left = MAX_BYTES
        while left > 0:
            self._answer.settimeout(max(deadline - time.monotonic(), 0.001))
            chunk = self._answer.recv(min(left, 65536))
            if not chunk:
                status = self._reap(max(deadline - time.monotonic(), 0.001))
                if status not in (0, _NOT_FOUND, None):
                    raise ValueError(f"exit status {status}")
                return b"".join(chunks)
            chunks.append(chunk)
            left -= len(chunk)
        raise ValueError("the answer is too long")

    def close(self) -> None:
        self._answer.close()
        try:
            self._reap(0)
        except TimeoutError:  # it is still there, so that its number is its own
            os.kill(self._child, _signal.SIGKILL)
            try:
                self._reap(_REAP_SECONDS)
            except TimeoutError:
                pass

    def _reap(self, seconds: float) -> int | None:
        """Return the exit status; None where the application waits for all children itself."""
        end = time.monotonic() + seconds
        pause = 0.0001
        while self._runs:
            try:
                child, status = os.waitpid(self._child, os.WNOHANG)
            except ChildProcessError:
                self._runs = False
                return None
            if child:
                self._runs = False
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() >= end:
                raise TimeoutError
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        return None
