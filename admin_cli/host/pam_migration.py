"""Our lines in a PAM file in place of another module's, one for one. Text alone.

A line takes the place of a line, with its control: what jumps over it, and what it jumps over, is
as before. So is what was wrong with the file, and that is named. The other module's line stays in
the block, as a comment with the id of the trial, for as long as that may be undone.

Once it is confirmed, ``disable`` takes our line out and leaves none. Where that would let somebody
in without a password, or nobody in at all, a line stays that keeps the jumps right: the first of
three for which neither holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pam_totp.core.admission import DENY
from pam_totp.stack import pam_dispatch, pam_lines, pam_stack, pam_ways
from pam_totp.stack.pam_dispatch import Stack
from pam_totp.stack.pam_lines import Line, NotUnderstood

from . import other_modules, pam_blocks, pam_file
from .other_modules import Translation
from .services import arguments_of

Read = Callable[[str], str | None]

_NEUTRAL = "auth [default=ignore] pam_permit.so # for the jumps above"
_ALONE = "decides alone: without it nobody is asked for a password that is known"
_LETS_MORE_IN = "lets in users who are not enrolled, whom {} denies"
_EQUAL = "add unenrolled=deny at the end of that line, or nullok to the one of {}"
_BY_HAND = "put a line that asks for the password before it, such as: auth requisite pam_unix.so"


class Migrated(NamedTuple):
    """The new text, and what an administrator should know of it."""

    text: str
    notes: tuple[str, ...]


def migrated(
    file: str,
    text: str,
    module: str,
    trial: str,
    *,
    read: Read,
    key: bool = False,
    unenrolled: str = DENY,
) -> Migrated:
    """Return ``text`` with our lines in place of those of ``module``. Raises NotUnderstood.

    ``trial``: the id of the one that can be undone. ``key``: nobody gets here whose key sshd has
    not accepted. ``unenrolled``: what pam_totp.conf says of users who are not enrolled. Where our
    lines ask already, or another one of ``module`` comes first, a line is left out, unless somebody
    would get past.
    """
    moved = _FileToMigrate(file, text, module, trial, read, key, unenrolled)
    all_in = moved.candidate([True] * len(moved.lines))
    faults = moved.faults(all_in)
    chosen = all_in
    fewer = [at == 0 and not moved.asking for at in range(len(moved.lines))]
    if not all(fewer) and not moved.lets_more_in(fewer):
        with_fewer = moved.candidate(fewer)
        chosen = with_fewer if moved.faults(with_fewer) <= faults else all_in
    notes = [
        f"{line.file}, line {line.number}: {note}"
        for line in moved.lines
        for note in moved.translated(line).notes
    ]
    notes += [f"{where}, as before" for where in sorted(moved.faults(chosen))]
    return Migrated(chosen, tuple(notes))


class _FileToMigrate:
    def __init__(
        self,
        file: str,
        text: str,
        module: str,
        trial: str,
        read: Read,
        key: bool,
        unenrolled: str,
    ) -> None:
        self._file = file
        self._text = text
        self._trial = trial
        self._read = read
        self._key = key
        self._unenrolled = unenrolled
        self.lines = other_modules.lines_of(module, file, text)
        self._stack = self._stack_of(text)
        auth = [entry.line for entry in self._stack.entries]
        self.asking = [*filter(pam_ways.asks_for_a_code, auth)]
        for line in self.lines:
            if line.number in pam_blocks.numbers(text):
                problem = "is among the lines of totpctl enable"
                hint = f"run: totpctl disable {file}; then run this again"
                raise NotUnderstood(file, line.number, problem, hint)
            other_modules.refuse_forwarding(line, auth[auth.index(line) + 1 :])
            self._refuse_one_that_lets_more_in(line)

    def _refuse_one_that_lets_more_in(self, line: Line) -> None:
        """Raise NotUnderstood where a line asks already, and less strictly than ``line`` does.

        Beside it, ours would ask for a second code; in its place, nothing would deny those users.
        """
        for ours in () if self._lets_in(line) else filter(self._lets_in, self.asking):
            name = line.module_name
            problem = _LETS_MORE_IN.format(name)
            raise NotUnderstood(ours.file, ours.number, problem, _EQUAL.format(name))

    def lets_more_in(self, asks: Sequence[bool]) -> bool:
        """Return whether some line that does not ask denies users whom one that does lets in."""
        lets_in = [(self._lets_in(x), asked) for x, asked in zip(self.lines, asks, strict=True)]
        return (False, False) in lets_in and (True, True) in lets_in

    def _lets_in(self, line: Line) -> bool:
        """Return whether users who are not enrolled get past ``line``, or past ours in its place.

        Also if they enroll first: with the other module, they could not.
        """
        ours = line
        if line in self.lines:
            (ours,) = pam_lines.lines(line.file, self.translated(line).line)
        says = [value for key, value in arguments_of(ours).settings if key == "unenrolled"]
        return [self._unenrolled, *says][-1] != DENY

    def translated(self, line: Line) -> Translation:
        return other_modules.translated(line, self._unenrolled)

    def _stack_of(self, text: str) -> Stack:
        return pam_stack.auth_stack(
            self._file, lambda name: text if name == self._file else self._read(name)
        )

    def candidate(self, asks: Sequence[bool]) -> str:
        """Return the text in which those lines ask for a code. Raises NotUnderstood."""
        before = self._stack_of(self._with([True] * len(self.lines), None))
        for placeholder in (None, _neutral, _accepting):
            if placeholder is None and any(map(self._is_jumped_over, self.lines)):
                continue
            text = self._with(asks, placeholder)
            if self._is_safe(pam_blocks.disabled(text), before):
                return text
        line = self.lines[0]
        raise NotUnderstood(self._file, line.number, _ALONE, _BY_HAND)

    def _with(self, asks: Sequence[bool], placeholder: Callable[[Line], str] | None) -> str:
        physical = pam_blocks.physical_lines(self._text)
        for line, is_asked in reversed(list(zip(self.lines, asks, strict=True))):
            old = physical[line.number - 1 : line.last]
            new = [pam_blocks.migrated_line(self._trial, text.rstrip("\n")) for text in old]
            instead = [placeholder(line)] if placeholder else []
            if is_asked:
                new += [pam_blocks.REPLACED + text for text in instead]
                new.append(self.translated(line).line)
            else:
                new += instead
            block = pam_blocks.physical_lines(pam_blocks.block(new))
            if not old[-1].endswith("\n"):
                block[-1] = block[-1].removesuffix("\n")
            physical[line.number - 1 : line.last] = block
        return "".join(physical)

    def _is_jumped_over(self, line: Line) -> bool:
        entries = self._stack.entries
        place = next(at for at, entry in enumerate(entries) if entry.line == line)
        for at, entry in enumerate(entries[:place]):
            counts = [action for action in entry.actions.values() if isinstance(action, int)]
            if any(pam_dispatch.jump(entries, at, count)[0] > place for count in counts):
                return True
        return False

    def _is_safe(self, text: str, before: Stack) -> bool:
        """Whether ``text``, which asks for no code, lets in those who know the password, only."""
        try:
            stack = self._stack_of(text)
        except NotUnderstood:  # no auth line is left, and no file that libpam takes instead
            return False
        if stack.file != self._file:
            return False
        _, granted = pam_ways.walk(stack, key=self._key)
        if not granted:
            return False
        if pam_ways.jumps_beyond_the_end(stack, key=self._key) and not (
            pam_ways.jumps_beyond_the_end(before, key=self._key)
        ):
            return False
        return all(map(_is_proven, granted))

    def faults(self, text: str) -> frozenset[str]:
        """Say what is wrong with ``text``: it let the same happen with the other module."""
        found = pam_stack.judge(self._stack_of(text), key=self._key)
        return frozenset(
            f"{line.file} ({line.control} {line.module_name}) {problem}"
            for line, problem in pam_file.faults(found)
        )


def _is_proven(progress: pam_ways.Progress) -> bool:
    return progress.passed or progress.key or progress.root


def _neutral(_line: Line) -> str:
    return _NEUTRAL


def _accepting(line: Line) -> str:
    """Return a line that does what ``line`` does after a right code."""
    return f"auth {line.control} pam_permit.so # in place of a code"
