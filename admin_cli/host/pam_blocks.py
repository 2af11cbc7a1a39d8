"""Our lines in a PAM file: between which marks they stand, which they are, how they come out.

A block begins and ends with a mark. Lines that it replaced stand in it behind ``#replaced: ``, and
are there again once the block is taken out. Whatever else somebody wrote into a block is theirs,
and stays.

Lines of another module that was moved from stand behind ``#migrated ID: ``, with the id of the
trial. The undo of that trial alone brings them back. Once it is confirmed they are removed, and
wherever they are left behind they stay comments: the module's secrets are not kept up to date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pam_totp.stack import pam_lines, pam_ways
from pam_totp.stack.pam_lines import NotUnderstood

BEGIN = "# BEGIN pam_totp (written by totpctl enable; taken out by: totpctl disable SERVICE)"
END = "# END pam_totp"
REPLACED = "#replaced: "
CODE = "auth required pam_totp.so"
PERMIT = "auth required pam_permit.so"  # after lines that jump, none of which grants anything
KEY_LINES = (
    "# Came with an SSH key? If not, go on after the next two lines.",
    "auth [success=ignore default=2] pam_totp.so first_factor=key",
    "# With a key the code decides; users who are not asked for one reach pam_permit.",
    "auth [success=done ignore=ignore default=die] pam_totp.so",
    "auth [success=done default=die] pam_permit.so # never without pam_totp.so",
)
KEYS_ALONE = "auth [success=done default=ignore] pam_totp.so first_factor=key"
# What sshd does with a key is set in its own file; this says which one the lines go with.
KEYS = {
    "code": "# keys: code (an SSH key or the password, then the code)",
    "key+code": "# keys: key+code (an SSH key, then the code; sshd takes no password)",
    "password+code": "# keys: password+code (an SSH key, then the password and the code)",
    "none": "# keys: none (keys do not log in; the password, then the code)",
    "skip": "# keys: skip (an SSH key alone is enough, and never gets here)",
}
# Of other services: password and code in one answer, or one after the other (None).
ONE_PROMPT = "one-prompt"
MODES = (*KEYS, ONE_PROMPT)
ONE_PROMPT_LINES = (
    "# Password and code come in one answer: keep the code, hand on the password.",
    "auth requisite pam_totp.so first_factor=password one_prompt",
)
# Those with which key logins are asked for the code and no password.
CODE_AFTER_KEY = ("code", "key+code")
_BEGINS, _ENDS = "# BEGIN pam_totp", "# END pam_totp"
_MIGRATED = re.compile(r"#migrated ([0-9a-z]*): ")
_OURS = frozenset((CODE, *KEY_LINES, *KEYS.values(), *ONE_PROMPT_LINES))


class _Piece(NamedTuple):
    """Consecutive lines of a file, ends of line included: those of a block, or others."""

    lines: tuple[str, ...]
    is_block: bool


def block(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in (BEGIN, *lines, END))


def keys_alone(text: str) -> str:
    """Return ``text``, with a block before it that asks key logins for nothing.

    For the time in which sshd still asks PAM about them, and PAM is to ask for no code any more.
    """
    return block([KEYS_ALONE]) + text


def lets_keys_in(text: str) -> bool:
    """Return whether keys_alone() made ``text``: a change that was begun, and not finished."""
    return KEYS_ALONE in generated(text)


def disabled(text: str) -> str:
    """Return ``text`` without our blocks; what they replaced is there again."""
    return _with_blocks(text, _taken_out)


def migrated_line(trial: str, line: str) -> str:
    """Return a line of another module as the comment that the undo of ``trial`` brings back."""
    return f"#migrated {trial}: {line}"


def of_other_modules(text: str) -> list[str]:
    """Return the lines of modules that were moved from, as the undo brings them back."""
    lines = [line for piece in _pieces(text) if piece.is_block for line in piece.lines]
    return [line[mark.end() :].rstrip("\n") for line in lines if (mark := _MIGRATED.match(line))]


def confirmed(text: str) -> str:
    """Return ``text`` without any line of a module that was moved from."""
    return _with_blocks(text, lambda lines: [each for each in lines if not _MIGRATED.match(each)])


def migration_undone(text: str, trial: str, original: str | None) -> str | None:
    """Return ``text`` with the lines that the migration ``trial`` replaced; None without any.

    Other blocks stay as they are. ``original``: the text before the last change, where it is known:
    a block of an unknown trial is of that change if all that it replaced is there.
    """
    before = None if original is None else original.split("\n")

    def is_of_the_trial(lines: Sequence[str]) -> bool:
        found = [mark for line in lines if (mark := _MIGRATED.match(line.rstrip("\n")))]
        if not found or (trial and any(mark[1] == trial for mark in found)):
            return bool(found)
        return before is not None and all(
            mark.string not in before and mark.string[mark.end() :] in before for mark in found
        )

    if not any(piece.is_block and is_of_the_trial(piece.lines) for piece in _pieces(text)):
        return None
    return _with_blocks(
        text, lambda lines: _moved_back(lines) if is_of_the_trial(lines) else iter(lines)
    )


def _with_blocks(text: str, changed: Callable[[Sequence[str]], Iterator[str] | list[str]]) -> str:
    pieces = list(_pieces(text))
    out = "".join(
        "".join(changed(piece.lines) if piece.is_block else piece.lines) for piece in pieces
    )
    # enabled() moves a missing end of line, which the last line of a file may lack, to the mark.
    ended_with_block = bool(pieces) and pieces[-1].is_block and not text.endswith("\n")
    return out.removesuffix("\n") if ended_with_block else out


def is_managed(text: str) -> bool:
    return any(piece.is_block for piece in _pieces(text))


def has_copies(text: str) -> bool:
    """Return whether our blocks replace lines by copies of what these include.

    Not where a line stands in for one of another module once our block is taken out.
    """
    replacing = [
        [line.strip() for line in piece.lines]
        for piece in _pieces(text)
        if piece.is_block and any(line.startswith(REPLACED) for line in piece.lines)
    ]
    return bool(replacing) and all(PERMIT in lines for lines in replacing)


def keys_of(text: str) -> str | None:
    """Return how sshd's file says that keys are treated, or ONE_PROMPT; else None."""
    lines = generated(text)
    if any(line.startswith("auth") and "first_factor=password" in line for line in lines):
        return ONE_PROMPT
    for keys, comment in KEYS.items():
        if comment in lines:
            return keys
    return "code" if KEY_LINES[1] in lines else None


def generated(text: str) -> list[str]:
    """Return the lines of the blocks that this program wrote, without ends of line."""
    found = []
    for piece in _pieces(text):
        if piece.is_block:
            replaces = any(line.startswith(REPLACED) for line in piece.lines)
            lines = [line.strip() for line in piece.lines]
            found += [line for line in lines if _is_ours(line, replaces=replaces)]
    return found


def numbers(text: str) -> frozenset[int]:
    """Return the numbers of the lines of the blocks."""
    found, number = set(), 1
    for piece in _pieces(text):
        if piece.is_block:
            found |= set(range(number, number + len(piece.lines)))
        number += len(piece.lines)
    return frozenset(found)


def physical_lines(text: str) -> list[str]:
    """Split as libpam does, at newlines alone, and keep them."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _pieces(text: str) -> Iterator[_Piece]:
    lines = tuple(physical_lines(text))
    at = 0
    while at < len(lines):
        if lines[at].strip().startswith(_BEGINS):
            end = _end_of_block(lines, at)
            yield _Piece(lines[at:end], is_block=True)
        else:
            end = at + 1
            yield _Piece(lines[at:end], is_block=False)
        at = end


def _end_of_block(lines: Sequence[str], begin: int) -> int:
    """Return where the block ends; without its mark, after the last pam_totp line that follows."""
    end = begin + 1
    for at in range(begin + 1, len(lines)):
        if lines[at].strip().startswith(_ENDS):
            return at + 1
        if lines[at].strip().startswith(_BEGINS):
            break
        if _runs_the_hook(lines[at]) or lines[at].strip() == KEY_LINES[-1]:
            end = at + 1
    return end


def _taken_out(lines: Sequence[str]) -> Iterator[str]:
    replaces = any(line.startswith(REPLACED) for line in lines)
    for line in lines:
        if line.startswith(REPLACED):
            yield line.removeprefix(REPLACED)
        elif not _is_ours(line.rstrip("\n"), replaces=replaces):
            yield line


def _moved_back(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if mark := _MIGRATED.match(line):
            yield line[mark.end() :]
        elif not _is_ours(line.rstrip("\n"), replaces=True):
            yield line


def _is_ours(line: str, *, replaces: bool) -> bool:
    """Whether a line of a block was written by us, perhaps changed or commented out since."""
    bare = line.strip()
    if bare.startswith((_BEGINS, _ENDS, REPLACED)) or _MIGRATED.match(bare) or bare in _OURS:
        return True
    if bare.startswith("#"):
        return bare.lstrip("# ") in _OURS
    return _runs_the_hook(line) or (replaces and _is_auth(line))


def _runs_the_hook(line: str) -> bool:
    try:
        return any(map(pam_ways.runs_the_hook, pam_lines.lines("", line)))
    except NotUnderstood:
        return False


def _is_auth(line: str) -> bool:
    words = line.split()
    return bool(words) and words[0].lstrip("-").lower() == "auth"
