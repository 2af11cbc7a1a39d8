"""Change a file of /etc so that it is at all times either the old or the new one, whole.

What is written lies beside the file until it is whole and on the disk. The original stays beside
it too, as a second name of the same file: restoring it takes a rename, and no room on the disk.
Neither name is one that libpam or sshd's Include takes for a file of theirs.

ext4 keeps no inode back for root, nor XFS and tmpfs a block: anybody who can write there can take
the last one. So ``enable`` leaves a spare file beside each, with inode and blocks of its own. Where
no new file can be made, the spare is written, in place, and takes the name: what a crash may tear
is a file that nobody reads.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping, Sequence

from pam_totp.core.hashes import sha256
from pam_totp.system import atomic_files, trusted_files
from pam_totp.system.atomic_files import remove as remove
from pam_totp.system.atomic_files import sync_folder as sync_folder
from pam_totp.system.errors import InsecureFile, PamTotpError, Unavailable

from ..errors import CommandFailed

MAX_BYTES = 256 * 1024
BEFORE = ".pam_totp-before."  # the original
NEW = ".pam_totp-new."  # not whole yet
SPARE = ".pam_totp-spare."  # room for a later content, where others have taken all the disk
SECOND = ".second"  # behind the name of a spare: for a file that is written twice on the way
EDITED = ".pam_totp-edited."  # edits that there was no room to keep in place
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_BLOCK = 4096  # bytes
_NO_ATTRIBUTES = (errno.ENOTSUP, errno.ENODATA)


def beside(path: str, prefix: str) -> str:
    """Return the name of ``path`` with ``prefix``, in the same folder."""
    folder, name = os.path.split(path)
    return os.path.join(folder, prefix + name)


def read(path: str) -> bytes | None:
    """Return the content of ``path``, None where there is no such file.

    Raises CommandFailed for a file that somebody else could have written, and for a link:
    what it leads to belongs to another program.
    """
    if not os.path.lexists(path):  # nor, perhaps, its folder
        return None
    try:
        return trusted_files.read_trusted(path, MAX_BYTES)
    except FileNotFoundError:
        return None
    except InsecureFile as error:
        hint = error.hint
        if os.path.islink(path):
            hint = f"its target belongs to another program; see: ls -l {path}"
        raise CommandFailed(str(error), hint) from None
    except Unavailable as error:
        raise CommandFailed(str(error), error.hint) from None


def text_of(content: bytes) -> str:
    """Decode so that bytes_of gives the same bytes again, whatever they are."""
    return content.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def digest(content: bytes | None) -> str:
    """Return the SHA-256 in hexadecimal digits; "" for no file."""
    return "" if content is None else str(sha256(content).hexdigest())


def digest_at(path: str) -> str:
    """Return the digest of what lies at ``path``, "" for nothing; "?" where that is no plain file.

    Follows no link, trusts no other user, and raises nothing.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except OSError:
        return "?"
    with open(descriptor, "rb") as file:
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return "?"
            return digest(file.read(MAX_BYTES + 1))
        except OSError:
            return "?"


def keep_original(path: str) -> None:
    """Give the file ``path`` its second name, durably; a copy where it can have but one."""
    kept = beside(path, BEFORE)
    remove(kept)
    try:
        os.link(path, kept, follow_symlinks=False)
    except OSError:
        content = read(path)
        assert content is not None
        _write(kept, content, path)
    sync_folder(path)


def keep_nothing(path: str) -> None:
    """Note durably that there is no file ``path``: an empty second name."""
    kept = beside(path, BEFORE)
    remove(kept)
    _write(kept, b"", like=None, mode=0o600)
    sync_folder(path)


def having(prefix: str, folders: Sequence[str]) -> list[str]:
    """Return the paths in ``folders`` beside which an original, or a spare, lies."""
    found = []
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            continue
        found += [f"{folder}/{n.removeprefix(prefix)}" for n in names if n.startswith(prefix)]
    return found


def put_original_back(path: str) -> None:
    """Let the original take the place of ``path`` again, durably. Needs no room on the disk."""
    atomic_files.rename(beside(path, BEFORE), path)


def replace(path: str, content: bytes, *, may_use_spare: bool = True) -> None:
    """Let ``content`` take the place of ``path``, durably, with the owner, mode and extended
    attributes (SELinux label, ACL) of the file that is there; a new file is root's, for all to
    read. Raises OSError where there is no room and no spare file that it may use.
    """
    like = path if os.path.lexists(path) else None
    _put(path, content, like, may_use_spare=may_use_spare)


def write_own(path: str, document: object) -> None:
    """Write ``document`` as JSON into a file for root alone, durably, whatever lay there before.

    Its folder is made where there is none. Raises InsecureFile or Unavailable for a folder that is
    not trusted.
    """
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        os.mkdir(folder, 0o700)
        sync_folder(folder)
    trusted_files.check_folder(folder)
    write_for_root(path, json.dumps(document, indent=2, sort_keys=True).encode() + b"\n")


def write_for_root(path: str, content: bytes) -> None:
    """Let ``content`` take the place of ``path``, durably, as a file for root alone."""
    _put(path, content, like=None, mode=0o600)


def write_all_for_root(contents: Mapping[str, bytes]) -> None:
    """Do the same for all files of ``contents``, by path, in one folder: with one sync of it."""
    for path, content in contents.items():
        _put_whole(path, content, like=None, mode=0o600, may_use_spare=False)
    for path in list(contents)[:1]:
        sync_folder(path)


def keep_spare(path: str, size: int, which: int = 0) -> None:
    """Leave a spare file beside ``path``, with room for ``size`` bytes and what may be added.

    Made like the file at ``path``, so that nothing about it needs room later. Raises OSError.
    ``which``: 0, or 1 for a second one.
    """
    if has_spare(path, size, which):
        return
    spare = spares(path)[which]
    remove(spare)
    try:
        like = path if os.path.lexists(path) else None
        _write(spare, b"\0" * _room(size), like, mode=0o600)
    except BaseException:
        remove(spare)
        raise
    sync_folder(spare)


def has_spare(path: str, size: int, which: int = 0) -> bool:
    """Return whether keep_spare() has nothing to do."""
    spare = spares(path)[which]
    return os.path.isfile(spare) and os.lstat(spare).st_size >= _room(size)


def _room(size: int) -> int:
    return (size // _BLOCK + 2) * _BLOCK


def remove_spare(path: str) -> None:
    for spare in spares(path):
        remove(spare)


def spares(path: str) -> tuple[str, str]:
    """Return the names of the spare files beside ``path``; only some files have the second one."""
    first = beside(path, SPARE)
    return first, f"{first}{SECOND}"


def _put(
    path: str, content: bytes, like: str | None, mode: int = 0o644, *, may_use_spare: bool = True
) -> None:
    _put_whole(path, content, like, mode, may_use_spare=may_use_spare)
    sync_folder(path)


def _put_whole(
    path: str, content: bytes, like: str | None, mode: int, *, may_use_spare: bool
) -> None:
    """Let it take the place of ``path``; the name is durable after sync_folder()."""
    new = beside(path, NEW)
    try:
        remove(new)
        _write(new, content, like, mode)
        os.rename(new, path)
    except BaseException as error:
        remove(new)
        if not (may_use_spare and isinstance(error, OSError) and error.errno in NO_ROOM):
            raise
        tried = reversed(spares(path))
        written = next((s for s in tried if _write_spare(s, content, like, mode)), None)
        if written is None:
            raise
        os.rename(written, path)


def _write_spare(spare: str, content: bytes, like: str | None, mode: int) -> bool:
    """Let the spare hold ``content``, on the disk; False where there is none that is trusted.

    Its blocks are written over, and those beyond the content given back: none is needed.
    """
    try:
        trusted_files.check_folder(os.path.dirname(spare))
        descriptor = os.open(spare, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, PamTotpError):
        return False
    with open(descriptor, "wb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return False
        os.fchmod(descriptor, 0o600)
        file.write(content)
        os.fsync(descriptor)
        os.ftruncate(descriptor, len(content))
        _finish(descriptor, like, mode)
        os.fsync(descriptor)
    return True


def _write(path: str, content: bytes, like: str | None, mode: int = 0o644) -> None:
    """Make a new file ``path``, on the disk when this returns."""
    atomic_files.write_new(path, content, lambda descriptor: _finish(descriptor, like, mode))


def _finish(descriptor: int, like: str | None, mode: int) -> None:
    if like is None:
        os.fchmod(descriptor, mode)
    else:
        _make_alike(descriptor, like)


def _make_alike(descriptor: int, like: str) -> None:
    status = os.lstat(like)
    os.fchown(descriptor, status.st_uid, status.st_gid)
    try:
        names = os.listxattr(like, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTES:
            raise
        names = []
    for name in names:
        value = os.getxattr(like, name, follow_symlinks=False)
        if not _has_attribute(
            descriptor, name, value
        ):  # a spare has it already, which costs nothing
            os.setxattr(descriptor, name, value)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))  # last: it decides over an ACL's mask


def _has_attribute(descriptor: int, name: str, value: bytes) -> bool:
    try:
        return os.getxattr(descriptor, name) == value
    except OSError:
        return False
