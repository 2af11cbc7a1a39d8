"""sshd's PAM file and its drop-in: taken out without a gap, and whether they are in force.

The drop-in decides whether sshd asks PAM about people with a key at all, the PAM file what these
are asked: neither does without the other, and no step changes both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from pam_totp.stack import pam_stack
from pam_totp.system.errors import PamTotpError

from ..errors import CommandFailed
from ..host import files, sshd
from ..host.sshd import process as sshd_process
from . import blocks


def without_a_gap(
    pam_before: bytes,
    drop_in: Callable[[], list[str]],
    pam: Callable[[], list[str]],
    *,
    by_renames_alone: bool = False,
) -> list[str]:
    """Take our lines out of sshd's two files by ``drop_in`` and ``pam``; return their notes.

    Each step may fail or be the last. So the PAM file is changed first, to one that does under
    the settings of before and of later alike: it asks key logins for nothing. Were the drop-in
    first, keys would get in without a code while the PAM file still asks for it; were the PAM file
    of before first, PAM would ask key logins for a password, which they may not have.
    ``pam_before``: what it is to say in the end, and says behind that meanwhile.

    ``by_renames_alone``: for the automatic undo, which goes on where the first step cannot be
    written, for whatever reason: the originals still take the places of what was changed. Where
    the PAM file's cannot, sshd has its settings of before all the same, and what holds is said.
    """
    first_failed: OSError | PamTotpError | None = None
    try:
        _let_keys_in(pam_before)
    except (OSError, PamTotpError) as error:
        if not by_renames_alone:
            raise
        first_failed = error
    notes = drop_in()
    load_it(
        "codes are still asked for" if first_failed else "key logins are not asked for anything"
    )
    try:
        return notes + pam()
    except (OSError, PamTotpError) as error:
        if first_failed is None:
            raise
        raise CommandFailed(
            f"{error}; sshd keeps its earlier settings, so key logins are not asked for a code; "
            "other logins are",
            getattr(error, "hint", ""),
        ) from None


def pam_file() -> str:
    return f"{pam_stack.PAM_FOLDERS[0]}/sshd"


def load_it(meanwhile: str) -> None:
    """Tell sshd. Raises CommandFailed with the reason why not, and what holds ``meanwhile``."""
    try:
        _tell()
    except (OSError, PamTotpError) as error:
        until = "; sshd keeps its earlier settings until it can reload"
        until += f", and {meanwhile}" if meanwhile else ""
        raise CommandFailed(f"{error}{until}", getattr(error, "hint", "")) from None


def _tell() -> None:
    """Let sshd load its settings; where it was removed since, there is nobody to tell."""
    if os.path.exists(sshd_process.program()):
        sshd.check()
        sshd.reload()


def pam_taken_back(keys_before: str | None, original: bytes | None) -> bytes:
    """Return what sshd's PAM file says with our lines as they were; ``keys_before``: None without.

    ``original``: its content before, where that is known. A file that is not trusted is left to the
    step that restores it, which moves it aside.
    """
    return _pam_with(
        lambda path, content: blocks.taken_back(path, content, keys_before, original=original)
    )


def pam_disabled() -> bytes:
    """Return what sshd's PAM file says without our lines, and those of a module moved from."""
    return _pam_with(blocks.without)


def _pam_with(changed: Callable[[str, bytes], bytes | None]) -> bytes:
    path = pam_file()
    try:
        content = files.read(path)
    except CommandFailed:
        content = None
    if content is None:
        return blocks.vendors(path) or b""
    try:
        before = changed(path, content)
    except PamTotpError:  # edited into what no code can be put in
        before = blocks.without(path, content)
    return before or blocks.vendors(path) or b""


def _let_keys_in(pam_before: bytes) -> None:
    """Let sshd's PAM file ask key logins for nothing, and others for what it asked before."""
    path = pam_file()
    try:
        content = files.read(path)
    except CommandFailed:
        return
    if content is None or not _any_is_ours(path, content):
        return
    alone = blocks.keys_alone(pam_before)
    if alone != content:
        files.replace(path, alone)


def _any_is_ours(pam: str, content: bytes) -> bool:
    """Return whether sshd's PAM file or its drop-in has our lines."""
    if blocks.keys_of(pam, content) is not None:
        return True
    try:
        return blocks.keys_of(sshd.DROP_IN, files.read(sshd.DROP_IN)) is not None
    except CommandFailed:
        return True  # it is not trusted


def check_in_force(keys: str, users: Sequence[str]) -> None:
    """Raise CommandFailed where sshd does not do what ``keys`` needs, for one of ``users``."""
    problems = sshd.problems(keys, users)
    if problems:
        raise CommandFailed("; ".join(problems), "fix it there, then run this again")
