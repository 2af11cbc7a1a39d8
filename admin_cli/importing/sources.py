"""Files to import from: one, standard input, a folder, or every account's home.

In homes and folders others may own the files: there no link is followed, and nothing but a regular
file is read. A file that the administrator names may be a pipe, as a shell makes of <(command).
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import CommandFailed
from ..host import directory
from .tokens import Contents, Rejected, Unreadable

MOST_BYTES = 4 * 1024 * 1024  # of one file
MOST_FILES = 10_000  # in one folder
IN_A_HOME = ".google_authenticator"
STDIN = "-"
_OTHERS_MAY_READ = stat.S_IRGRP | stat.S_IROTH


class TokenFile(NamedTuple):
    """A file's name, its bytes, and the account that its name or its owner stands for, or ""."""

    name: str
    data: bytes
    user: str = ""
    is_exposed: bool = False  # others may read it

    def __repr__(self) -> str:
        return f"<TokenFile {self.name!r}>"


def named(path: str) -> tuple[list[TokenFile], Contents]:
    """Return the sources at ``path``, and what in that folder is refused.

    Raises CommandFailed and OSError.
    """
    if "://" in path.partition("?")[0]:
        raise CommandFailed(
            "an address in the command line shows its secret to all users of this machine",
            "write it to a file that only root can read, or send it through a pipe: -",
        )
    if os.path.isdir(path):
        return _in_folder(path)
    with _opened(path) as descriptor:
        status = os.fstat(descriptor)
        if path == STDIN:
            return [TokenFile("standard input", _read(descriptor))], Contents()
        return [_source(path, descriptor, status, _account_of(path, status))], Contents()


def content(path: str) -> bytes:
    """Return all of a file that the administrator names beside the tokens. Raises OSError."""
    with _opened(path) as descriptor:
        try:
            return _read(descriptor)
        except Unreadable as error:
            raise CommandFailed(f"{path} {error}", error.hint) from None


def in_homes() -> tuple[list[TokenFile], Contents]:
    """Return the .google_authenticator of every account that has one. Raises CommandFailed."""
    return of_everybody(lambda entry: os.path.join(entry.pw_dir, IN_A_HOME))


def of_everybody(
    path_of: Callable[[pwd.struct_passwd], str], owner: int = 0
) -> tuple[list[TokenFile], Contents]:
    """Return the file of every account that has one.

    It may be owned by root, by its account, or by ``owner``. Raises CommandFailed where not
    all accounts are known.
    """
    sources: list[TokenFile] = []
    refused = Contents()
    seen = set()
    for entry in directory.people():
        if entry.pw_name in seen:  # the files' own and the directory's
            continue
        seen.add(entry.pw_name)
        path = path_of(entry)
        if os.path.lexists(path):
            found, problem = _careful(path, entry.pw_name, {0, owner, entry.pw_uid})
            sources += found
            refused = refused.plus(problem)
    if directory.problem():
        raise CommandFailed(f"not all accounts are known: {directory.problem()}", directory.HINT)
    return sources, refused


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    if path == STDIN:
        yield sys.stdin.fileno()
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _in_folder(folder: str) -> tuple[list[TokenFile], Contents]:
    """Return the files of ``folder``, and the .google_authenticator of each folder in it."""
    sources: list[TokenFile] = []
    refused = Contents()
    for path in _files_of(folder):
        owners = {0, os.geteuid(), os.lstat(os.path.dirname(path)).st_uid}
        found, problem = _careful(path, None, owners)
        sources += found
        refused = refused.plus(problem)
    if not sources and not refused.rejected:
        raise CommandFailed(f"{folder} has no files", "name the folder that the files are in")
    return sources, refused


def _files_of(folder: str) -> Iterator[str]:
    names = sorted(os.listdir(folder))
    if len(names) > MOST_FILES:
        raise CommandFailed(f"{folder} has more than {MOST_FILES:,} files", "split it")
    for name in names:
        path = os.path.join(folder, name)
        if stat.S_ISDIR(os.lstat(path).st_mode):
            inner = os.path.join(path, IN_A_HOME)
            if os.path.lexists(inner):
                yield inner
        elif not name.startswith(".") or name == IN_A_HOME:
            yield path


def _careful(path: str, user: str | None, owners: set[int]) -> tuple[list[TokenFile], Contents]:
    """Read a file that somebody else may have put there: a regular one, of one of ``owners``."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
    except OSError as error:
        reason = "is a symbolic link" if os.path.islink(path) else str(error.strerror)
        return [], Contents(rejected=(Rejected(path, reason),))
    try:
        status = os.fstat(descriptor)
        reason = ""
        if not stat.S_ISREG(status.st_mode):
            reason = "is not a regular file"
        elif status.st_uid not in owners and not _is_of_its_name(path, status):
            reason = f"is owned by uid {status.st_uid}, another user"
        if reason:
            return [], Contents(rejected=(Rejected(path, reason),))
        account = _account_of(path, status) if user is None else user
        return [_source(path, descriptor, status, account)], Contents()
    except Unreadable as error:
        return [], Contents(rejected=(Rejected(path, str(error)),))
    finally:
        os.close(descriptor)


def _is_of_its_name(path: str, status: os.stat_result) -> bool:
    """Tell whether a file is named for its owner, as with ``secret=/FOLDER/${USER}``."""
    entry = directory.person_of_uid(status.st_uid)
    return entry is not None and os.path.basename(path) == entry.pw_name


def _source(path: str, descriptor: int, status: os.stat_result, user: str) -> TokenFile:
    is_exposed = stat.S_ISREG(status.st_mode) and bool(status.st_mode & _OTHERS_MAY_READ)
    return TokenFile(path, _read(descriptor), user, is_exposed)


def _account_of(path: str, status: os.stat_result) -> str:
    """Return the account that a file of one person stands for: by its name, or by its owner."""
    name = os.path.basename(path)
    if name != IN_A_HOME:
        stems = dict.fromkeys((name, name.partition(".")[0]))
        entries = (directory.person(stem) for stem in stems if stem.isprintable())
        return next((entry.pw_name for entry in entries if entry), "")
    owner = status.st_uid or os.stat(os.path.dirname(os.path.abspath(path))).st_uid
    entry = directory.person_of_uid(owner)
    return entry.pw_name if entry else ""


def _read(descriptor: int) -> bytes:
    """Read to the end. Raises Unreadable beyond MOST_BYTES."""
    content = bytearray()
    while chunk := os.read(descriptor, MOST_BYTES + 1 - len(content)):
        content += chunk
    if len(content) > MOST_BYTES:
        raise Unreadable(f"is larger than {MOST_BYTES // 2**20} MiB", "is it the right file?")
    return bytes(content)
