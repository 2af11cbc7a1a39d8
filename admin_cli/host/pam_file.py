"""Put the code into a PAM file after its password step, and take it out again. Text alone.

Where a line after the password step is reached as it should be, our lines go beside that. Where
it is not (a substack continues after a wrong password, ``sufficient`` ends the whole stack,
``required`` refuses too late), a copy of the step goes into our block in its place; see
pam_copy. Nothing is returned that pam_stack.judge() finds fault with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pam_totp.stack import pam_dispatch, pam_lines, pam_stack, pam_ways
from pam_totp.stack.pam_dispatch import Entry, Stack
from pam_totp.stack.pam_lines import INCLUDE, Line, NotUnderstood
from pam_totp.stack.pam_stack import read_pam_file
from pam_totp.system.pam_modules import PASSWORD_MODULES

from . import pam_blocks, pam_copy
from .pam_blocks import disabled, is_managed, keys_of

__all__ = ["NotUnderstood", "disabled", "enabled", "faults", "is_managed", "is_part", "keys_of"]

Read = Callable[[str], str | None]

_BY_HAND = "to write the lines by hand: /usr/share/doc/pam_totp/docs/howto/by-hand.md"
_TAKE_IT = "add use_first_pass at the end of that line; see the man page of its module"
_FEWER = "make that line skip fewer lines, or remove it: man 5 pam.d"
_PROFILE = "if it is pam-auth-update's, run: pam-auth-update --disable totp; otherwise remove it"
# What other services' files include: a code there would be asked for in all of them.
_PARTS = {"other", "system-auth", "password-auth", "postlogin", "system-login", "config-util"}
_PARTS |= {"smartcard-auth", "fingerprint-auth", "system-local-login", "system-remote-login"}
_PARTS |= {"system-services"}
# What the files of sudo-i and su-l include, and is a service itself.
_SERVICES = ("su", "sudo", "login", "sshd")


def is_part(service: str) -> bool:
    """Return whether ``service`` is no service but what the files of others include."""
    return service in _PARTS or service.startswith("common-")


def enabled(
    service: str,
    text: str,
    *,
    keys: str | None,
    read: Read = read_pam_file,
    alternatives: frozenset[str] = frozenset(),
) -> str:
    """Return ``text``, of the file of ``service``, with the code in it.

    ``keys``, for sshd alone, is one of pam_blocks.KEYS; of others it may be ONE_PROMPT. None leaves
    it unsaid. ``alternatives``: modules that are a second factor; our line goes behind theirs, if
    these follow the password. What is as it should be stays to the byte. Raises NotUnderstood,
    which names the line that is in the way.
    """
    known = pam_blocks.KEYS if service == "sshd" else (pam_blocks.ONE_PROMPT,)
    if keys is not None and keys not in known:
        raise ValueError(f"keys={keys} for {service}")
    if is_part(service):
        problem = "is part of other services' files, not a service"
        raise NotUnderstood(service, 0, problem, "name services, such as sshd and sudo")
    file = _File(service, disabled(text), read, alternatives)
    if file.asks_already(one_prompt=keys == pam_blocks.ONE_PROMPT):
        return file.text
    written = file.written(keys)
    same = pam_blocks.generated(written) == pam_blocks.generated(text)
    return text if same and file.is_right(text) else written


def faults(found: pam_stack.Judgement) -> Iterator[tuple[Line, str]]:
    """Yield each line that lets somebody in who lacks something, or asks too early."""
    for lines, problem in (
        (found.bypasses, "lets users in without the code"),
        (found.after_wrong_password, "continues after a wrong password"),
        (found.before_password, "makes the code come before the password"),
        (found.without_password, "lets users in without the password"),
        (found.too_late, "comes too late to ask for password and code"),
    ):
        for line in lines:
            yield line, problem


class _Candidate(NamedTuple):
    """A possible text: each line as (line, number in the original; 0: inserted)."""

    lines: tuple[tuple[str, int], ...]

    def old_number(self, number: int) -> int:
        return self.lines[number - 1][1]


class _File:
    """A PAM file without our lines."""

    def __init__(self, service: str, text: str, read: Read, alternatives: frozenset[str]) -> None:
        self.text = text
        self._service = service
        self._read = read
        self._alternatives = alternatives
        self._lines = [
            line for line in pam_lines.lines(service, text) if line.type in ("auth", INCLUDE)
        ]
        self._stack = self._stack_of(text)
        if self._stack.file != service:
            raise NotUnderstood(service, 0, "has no auth line of its own", _BY_HAND)

    def _stack_of(self, text: str) -> Stack:
        return pam_stack.auth_stack(
            self._service, lambda name: text if name == self._service else self._read(name)
        )

    def asks_already(self, *, one_prompt: bool) -> bool:
        """Whether our lines are in the file of another service, which this one includes.

        Raises NotUnderstood if there are pam_totp lines that this program did not write, or, for
        ``one_prompt``, if those of the other service ask for the code alone.
        """
        ours = [e.line for e in self._stack.entries if pam_ways.runs_the_hook(e.line)]
        for line in ours:
            text = self.text if line.file == self._service else self._read(line.file)
            if line.number not in pam_blocks.numbers(text or ""):
                problem = "is a pam_totp line that totpctl did not write"
                hint = _PROFILE if line.file.startswith("common-") else "remove it first"
                raise NotUnderstood(line.file, line.number, problem, hint)
        if ours:
            self._judge(self._stack)
            if one_prompt and not any(map(pam_ways.takes_both, ours)):
                other = ours[0].file
                problem = f"includes {other}, which asks for the code alone"
                hint = f"run: totpctl enable {other} --one-prompt"
                raise NotUnderstood(self._service, 0, problem, hint)
        return bool(ours)

    def written(self, keys: str | None) -> str:
        """Return the first text without fault. Raises NotUnderstood if there is none."""
        first, last = self._password_step()
        faults: list[NotUnderstood] = []
        for build in (self._beside, self._instead):
            for end in self._lines[self._lines.index(last) :]:
                try:
                    candidate = build(first, end, keys)
                    text = self._text_of(candidate)
                    self._check(text, candidate, first)
                except NotUnderstood as fault:
                    faults.append(fault)
                else:
                    return text
        raise faults[0]

    def is_right(self, text: str) -> bool:
        try:
            self._judge(self._stack_of(text))
        except NotUnderstood:
            return False
        return True

    def _password_step(self) -> tuple[Line, Line]:
        """Return the first and the last line of this file that bring in a first factor."""
        tops = [
            (entry.top, entry.line.module_name in PASSWORD_MODULES)
            for entry in self._stack.entries
            if entry.line.module_name in pam_ways.FIRST_FACTORS | self._alternatives
        ]
        if not any(is_password for _, is_password in tops):
            problem = "asks for no password that a code could follow"
            raise NotUnderstood(self._service, 0, problem, _BY_HAND)
        step = [line for line in self._lines if line.number in [top for top, _ in tops]]
        for line in step:
            if line.includes and line.module_name in _SERVICES:
                problem = f"includes {line.module_name}: the code belongs there"
                hint = f"run: totpctl enable {line.module_name}"
                raise NotUnderstood(self._service, line.number, problem, hint)
        return step[0], step[-1]

    def _numbered(self) -> list[tuple[str, int]]:
        lines = pam_blocks.physical_lines(self.text)
        return list(zip(lines, range(1, len(lines) + 1), strict=True))

    def _beside(self, first: Line, end: Line, keys: str | None) -> _Candidate:
        lines = self._numbered()
        before, about_keys = _before(keys), _about_keys(keys)
        if before:
            before, after = [*about_keys, *before], [pam_blocks.CODE]
        else:
            after = [*about_keys, pam_blocks.CODE]
        return _Candidate(
            (
                *lines[: first.number - 1],
                *_ours(before),
                *lines[first.number - 1 : end.last],
                *_ours(after),
                *lines[end.last :],
            )
        )

    def _instead(self, first: Line, end: Line, keys: str | None) -> _Candidate:
        lines = self._numbered()
        step_end, behind = self._step_end(first, end)
        gone = [line for line, _ in lines[first.number - 1 : end.last]]
        for line in pam_lines.lines(self._service, self.text):
            if first.number <= line.number <= end.number:
                if line.type not in ("auth", INCLUDE):
                    problem = "is in the middle of the password step"
                    raise NotUnderstood(self._service, line.number, problem, _BY_HAND)
                pam_copy.refuse_other_types(line, self._read)
        places = [
            at
            for at, entry in enumerate(self._stack.entries)
            if first.number <= entry.top <= step_end.number
        ]
        ours = [*_about_keys(keys), *_before(keys)]
        ours += [pam_blocks.REPLACED + line.rstrip("\n") for line in gone]
        takes_what_is_there = keys == pam_blocks.ONE_PROMPT
        ours += pam_copy.copied(
            self._stack, places[0], places[-1] + 1, takes_what_is_there=takes_what_is_there
        )
        ours += [pam_blocks.PERMIT, *behind, pam_blocks.CODE]
        return _Candidate((*lines[: first.number - 1], *_ours(ours), *lines[end.last :]))

    def _step_end(self, first: Line, end: Line) -> tuple[Line, list[str]]:
        """Return the last line of a password step without the alternatives behind it, and these.

        In the copy of the step, success would jump over them, or theirs lead to the code.
        """
        step = self._lines[self._lines.index(first) : self._lines.index(end) + 1]
        behind: list[str] = []
        while len(step) > 1 and pam_ways.is_alternative(step[-1], self._alternatives):
            line = step.pop()
            words = [line.type, line.control, line.module, *line.arguments]
            text = "".join(pam_blocks.physical_lines(self.text)[line.number - 1 : line.last])
            behind.insert(0, text.rstrip("\n") if line.number == line.last else " ".join(words))
        return step[-1], behind

    def _text_of(self, candidate: _Candidate) -> str:
        """Join the lines; the last one lacks its end if that of the file did."""
        joined = "".join(line.removesuffix("\n") + "\n" for line, _ in candidate.lines)
        return joined if self.text.endswith("\n") else joined.removesuffix("\n")

    def _check(self, text: str, candidate: _Candidate, first: Line) -> None:
        """Raise NotUnderstood, naming a line of the text before, unless all is well."""
        stack = self._stack_of(text)
        self._check_jumps(stack, candidate)
        try:
            self._judge(stack)
        except NotUnderstood as fault:
            number = fault.number
            if fault.file == self._service:
                number = candidate.old_number(number) or first.number
            raise NotUnderstood(fault.file, number, fault.problem, fault.hint) from None

    def _judge(self, stack: Stack) -> None:
        """Raise NotUnderstood for the first fault that the judge finds."""
        found = pam_stack.judge(stack, alternatives=self._alternatives)
        for line in found.asks_again:
            raise NotUnderstood(line.file, line.number, "asks for the password again", _TAKE_IT)
        for line, problem in faults(found):
            raise NotUnderstood(line.file, line.number, problem, _BY_HAND)
        for line in found.bad_jumps:
            problem = "can jump past the last line, and PAM denies every login that takes this jump"
            raise NotUnderstood(line.file, line.number, problem, _FEWER)
        if not (found.asks and found.can_succeed):
            raise NotUnderstood(self._service, 0, "would let nobody in", _BY_HAND)
        if not found.lets_exempt_in:
            raise NotUnderstood(self._service, 0, "would deny users who are exempt", _BY_HAND)

    def _check_jumps(self, stack: Stack, candidate: _Candidate) -> None:
        """Raise NotUnderstood if a jump that is there already would land elsewhere than before.

        It may land on the first of our lines, where these come before what it landed on.
        """
        kept = {candidate.old_number(entry.top) for entry in stack.entries} - {0}
        new = [i for i, e in enumerate(stack.entries) if candidate.old_number(e.top)]
        old = [i for i, e in enumerate(self._stack.entries) if e.top in kept]
        place = dict(zip(old, new, strict=True))
        for before, after in place.items():
            entry = self._stack.entries[before]
            for count in _jumps(entry):
                goal, too_far = pam_dispatch.jump(self._stack.entries, before, count)
                lands, still = pam_dispatch.jump(stack.entries, after, count)
                last = place.get(goal - 1)
                if too_far and still:
                    continue
                if too_far or still or last is None or lands != last + 1:
                    problem = "jumps over the place where the code belongs"
                    raise NotUnderstood(entry.line.file, entry.line.number, problem, _BY_HAND)


def _about_keys(keys: str | None) -> list[str]:
    return [pam_blocks.KEYS[keys]] if keys in pam_blocks.KEYS else []


def _before(keys: str | None) -> list[str]:
    """Return our lines that come before the password step."""
    if keys == pam_blocks.ONE_PROMPT:
        return [*pam_blocks.ONE_PROMPT_LINES]
    return [*pam_blocks.KEY_LINES] if keys in pam_blocks.CODE_AFTER_KEY else []


def _jumps(entry: Entry) -> set[int]:
    return {action for action in entry.actions.values() if isinstance(action, int)}


def _ours(lines: list[str]) -> list[tuple[str, int]]:
    text = pam_blocks.block(lines) if lines else ""
    return [(line, 0) for line in pam_blocks.physical_lines(text)]
