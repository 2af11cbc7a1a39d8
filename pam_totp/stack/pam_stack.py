"""What the auth part of a PAM file lets happen: read it as libpam does, then try every way through.

    stack = auth_stack("sshd")
    judge(stack).bypasses

It runs nothing. Of each module only the name is known: all that it could return is tried, and
what the way through has brought so far is kept beside libpam's own state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import pam_lines, pam_ways
from .pam_dispatch import Entry, Stack
from .pam_lines import INCLUDE, Line, NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Read = Callable[[str], str | None]

PAM_FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d")
OTHER = "other"  # what libpam uses for a service without auth lines
_DEEPEST = 15  # PAM_SUBSTACK_MAX_LEVEL


class Judgement(NamedTuple):
    """What can happen in a stack; lines are named once each, in the stack's order."""

    asks: bool  # a pam_totp line asks for the code, on some way through
    bypasses: tuple[Line, ...]  # the stack grants without a code or a skip: this line lets it
    for_root: tuple[Line, ...]  # pam_rootok lines that spare root, who runs su, the code
    before_password: tuple[Line, ...]  # pam_totp lines that ask before any password or key
    after_wrong_password: tuple[Line, ...]  # pam_totp lines that ask after a refused password
    without_password: tuple[Line, ...]  # pam_totp lines after which no password is needed
    can_succeed: bool  # right password (or key) and right code let somebody in
    lets_exempt_in: bool  # the right password alone lets users in that are asked for no code
    modules: tuple[str, ...]  # of pam_totp.so and pam_python.so, which run the hook
    bad_jumps: tuple[Line, ...] = ()  # they can jump beyond the end, where libpam denies
    nobody_gets_in: bool = False  # but root, and users that are asked for no code
    key_lines_alone: tuple[
        Line, ...
    ] = ()  # first_factor=key lines of a stack that asks for nothing
    other_codes: tuple[Line, ...] = ()  # other modules that ask for a code
    needs_other_code: bool = False  # password and code let nobody in whom one of these refuses
    too_late: tuple[Line, ...] = ()  # first_factor=password lines after a password, or another one
    asks_again: tuple[Line, ...] = ()  # password modules that do not take what these hand on
    alternatives: tuple[Line, ...] = ()  # modules that let people in after a password, with no code


def pam_path(name: str) -> str | None:
    """Return the path of the PAM file that libpam takes for ``name``, None if there is none."""
    paths = (name,) if name.startswith("/") else tuple(f"{f}/{name}" for f in PAM_FOLDERS)
    for path in paths:
        try:
            with open(path, "rb"):
                return path
        except FileNotFoundError:
            continue
        except OSError as error:
            raise NotUnderstood(name, 0, f"{path}: {error.strerror}") from error
    return None


def read_pam_file(name: str) -> str | None:
    """Return the text that libpam reads for ``name``, None if there is no such file.

    Bytes that are not UTF-8 become lone surrogates, so that they can be written back.
    """
    path = pam_path(name)
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except OSError as error:
        raise NotUnderstood(name, 0, f"{path}: {error.strerror}") from error


def auth_stack(service: str, read: Read = read_pam_file) -> Stack:
    """Return what libpam runs to authenticate for ``service``. Raises NotUnderstood."""
    return stack_of("auth", service, read)


def stack_of(kind: str, service: str, read: Read = read_pam_file) -> Stack:
    """Return what libpam runs of one type: auth, account, session. Raises NotUnderstood."""
    name = service.rpartition("/")[2].lower()
    for file in (name, OTHER):
        text = read(file)
        if text is not None:
            entries = tuple(_entries(kind, file, text, read, level=0, deep=0, top=0))
            if entries:
                return Stack(name, entries, file)
    raise NotUnderstood(name, 0, f"there is no {kind} line for it")


def _entries(
    kind: str, file: str, text: str, read: Read, *, level: int, deep: int, top: int
) -> Iterator[Entry]:
    for line in pam_lines.lines(file, text):
        if line.type not in (kind, INCLUDE):
            continue
        number = top or line.number
        if not line.includes:
            yield Entry(line, level, pam_lines.actions(line), number)
            continue
        substack = line.bare_control.lower() == "substack"
        if substack:
            yield Entry(line, level, {}, number)
        included = read(line.module)
        if included is None:
            problem = f"includes {line.module}, which does not exist"
            raise NotUnderstood(file, line.number, problem)
        if deep == _DEEPEST:
            raise NotUnderstood(file, line.number, "includes without end")
        deeper = level + substack
        yield from _entries(
            kind, line.module, included, read, level=deeper, deep=deep + 1, top=number
        )


def judge(
    stack: Stack, *, key: bool = False, alternatives: frozenset[str] = frozenset()
) -> Judgement:
    """Try every way through ``stack``.

    ``key``: sshd runs it only for people whose key it has accepted. ``alternatives``: the modules
    that are a second factor in the place of a code, after a password or a key.
    """
    asked, granted = pam_ways.walk(stack, key=key, alternatives=alternatives)
    no_key = [(at, progress) for at, progress in asked if not progress.key]
    lines = [entry.line for entry in stack.entries if not entry.begins_substack]
    asks = any(map(pam_ways.asks_for_a_code, lines))
    late: set[int] = set()
    again: set[int] = set()
    if any(map(pam_ways.takes_both, lines)):
        late, again = pam_ways.not_in_step(stack, key=key)

    def named(places: Iterable[int]) -> tuple[Line, ...]:
        return tuple(stack.entries[at].line for at in sorted(set(places)))

    return Judgement(
        asks=bool(asked),
        bypasses=named(
            f.blame for f in granted if not f.code and not f.root and f.instead < 0 and f.blame >= 0
        ),
        for_root=named(f.root_at for f in granted if not f.code and f.root),
        before_password=named(at for at, progress in no_key if not progress.tried),
        after_wrong_password=named(
            at for at, progress in no_key if progress.tried and not progress.passed
        ),
        without_password=named(
            f.code_at for f in granted if f.code and not (f.passed or f.key or f.root)
        ),
        can_succeed=_lets_in(granted, "success"),
        lets_exempt_in=_lets_in(granted, "ignore"),
        modules=tuple(dict.fromkeys(x.module_name for x in lines if pam_ways.runs_the_hook(x))),
        bad_jumps=named(pam_ways.jumps_beyond_the_end(stack, key=key)),
        nobody_gets_in=not any(map(_gets_in, granted)),
        key_lines_alone=() if asks else tuple(filter(pam_ways.is_key_line, lines)),
        other_codes=tuple(x for x in lines if x.module_name in pam_ways.OTHER_CODES),
        needs_other_code=_needs_other_code(stack, key=key),
        too_late=named(late),
        asks_again=named(again),
        alternatives=named(f.instead for f in granted if not f.code and f.instead >= 0),
    )


def _gets_in(progress: pam_ways.Progress) -> bool:
    """Whether somebody gets in who is not root, and is asked for a code.

    A way by an alternative does not count: others have nothing but the code.
    """
    has_code = progress.code != "success" or progress.both != pam_ways.TOO_LATE
    by_alternative = not progress.code and progress.instead >= 0
    return progress.code != "ignore" and not progress.root and has_code and not by_alternative


def _lets_in(granted: Iterable[pam_ways.Progress], code: str) -> bool:
    """Whether the code ``code`` ends a way that grants; one that came too late is never right."""
    return any(
        (progress.passed or progress.key)
        and progress.code == code
        and not (code == "success" and progress.both == pam_ways.TOO_LATE)
        for progress in granted
    )


def _needs_other_code(stack: Stack, *, key: bool) -> bool:
    """Whether somebody whom the other code modules refuse is denied for that.

    One that is all that comes before the code is a first factor, and no other code.
    """
    modules = {entry.line.module_name for entry in stack.entries}
    others = modules & pam_ways.OTHER_CODES
    first = modules & pam_ways.FIRST_FACTORS - others
    if not others or not (first or key or any(pam_ways.is_key_line(e.line) for e in stack.entries)):
        return False
    _, now = pam_ways.walk(stack, key=key)
    _, granted = pam_ways.walk(stack, key=key, refused=frozenset(others))
    return _lets_in(now, "success") and not _lets_in(granted, "success")


def asks_password_of_keys(stack: Stack) -> bool:
    """Whether somebody whose key sshd has accepted needs the password as well."""
    _, granted = pam_ways.walk(stack, key=True)
    return bool(granted) and all(progress.passed for progress in granted)


def proves_password(service: str, read: Read = read_pam_file, *, key: bool = False) -> bool:
    """Return whether only people who gave the password are asked for a code.

    ``key``: sshd has accepted a key, and lines with first_factor=key succeed.
    """
    try:
        asked, _ = pam_ways.walk(auth_stack(service, read))
    except NotUnderstood:
        return False
    ways = [progress for _, progress in asked if key or not progress.key]
    return bool(ways) and all(progress.proven for progress in ways)
