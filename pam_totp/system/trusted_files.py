"""Check which files may be trusted: regular, owned by root, in folders nobody else can write.

The owner may also be the effective user, so that everything here works, and is tested, without
root. A refusal names the file and the fix.
"""

from __future__ import annotations

import os
import stat

from .errors import InsecureFile, Unavailable

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MAX_LINKS = 40  # that the kernel follows: path_resolution(7)


def read_trusted(path: str, max_bytes: int, *, secret: bool = False) -> bytes:
    """Return the content of the regular file ``path``, opened without following a link.

    A ``secret`` file must not be readable by others either. Raises FileNotFoundError,
    InsecureFile, or Unavailable for whatever else keeps it from being read.
    """
    check_folder(os.path.dirname(os.path.abspath(path)))
    try:
        # O_NONBLOCK: a FIFO in this place must not hang a login.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        if os.path.islink(path):
            raise InsecureFile(path, "is a symbolic link", _replace_hint(path)) from None
        raise Unavailable(path, os.strerror(error.errno or 0), f"look at: ls -l {path}") from None
    try:
        _check(path, os.fstat(descriptor), _OPEN_TO_OTHERS if secret else _WRITABLE_BY_OTHERS)
        content = bytearray()
        while chunk := os.read(descriptor, max_bytes + 1 - len(content)):
            content += chunk
    except OSError as error:
        raise Unavailable(path, os.strerror(error.errno or 0), f"look at: ls -l {path}") from None
    finally:
        os.close(descriptor)
    if len(content) > max_bytes:
        raise Unavailable(path, f"is larger than {max_bytes} bytes", "is it the right file?")
    return bytes(content)


def check_file(path: str) -> os.stat_result:
    """Check a file that a library will open by name, and return what lstat(2) says of it.

    Raises FileNotFoundError or InsecureFile.
    """
    status = os.lstat(path)
    _check(path, status, _WRITABLE_BY_OTHERS)
    return status


def check_folder(path: str) -> None:
    """Check that only root and the effective user can put files into ``path``, or swap it.

    The folder itself and every folder above it, and every link on the way there: owned by one
    of them, and not writable by others, unless sticky and not the last one. Raises InsecureFile,
    or Unavailable where there is no such folder.
    """
    path = os.path.abspath(path)
    folders = [path, *above(path)]
    statuses = [(folder, _status(folder)) for folder in folders]
    last = path
    if any(stat.S_ISLNK(status.st_mode) for _, status in statuses):
        last = os.path.realpath(path)
        statuses = [(name, _status(name)) for name in way_to(path)]
    for folder, status in statuses:
        _check_owner(folder, status)
        if stat.S_ISLNK(status.st_mode):
            continue
        if not stat.S_ISDIR(status.st_mode):
            raise InsecureFile(folder, "is not a folder", f"look at: ls -ld {folder}")
        sticky = status.st_mode & stat.S_ISVTX and folder != last
        if status.st_mode & _WRITABLE_BY_OTHERS and not sticky:
            raise InsecureFile(folder, "is writable by others", f"run: chmod go-w {folder}")


def way_to(path: str) -> list[str]:
    """Return every folder and link that is passed on the way to ``path``, and where it ends.

    One link may lead over another: whoever changes any of them changes where the path leads.
    """
    passed: dict[str, None] = {"/": None}
    at, links = "/", 0
    names = path.split("/")[::-1]
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        at = os.path.dirname(at) if name == ".." else os.path.join(at, name)
        passed[at] = None
        try:
            target = os.readlink(at)
        except OSError:  # it is no link
            continue
        links += 1
        if links > _MAX_LINKS:
            break
        at = "/" if target.startswith("/") else os.path.dirname(at)
        names += target.split("/")[::-1]
    return list(passed)


def above(path: str) -> list[str]:
    """Return every folder above ``path``, an absolute one, the nearest first."""
    folders = []
    parent = os.path.dirname(path)
    while parent != path:  # "/", or "//", which POSIX keeps apart
        folders.append(parent)
        path, parent = parent, os.path.dirname(parent)
    return folders


def _status(path: str) -> os.stat_result:
    try:
        return os.lstat(path)
    except OSError as error:
        from .disks import missing_hint  # no login needs it, but one that fails

        problem = os.strerror(error.errno or 0)
        raise Unavailable(path, problem, missing_hint(path)) from None


def _check(path: str, status: os.stat_result, forbidden: int) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise InsecureFile(path, "is a symbolic link", _replace_hint(path))
    if not stat.S_ISREG(status.st_mode):
        raise InsecureFile(path, "is not a regular file", f"look at: ls -l {path}")
    _check_owner(path, status)
    if status.st_mode & forbidden:
        if status.st_mode & forbidden & _WRITABLE_BY_OTHERS:
            raise InsecureFile(path, "is writable by others", f"run: chmod go-w {path}")
        raise InsecureFile(path, "is readable by others", f"run: chmod 0600 {path}")


def _check_owner(path: str, status: os.stat_result) -> None:
    if status.st_uid not in (0, os.geteuid()):
        problem = f"is owned by uid {status.st_uid}, not by root"
        raise InsecureFile(path, problem, f"run: chown root:root {path}")


def _replace_hint(path: str) -> str:
    return f"replace the link with the file itself, or name that file in the configuration: {path}"
