"""Our lines in a file, whichever of the two kinds it is: one of PAM's, or the drop-in of sshd."""

from __future__ import annotations

import os

from pam_totp.stack import pam_stack

from ..errors import CommandFailed
from ..host import alternatives, files, key_only, pam_blocks, pam_file, sshd

_BEGIN = "# BEGIN pam_totp"


def folders() -> tuple[str, str]:
    """Return where the files are that enable changes."""
    return pam_stack.PAM_FOLDERS[0], os.path.dirname(sshd.DROP_IN)


def keys_of(path: str, content: bytes | None) -> str | None:
    """Return how our lines in it treat keys, "" where keys play no part; None without our lines."""
    if content is None:
        return None
    text = files.text_of(content)
    if path == key_only.FILE:
        return "" if text.strip() else None  # all of it is ours
    if path == sshd.DROP_IN:
        if not any(line.startswith(_BEGIN) for line in text.splitlines()):
            return None
        for keys in pam_blocks.KEYS:
            if sshd.drop_in(keys) in text:
                return keys
        return ""
    return (pam_file.keys_of(text) or "") if pam_file.is_managed(text) else None


def is_half_undone(path: str) -> bool:
    """Return whether the file is one of keys_alone(): it was begun to take our lines out."""
    content = _if_believed(path)
    return content is not None and pam_blocks.lets_keys_in(files.text_of(content))


def is_half_disabled(path: str) -> bool:
    """Return whether keys_alone() stands before a file that has none of our lines otherwise."""
    content = _if_believed(path)
    return content is not None and content == keys_alone(_without(path, content))


def of_other_modules(content: bytes) -> list[str]:
    """Return the lines of modules that were moved from, which the undo of a trial brings back."""
    return pam_blocks.of_other_modules(files.text_of(content))


def is_moved_from(content: bytes | None, original: bytes | None) -> bool:
    """Return whether our lines replace some of another module's in ``original``."""
    texts = [files.text_of(text or b"") for text in (content, original)]
    return pam_blocks.migration_undone(texts[0], "", texts[1]) is not None


def confirmed(content: bytes) -> bytes:
    """Return ``content`` of a PAM file without the lines that the undo of a trial brings back."""
    return files.bytes_of(pam_blocks.confirmed(files.text_of(content)))


def without(path: str, content: bytes) -> bytes | None:
    """Return ``content`` without our lines; None where no file is left to keep.

    One in /etc/pam.d that says what the distribution's own below /usr says was made by us.
    """
    return _unless_the_vendors(path, _without(path, content))


def taken_back(
    path: str,
    content: bytes,
    keys_before: str | None,
    *,
    migration: str = "",
    original: bytes | None = None,
) -> bytes | None:
    """Return ``content`` with our lines as they were before a trial; None for no file.

    ``migration``: the id of a trial that was to move from another module, whose lines are there
    again. Of an unknown trial, ``original``, the content before it, tells which these are. Raises
    CommandFailed for the file of those who log in by a key alone: nothing in it is anybody else's
    to keep.
    """
    if path == key_only.FILE:
        raise CommandFailed(f"{path} was edited")
    before = None if original is None else files.text_of(original)
    moved_back = pam_blocks.migration_undone(files.text_of(content), migration, before)
    if moved_back is not None:
        content = files.bytes_of(moved_back)
    if keys_before is None:
        return _unless_the_vendors(path, _without(path, content))
    if migration or moved_back is not None:
        return content
    left = files.text_of(_without(path, content))
    if path == sshd.DROP_IN:
        return files.bytes_of(sshd.drop_in(keys_before or "code") + left)
    keys, service = keys_before or None, os.path.basename(path)
    again = pam_file.enabled(
        service,
        left,
        keys=keys,
        read=pam_stack.read_pam_file,
        alternatives=alternatives.configured(),
    )
    return files.bytes_of(again)


def has_lines_of(path: str, content: bytes | None, original: bytes) -> bool:
    """Return whether our lines in a PAM file are those of ``original``: a migration keeps options.

    Of any other file, True.
    """
    if path == sshd.DROP_IN:
        return True
    ours = [pam_blocks.generated(files.text_of(text or b"")) for text in (content, original)]
    return ours[0] == ours[1]


def keys_alone(pam: bytes) -> bytes:
    """Return a PAM file of sshd with pam_blocks.keys_alone() before what it says."""
    return files.bytes_of(pam_blocks.keys_alone(files.text_of(pam)))


def _if_believed(path: str) -> bytes | None:
    try:
        return files.read(path)
    except CommandFailed:
        return None


def _without(path: str, content: bytes) -> bytes:
    text = files.text_of(content)
    if path == sshd.DROP_IN:
        return files.bytes_of(sshd.drop_in_disabled(text))
    return files.bytes_of(pam_file.disabled(text))


def _unless_the_vendors(path: str, left: bytes) -> bytes | None:
    """Return ``left``; None where a file of the distribution's says the same, or it is empty."""
    return None if left == (b"" if path == sshd.DROP_IN else vendors(path)) else left


def vendors(path: str) -> bytes | None:
    """Return the PAM file below /usr that a file of this path in /etc/pam.d stands before."""
    for folder in pam_stack.PAM_FOLDERS[1:]:
        content = files.read(f"{folder}/{os.path.basename(path)}")
        if content is not None:
            return content
    return None
