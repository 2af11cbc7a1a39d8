"""Files to import from: one, standard input, a folder, or every account's home.

In homes and folders others may own the files: there no link is followed, and nothing but a regular
file is read. A file that the administrator names may be a pipe, as a shell makes of <(command).
Which files are read, and which refused: trust.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import select
import stat
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import CommandFailed
from ..host import accounts, directory
from . import trust
from .tokens import Contents, Rejected, Unreadable
from .trust import TrustRule

MOST_BYTES_OF_A_PERSON = 64 * 1024  # pam_google_authenticator reads no larger file either
MOST_BYTES_ALL_TOLD = 32 * 1024 * 1024
MOST_FILES = 10_000  # in one folder
IN_A_HOME = ".google_authenticator"
STDIN = "-"
_WRITER_SECONDS = 10.0  # for somebody to open a named pipe for writing
# Character devices that may be meant: /dev/null, and terminals as /dev/stdin.
_NULL = os.makedev(1, 3)
_TERMINALS = {4, 5, *range(136, 144), 188, 204}  # major numbers


class TokenFile(NamedTuple):
    """A file's name, its bytes, and the account that its name or its owner stands for, or ""."""

    name: str
    data: bytes
    user: str = ""
    others_may: str = ""  # "read" or "write" it
    owner: str = ""  # its account, unless that is an administrator's

    def __repr__(self) -> str:
        return f"<TokenFile {self.name!r}>"


def named(path: str) -> tuple[list[TokenFile], Contents]:
    """Return the sources at ``path``, and what in that folder is refused.

    Raises CommandFailed, also for a file that others can write, and OSError.
    """
    if "://" in path.partition("?")[0]:
        raise CommandFailed(
            "an address in the command line shows its secret to all users of this machine",
            "write it to a file that only root can read, or send it through a pipe: -",
        )
    if os.path.isdir(path):
        return _in_folder(path)
    with _named(path) as descriptor:
        if path == STDIN:
            return [TokenFile("standard input", _read(descriptor))], Contents()
        account = _account_of(path, os.fstat(descriptor))
        return [_source(path, descriptor, TrustRule(), account)], Contents()


def central(path: str) -> TokenFile:
    """Return a file of root's that another module reads for everybody.

    Raises CommandFailed for one that others can write, and OSError.
    """
    with _named(path) as descriptor:
        owner = os.fstat(descriptor).st_uid
        if owner not in (0, os.geteuid()):
            raise CommandFailed(
                f"{path} is owned by uid {owner}, who could log in as anybody in it",
                f"check what is in it; then run: chown root {path}",
            )
        return _source(path, descriptor, TrustRule(), "")


def content(path: str) -> bytes:
    """Return all of a file that the administrator names beside the tokens.

    Raises CommandFailed, also for a file that others can write, and OSError.
    """
    with _named(path) as descriptor:
        return _read(descriptor)


def in_homes() -> tuple[list[TokenFile], Contents]:
    """Return the .google_authenticator of every account that has one. Raises CommandFailed."""
    return of_everybody(
        lambda entry: os.path.join(entry.pw_dir, IN_A_HOME),
        lambda entry: TrustRule(
            frozenset({entry.pw_uid}), reader=entry, most_bytes=MOST_BYTES_OF_A_PERSON
        ),
    )


def of_everybody(
    path_of: Callable[[pwd.struct_passwd], str], rule_of: Callable[[pwd.struct_passwd], TrustRule]
) -> tuple[list[TokenFile], Contents]:
    """Return the file of every account that has one, and those that its rule refuses.

    Raises CommandFailed where not all accounts are known.
    """
    sources: list[TokenFile] = []
    refused = Contents()
    seen = set()
    for entry in directory.people():
        if entry.pw_name in seen:  # the files' own and the directory's
            continue
        seen.add(entry.pw_name)
        path = path_of(entry)
        try:
            found, problem = _careful(path, entry.pw_name, rule_of(entry))
        except FileNotFoundError:
            continue
        except (NotADirectoryError, PermissionError) as error:
            if _is_nobodys_home(entry, path):
                continue
            found, problem = [], _refused(path, str(error.strerror), entry.pw_name)
        sources += found
        refused = refused.plus(problem)
    if directory.problem():
        raise CommandFailed(f"not all accounts are known: {directory.problem()}", directory.HINT)
    return sources, refused


def _is_nobodys_home(entry: pwd.struct_passwd, path: str) -> bool:
    """Return whether ``path`` is in a home that is none, or another's, of an account without shell.

    Many are at home in /dev/null, and Fedora's operator in /root.
    """
    if not path.startswith(f"{entry.pw_dir}/"):
        return False
    if not os.path.isdir(entry.pw_dir):
        return True
    try:
        return not accounts.has_shell(entry) and os.lstat(path).st_uid != entry.pw_uid
    except FileNotFoundError:
        return True
    except OSError:
        return False


@contextlib.contextmanager
def _named(path: str) -> Iterator[int]:
    """Open what an administrator names; a pipe, and standard input, may be anything.

    Raises CommandFailed in words that begin with its name, and OSError.
    """
    if path == STDIN:
        descriptor = sys.stdin.fileno()
    else:
        _check_kind(path, os.stat(path))  # to open a device may do something
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if path != STDIN and stat.S_ISREG(status.st_mode):
            trust.check_mode(path, status, TrustRule())
        yield descriptor
    except Unreadable as error:
        raise CommandFailed(f"{path} {error}", error.hint) from None
    finally:
        if path != STDIN:
            os.close(descriptor)


def _check_kind(path: str, status: os.stat_result) -> None:
    """Raise CommandFailed for what holds no file: it may never end, or harm when it is read."""
    kind = stat.S_IFMT(status.st_mode)
    if kind in (stat.S_IFREG, stat.S_IFIFO):
        return
    is_terminal = os.major(status.st_rdev) in _TERMINALS
    if kind == stat.S_IFCHR and (is_terminal or status.st_rdev == _NULL):
        return
    what = {stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}.get(kind, "a device")
    raise CommandFailed(f"{path} is {what}, not a file", "name a file, or - for standard input")


def _in_folder(folder: str) -> tuple[list[TokenFile], Contents]:
    """Return the files of ``folder``, and the .google_authenticator of each folder in it."""
    sources: list[TokenFile] = []
    refused = Contents()
    left = MOST_BYTES_ALL_TOLD
    for path in _files_of(folder):
        owners = {0, os.geteuid(), os.lstat(os.path.dirname(path)).st_uid}
        rule = TrustRule(frozenset(owners))
        if os.path.basename(path) == IN_A_HOME:
            rule = rule._replace(most_bytes=MOST_BYTES_OF_A_PERSON)
        try:
            found, problem = _careful(path, None, rule)
        except OSError as error:
            found, problem = [], _refused(path, str(error.strerror), None)
        left -= sum(len(source.data) for source in found)
        if left < 0:
            limit = f"{MOST_BYTES_ALL_TOLD // 2**20} MiB"
            raise CommandFailed(f"the files in {folder} are larger than {limit}", "split it")
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


def _careful(path: str, user: str | None, rule: TrustRule) -> tuple[list[TokenFile], Contents]:
    """Read a file that somebody else may have put there, as ``rule`` says.

    ``user``: whose it is; None: its name or its owner tells. Raises FileNotFoundError,
    NotADirectoryError, PermissionError.
    """
    try:
        with trust.rights_of(rule.reader):
            status = os.lstat(path)
            if stat.S_IFMT(status.st_mode) not in (stat.S_IFREG, stat.S_IFLNK):
                return [], _refused(path, "is not a regular file", user)  # to open it may do harm
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        raise
    except OSError as error:
        reason = "is a symbolic link" if error.errno == errno.ELOOP else str(error.strerror)
        return [], _refused(path, reason, user)
    try:
        status = os.fstat(descriptor)
        if user is None and _is_of_its_name(path, status):
            rule = rule._replace(owners=None)
        trust.check(path, status, rule)
        account = _account_of(path, status) if user is None else user
        return [_source(path, descriptor, rule, account)], Contents()
    except Unreadable as error:
        hint = f": {error.hint}" if error.hint else ""
        return [], _refused(path, f"{error}{hint}", user)
    finally:
        os.close(descriptor)


def _refused(path: str, reason: str, user: str | None) -> Contents:
    return Contents(rejected=(Rejected(path, reason, user or ""),))


def _is_of_its_name(path: str, status: os.stat_result) -> bool:
    """Tell whether a file is named for its owner, as with ``secret=/FOLDER/${USER}``."""
    entry = directory.person_of_uid(status.st_uid)
    return entry is not None and os.path.basename(path) == entry.pw_name


def _source(path: str, descriptor: int, rule: TrustRule, user: str) -> TokenFile:
    status = os.fstat(descriptor)
    content = _read(descriptor, rule.most_bytes)
    if not stat.S_ISREG(status.st_mode):
        return TokenFile(path, content, user)
    others_may = "read" if status.st_mode & trust.OTHERS_MAY_READ else ""
    others_may = "write" if status.st_mode & trust.OTHERS_MAY_WRITE else others_may
    return TokenFile(path, content, user, others_may, _owner_of(status))


def _owner_of(status: os.stat_result) -> str:
    if status.st_uid in trust.uids_of_administrator():
        return ""
    entry = directory.person_of_uid(status.st_uid)
    return entry.pw_name if entry else f"uid {status.st_uid}"


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


def _read(descriptor: int, most: int = trust.MOST_BYTES) -> bytes:
    """Read to the end. Raises Unreadable beyond ``most``."""
    pieces = [_first_of_a_pipe(descriptor)]
    left = most + 1 - len(pieces[0])
    while piece := _next(descriptor, left):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        size = f"{most // 2**20} MiB" if most >= 2**20 else f"{most // 2**10} KiB"
        raise Unreadable(f"is larger than {size}", "is it the right file?")
    return b"".join(filter(None, pieces))  # of one piece, no copy


def _next(descriptor: int, most: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, most)
        except BlockingIOError:  # somebody writes, and may be asked for a passphrase before
            _is_ready(descriptor, None)


def _first_of_a_pipe(descriptor: int) -> bytes:
    """Return what came first through a named pipe, or nothing. Wait a while for a writer.

    Raises Unreadable where there is none.
    """
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.get_blocking(descriptor):
        return b""
    if _is_ready(descriptor, _WRITER_SECONDS):
        return b""
    try:
        first = os.read(descriptor, 1)
    except BlockingIOError:
        return b""
    if not first:
        raise Unreadable("is a named pipe, and nobody writes to it", "write to it, then try again")
    return first


def _is_ready(descriptor: int, seconds: float | None) -> bool:
    """Wait until something was written, or the writer is gone."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
