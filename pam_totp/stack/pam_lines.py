"""The lines of a PAM file, as libpam reads them (pam_handlers.c, pam_line.c, pam_misc.c).

What libpam makes into a line that always fails, and what its releases read differently, is not
understood here: nobody should build on it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from ..system.errors import PamTotpError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

INCLUDE = "@include"  # Debian's, of all types at once
TYPES = ("auth", "account", "password", "session")
LONGEST = 1000  # bytes of a line that releases before 1.7 take whole

# security/_pam_types.h, in order; the names are those of a control in brackets.
RETURN_CODES = (
    "success",
    "open_err",
    "symbol_err",
    "service_err",
    "system_err",
    "buf_err",
    "perm_denied",
    "auth_err",
    "cred_insufficient",
    "authinfo_unavail",
    "user_unknown",
    "maxtries",
    "new_authtok_reqd",
    "acct_expired",
    "session_err",
    "cred_unavail",
    "cred_expired",
    "cred_err",
    "no_module_data",
    "conv_err",
    "authtok_err",
    "authtok_recover_err",
    "authtok_lock_busy",
    "authtok_disable_aging",
    "try_again",
    "ignore",
    "abort",
    "authtok_expired",
    "module_unknown",
    "bad_item",
    "conv_again",
    "incomplete",
)
ACTIONS = ("ignore", "ok", "done", "bad", "die", "reset")
_KEYWORDS = {
    "required": "success=ok new_authtok_reqd=ok ignore=ignore default=bad",
    "requisite": "success=ok new_authtok_reqd=ok ignore=ignore default=die",
    "optional": "success=ok new_authtok_reqd=ok default=ignore",
    "sufficient": "success=done new_authtok_reqd=done default=ignore",
}
_BLANKS = " \t\n"
_SPACES = " \t\n\v\f\r"  # isspace()


class NotUnderstood(PamTotpError):
    """A PAM file that this program does not judge or change; ``number`` 0 is no line of it."""

    def __init__(self, file: str, number: int, problem: str, hint: str = "") -> None:
        where = f"PAM file {file}, line {number}" if number else f"PAM file {file}"
        super().__init__(where, problem, hint or "how such lines are written says: man 5 pam.d")
        self.file = file
        self.number = number


class Line(NamedTuple):
    """One line of a PAM file, its continuation lines joined to it."""

    file: str  # as it was asked for: a name in /etc/pam.d, or a path
    number: int  # of its first line in the file, from 1
    type: str  # lower case, without the "-" before it; or "@include"
    control: str  # as written, "[...]" or a word; "" for @include
    module: str  # as written; for include and substack the name of the file
    arguments: tuple[str, ...]
    last: int = 0  # the number of its last line in the file
    quiet: bool = False  # "-auth": libpam does not log that the module is missing

    @property
    def bare_control(self) -> str:
        """The control without the one pair of brackets around it, which is how libpam sees it."""
        return self.control[1:-1] if self.control.startswith("[") else self.control

    @property
    def includes(self) -> bool:
        return self.type == INCLUDE or self.bare_control.lower() in ("include", "substack")

    @property
    def module_name(self) -> str:
        return self.module.rpartition("/")[2]


def lines(file: str, text: str) -> Iterator[Line]:
    """Yield what is neither blank nor comment. Raises NotUnderstood."""
    for first, last, logical in _logical_lines(file, text):
        if len(logical.encode("utf-8", "surrogateescape")) > LONGEST:
            raise NotUnderstood(file, first, f"is longer than {LONGEST} bytes, joined")
        if "\r" in logical:
            raise NotUnderstood(
                file, first, "ends in a carriage return, which PAM takes for text", "use dos2unix"
            )
        if "\0" in logical:
            raise NotUnderstood(file, first, "has a zero byte in it")
        yield _line(file, first, last, logical)


def _logical_lines(file: str, text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (first number, last number, text) without comments, continuation lines joined."""
    first, joined = 0, ""
    for number, physical in enumerate(text.split("\n"), start=1):
        if len(physical.encode("utf-8", "surrogateescape")) > LONGEST:  # also of a comment
            raise NotUnderstood(file, number, f"is longer than {LONGEST} bytes")
        bare, comment, _ = physical.partition("#")
        bare = bare.strip(_BLANKS)
        if not bare:
            if first and (comment or number <= text.count("\n")):
                raise NotUnderstood(file, number, "comes between a line and its continuation")
            continue
        first = first or number
        if bare.endswith("\\") and not comment:
            joined += bare[:-1] + " "
            continue
        yield first, number, joined + bare
        first, joined = 0, ""
    if first:
        raise NotUnderstood(file, first, 'ends in "\\", and no line follows')


# doctor and enable come to the same lines and controls some hundred times.
keeping = functools.lru_cache(maxsize=2048)


@keeping
def _line(file: str, first: int, last: int, text: str) -> Line:
    kind, rest = token(text)
    quiet = kind.startswith("-")
    kind = kind[quiet:].lower()
    if kind == INCLUDE:
        name, rest = token(rest)
        if not name or rest.strip(_BLANKS):
            raise NotUnderstood(file, first, "@include needs the name of one file")
        return Line(file, first, kind, "", name, (), last, quiet)
    if kind not in TYPES:
        raise NotUnderstood(file, first, f"begins with {kind!r}, which is no type of PAM's")
    bracket = rest.lstrip(_BLANKS).startswith("[")
    control, rest = token(rest)
    module, rest = token(rest)
    if not control or not module:
        raise NotUnderstood(file, first, "lacks a control or a module")
    control = f"[{control}]" if bracket else control
    line = Line(file, first, kind, control, module, tuple(_tokens(rest)), last, quiet)
    if line.bare_control.lower() != "include" and not _has_a_name(module):
        raise NotUnderstood(
            file, first, f"names {module}, which is no module: PAM reads no further"
        )
    return line


def _has_a_name(module: str) -> bool:
    """Whether libpam finds a name in the path of a module; else it gives up the whole file."""
    name = module.rpartition("/")[2]
    return (name.rpartition(".")[0] if "." in name else name) not in ("", "?")


def token(text: str) -> tuple[str, str]:
    r"""Return the next word and what follows it; "[...]" is one word, "\]" a bracket in it."""
    text = text.lstrip(_BLANKS)
    if not text.startswith("["):
        end = min((i for i in map(text.find, _BLANKS) if i >= 0), default=len(text))
        return text[:end], text[end + 1 :]
    word, at = "", 1
    while at < len(text) and text[at] != "]":
        at += text.startswith("\\]", at)
        word += text[at]
        at += 1
    return word, text[at + 1 :]


def _tokens(text: str) -> Iterator[str]:
    while text.strip(_BLANKS):
        word, text = token(text)
        yield word


def actions(line: Line) -> Mapping[str, str | int]:
    """Return what each return code leads to: one of ACTIONS, or how many modules to jump over."""
    control = line.bare_control
    try:
        return _actions(_KEYWORDS.get(control.lower(), control))
    except ValueError as error:
        problem = f"has a control that PAM does not know: {line.control}"
        raise NotUnderstood(line.file, line.number, problem) from error


@keeping
def _actions(control: str) -> Mapping[str, str | int]:
    found: dict[str, str | int] = {}
    rest = control.lstrip(_SPACES)
    if not rest:
        raise ValueError("empty")
    while rest:
        code, rest = _prefix(rest, (*RETURN_CODES, "default"))
        _, rest = _prefix(rest.lstrip(_SPACES), ("=",))
        action, rest = _action(rest.lstrip(_SPACES))
        rest = rest.lstrip(_SPACES)
        if code == "default":
            found = {name: found.get(name, action) for name in RETURN_CODES}
        else:
            found[code] = action
    return {name: found.get(name, "bad") for name in RETURN_CODES}


def _action(text: str) -> tuple[str | int, str]:
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    if not digits:
        return _prefix(text, ACTIONS)
    if not 0 < int(digits) < 1000:
        raise ValueError(digits)
    return int(digits), text[len(digits) :]


def _prefix(text: str, names: Sequence[str]) -> tuple[str, str]:
    for name in names:
        if text.startswith(name):
            return name, text[len(name) :]
    raise ValueError(text)
