"""How libpam walks through a stack of modules (pam_dispatch.c), one return code at a time.

Compared with the real libpam in tests/pam/test_judge_against_libpam.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .pam_lines import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeVar

    Known = TypeVar("Known")


class Entry(NamedTuple):
    """A module of the stack; or where a substack begins, which runs nothing."""

    line: Line
    level: int  # 0, or in how many substacks
    actions: Mapping[str, str | int]  # by return code; empty for the beginning of a substack
    top: int  # the number of the line of the service's own file that brought it in

    @property
    def begins_substack(self) -> bool:
        return not self.actions


class Stack(NamedTuple):
    """All that runs, and whose file it begins with: the service's own, or "other"."""

    service: str
    entries: tuple[Entry, ...]
    file: str


class State(NamedTuple):
    """Where libpam stands: the entry that comes next, and what it thinks so far."""

    at: int = 0
    impression: int = 0  # 1: something granted; -1: something refused; 0: neither
    success: bool = False  # the code to return is PAM_SUCCESS
    saved: tuple[tuple[int, bool], ...] = ((0, False),)  # both, where each substack began

    @property
    def granted(self) -> bool:
        """Whether the stack, ending here, returns PAM_SUCCESS."""
        return self.success and self.impression > 0


def ways(
    stack: Stack,
    known: Known,
    codes: Callable[[Entry], Iterable[str]],
    learn: Callable[[Known, int, int, str], Known],
) -> Iterator[tuple[State, Known]]:
    """Yield once each where libpam can stand, beyond the last entry too, with what is known there.

    ``codes``: what an entry can return. ``learn``: what is known, which entry returned, where
    libpam goes on, and the code: what is known then. Ways that come to the same place with the
    same knowledge go on as one, so that there are few of them.
    """
    returned = [tuple(codes(entry)) for entry in stack.entries]
    seen: set[tuple[State, Known]] = set()
    todo = [(State(), known)]
    while todo:
        way = todo.pop()
        if way in seen:
            continue
        seen.add(way)
        yield way
        state, known = way
        if state.at >= len(stack.entries):
            continue
        for code in returned[state.at]:
            following = next_state(stack.entries, state, code)
            todo.append((following, learn(known, state.at, following.at, code)))


def next_state(entries: Sequence[Entry], state: State, code: str) -> State:
    """Return the state after the entry at ``state.at`` returned ``code``."""
    at, impression, success, saved = state
    entry = entries[at]
    if entry.begins_substack:
        return State(
            at + 1, impression, success, (*saved[: entry.level + 1], (impression, success))
        )
    saved = saved[: entry.level + 1]
    action = entry.actions[code]
    if isinstance(action, int):
        end, too_far = jump(entries, at, action)
        return State(end, -1 if too_far else impression, success and not too_far, saved)
    if action == "reset":
        impression, success = saved[entry.level]
    elif action in ("ok", "done"):
        if impression == 0 or (impression > 0 and success):
            impression, success = 1, code == "success"
    elif action in ("bad", "die"):
        impression, success = -1, False
    if action == "die" or (action == "done" and impression > 0):
        return State(end_of_level(entries, at), impression, success, saved)
    return State(at + 1, impression, success, saved)


def jump(entries: Sequence[Entry], at: int, count: int) -> tuple[int, bool]:
    """Return where a jump over ``count`` modules lands, and whether there are fewer than that.

    A substack counts as one, and no jump leads out of one.
    """
    level, following = entries[at].level, at + 1
    while count and following < len(entries) and entries[following].level >= level:
        following += 1
        while following < len(entries) and entries[following].level > level:
            following += 1
        count -= 1
    return following, count > 0


def end_of_level(entries: Sequence[Entry], at: int) -> int:
    """Return what comes after the substack in which entry ``at`` is; at level 0, after all."""
    level, following = entries[at].level, at + 1
    while following < len(entries) and entries[following].level >= level:
        following += 1
    return following
