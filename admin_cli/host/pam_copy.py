"""A password step copied out of the files that it includes, so that nothing gets past its end.

- What ended the stack with success (``sufficient``, ``done``) jumps to the end of the copy. Any
  other code that ended it there denied the login, and still does: after a jump, the line at the
  end of the copy would grant it.
- ``required`` becomes ``requisite``: the first refusal ends the login, and whatever comes after
  the copy is not reached. Only a control in brackets may refuse and go on, as for pam_faillock.
- A password module takes the password that is there, where it is told to.
- The rest, order and jumps included, stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pam_totp.stack import pam_dispatch, pam_lines, pam_ways
from pam_totp.stack.pam_dispatch import Entry, Stack
from pam_totp.stack.pam_lines import INCLUDE, RETURN_CODES, Line, NotUnderstood

TAKE_IT = "use_first_pass"
_CODES = "|".join(("default", *RETURN_CODES))
_DONE = re.compile(rf"(?P<code>{_CODES})\s*=\s*done")


def copied(stack: Stack, begin: int, end: int, *, takes_what_is_there: bool = False) -> list[str]:
    """Return lines for the entries of ``stack`` from ``begin`` up to ``end``.

    The line after them is where a success goes. ``takes_what_is_there``: a line before them has
    asked for the password. Raises NotUnderstood.
    """
    places = _places(stack, begin, end)
    lines = [_copy(stack.entries[:end], at, places) for at in places]
    if not takes_what_is_there:
        return lines
    again = [pam_ways.asks_again(stack.entries[at].line) for at in places]
    return [line + f" {TAKE_IT}" * asks for line, asks in zip(lines, again, strict=True)]


def refuse_other_types(line: Line, read: Callable[[str], str | None]) -> None:
    """Raise NotUnderstood if Debian's ``@include`` brings in more than auth lines."""
    if line.type != INCLUDE:
        return
    for included in pam_lines.lines(line.module, read(line.module) or ""):
        if included.type not in ("auth", INCLUDE):
            problem = f"includes {line.module}, which has more than auth lines"
            raise NotUnderstood(line.file, line.number, problem)
        refuse_other_types(included, read)


def _places(stack: Stack, begin: int, end: int) -> list[int]:
    """Return which entries become a line each.

    A substack of the service's own file is opened; one of an included file stays one line.
    """
    places, open_level = [], 0
    for at, entry in enumerate(stack.entries[begin:end], start=begin):
        if entry.level == 0:
            open_level = int(entry.begins_substack and entry.line.file == stack.service)
            if open_level:
                continue
        if entry.level <= open_level:
            places.append(at)
    return places


def _copy(entries: Sequence[Entry], at: int, places: Sequence[int]) -> str:
    """Return the line for entry ``at`` of ``entries``, which end with the password step."""
    line = entries[at].line
    control = line.control
    for action in set(entries[at].actions.values()):
        if action == "reset":
            raise NotUnderstood(line.file, line.number, "uses reset, which cannot be moved")
        if action == "done":
            # In a substack success ends that alone; elsewhere the whole stack, now the copy.
            goal = pam_dispatch.end_of_level(entries, at)
            control = _with_jump(control, sum(at < place < goal for place in places))
        if isinstance(action, int):
            goal, too_far = pam_dispatch.jump(entries, at, action)
            if too_far or action != sum(at < place < goal for place in places):
                raise NotUnderstood(line.file, line.number, "jumps out of the password step")
    if _bare(control).lower() == "required":
        control = "requisite"
    kind = f"-{line.type}" if line.quiet else line.type
    return " ".join((kind, control, *map(_word, (line.module, *line.arguments))))


def _with_jump(control: str, distance: int) -> str:
    """Return ``control`` with a jump in place of "done" for a success, and "die" for the rest."""
    action = str(distance) if distance else "ok"
    bare = _bare(control)
    if bare.lower() == "sufficient":
        return f"[success={action} new_authtok_reqd=die default=ignore]"
    says_success = re.search(r"success\s*=", bare) is not None

    def replaced(pair: re.Match[str]) -> str:
        code = pair["code"]
        if code == "default" and not says_success:
            return f"success={action} default=die"
        return f"{code}={action if code == 'success' else 'die'}"

    return f"[{_DONE.sub(replaced, bare)}]"


def _bare(control: str) -> str:
    return control[1:-1] if control.startswith("[") else control


def _word(text: str) -> str:
    if text and text[0] != "[" and " " not in text and "\t" not in text:
        return text
    return "[" + text.replace("]", "\\]") + "]"
