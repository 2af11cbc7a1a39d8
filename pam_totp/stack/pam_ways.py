"""Every way through a stack of modules, and what has been asked and proven on each.

Nothing is known of a module but its name: all that it could return is tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..system.pam_modules import NO_SECOND_FACTORS, PASSWORD_MODULES
from . import pam_dispatch
from .pam_dispatch import Entry, Stack, State
from .pam_lines import RETURN_CODES, Line, keeping

if TYPE_CHECKING:
    from collections.abc import Iterator

NATIVE_MODULE, PAM_PYTHON_MODULE = "pam_totp.so", "pam_python.so"
ROOTOK = "pam_rootok.so"

# Whose success stands for the password, where an administrator has put them.
FIRST_FACTORS = PASSWORD_MODULES | frozenset(
    {
        "pam_fprintd.so",
        "pam_pkcs11.so",
        "pam_p11.so",
        "pam_poldi.so",
        "pam_u2f.so",
        "pam_yubico.so",
        "pam_ssh.so",
        "pam_ssh_agent_auth.so",
        "pam_authd.so",
        "pam_authd_exec.so",
        "pam_aad.so",
    }
)
# These ask for a code of their own, or for a second approval.
OTHER_CODES = frozenset(
    {
        "pam_google_authenticator.so",
        "pam_oath.so",
        "pam_duo.so",
        "pam_yubico.so",
        "pam_privacyidea.so",
        "pam_otpw.so",
    }
)
# Arguments that make a module succeed for people without a key or a code there.
LET_PEOPLE_IN = frozenset({"nouserok", "alwaysok", "always_ok", "nullok"})
# These take the password that a line with first_factor=password hands on; others ask again, unless
# an argument tells them to take it.
TAKE_WHAT_IS_THERE = frozenset({"pam_unix.so", "pam_unix2.so", "pam_tcb.so", "pam_systemd_home.so"})
_TAKES_IT = frozenset({"use_first_pass", "try_first_pass", "force_first_pass"})
# Set-uid programs: only there does pam_rootok see the caller. A daemon is always root.
SET_UID = frozenset(
    {
        "su",
        "su-l",
        "sudo",
        "sudo-i",
        "runuser",
        "runuser-l",
        "chfn",
        "chsh",
        "passwd",
        "chage",
    }
)

# Whether a line with first_factor=password could hand on the password and keep the code.
KEPT, TOO_LATE = "kept", "too late"

_GRANTED = ("success", "new_authtok_reqd")
_ALWAYS = {
    "pam_permit.so": ("success",),
    "pam_deny.so": ("auth_err",),
    "pam_env.so": ("ignore",),
}
# What a module returns that has no code for somebody, and is not told to pass over them.
_REFUSED = ("auth_err",)
# They pass over nobody, unless an argument like ignore_unknown_user says so.
_DECIDES = ("pam_unix.so", "pam_sss.so")


class Progress(NamedTuple):
    """What has happened on one way through the stack."""

    tried: bool = False  # a password module, or another first factor, has run
    passed: bool = False  # one of them succeeded
    proven: bool = False  # one that asks for the password succeeded
    first: bool = False  # one succeeded that is not called an alternative to the code
    key: bool = False  # sshd accepted a key: a line with first_factor=key succeeded
    root_at: int = -1  # where pam_rootok knew root
    both: str = ""  # KEPT or TOO_LATE, once a line with first_factor=password has run
    code: str = ""  # "success" or "ignore": what a pam_totp line returned
    code_at: int = -1  # which entry that was
    instead: int = -1  # which alternative to the code succeeded after another factor
    blame: int = -1  # the last entry that went past a pam_totp line, or was one and did not pass

    @property
    def root(self) -> bool:
        return self.root_at >= 0


@keeping  # asked a hundred times of a line, as there are many ways through a stack
def runs_the_hook(line: Line) -> bool:
    """Return whether the line runs pam_totp, natively or in pam_python."""
    if line.includes:
        return False
    script = line.arguments[0] if line.arguments else ""
    return line.module_name == NATIVE_MODULE or (
        line.module_name == PAM_PYTHON_MODULE and "pam_totp" in script
    )


def is_key_line(line: Line) -> bool:
    return runs_the_hook(line) and "first_factor=key" in line.arguments


def takes_both(line: Line) -> bool:
    """Return whether it asks for password and code at once, and leaves it to others to judge."""
    return runs_the_hook(line) and "first_factor=password" in line.arguments


def asks_for_a_code(line: Line) -> bool:
    return _concerns_codes(line) and not takes_both(line)


def _concerns_codes(line: Line) -> bool:
    return runs_the_hook(line) and not is_key_line(line)


def is_alternative(line: Line, alternatives: frozenset[str]) -> bool:
    """Return whether its success is a second factor, by what the administrator says."""
    given = {argument.partition("=")[0] for argument in line.arguments}
    return line.module_name in alternatives - NO_SECOND_FACTORS and not given & LET_PEOPLE_IN


def asks_again(line: Line) -> bool:
    """Return whether a password module asks although a module before it has asked."""
    takes = line.module_name in TAKE_WHAT_IS_THERE or _TAKES_IT & {*line.arguments}
    return line.module_name in PASSWORD_MODULES and not takes


def walk(
    stack: Stack,
    *,
    key: bool = False,
    refused: frozenset[str] = frozenset(),
    alternatives: frozenset[str] = frozenset(),
) -> tuple[set[tuple[int, Progress]], set[Progress]]:
    """Return what has happened where each pam_totp line is reached, and where the stack grants.

    ``key``: nobody gets here whose key sshd has not accepted. The modules ``refused`` let nobody
    pass. Those of ``alternatives`` are second factors.
    """
    asked: set[tuple[int, Progress]] = set()
    granted: set[Progress] = set()
    for state, progress in _reached(stack, key=key, refused=refused, alternatives=alternatives):
        if state.at >= len(stack.entries):
            if state.granted:
                granted.add(progress)
        elif asks_for_a_code(stack.entries[state.at].line):
            asked.add((state.at, progress))
    return asked, granted


def not_in_step(stack: Stack, *, key: bool = False) -> tuple[set[int], set[int]]:
    """Return which lines with first_factor=password come too late, and who asks again after them.

    Too late is after a password module, or after another such line.
    """
    late, again = set(), set()
    for state, progress in _reached(stack, key=key):
        if state.at < len(stack.entries):
            line = stack.entries[state.at].line
            if takes_both(line) and (progress.tried or progress.both):
                late.add(state.at)
            if progress.both == KEPT and asks_again(line):
                again.add(state.at)
    return late, again


def jumps_beyond_the_end(stack: Stack, *, key: bool = False) -> set[int]:
    """Return the entries from which libpam jumps further than there are modules, and denies.

    For every code of every module, wherever nothing has been refused yet. Left out is what a
    password module or a pam_totp line jumps over when it refuses: that login is denied anyway.
    """
    far = {at for at in range(len(stack.entries)) if _jumps_too_far(stack, at, key=key)}
    if not far:  # nearly always: there is no need to look where anything is refused
        return far
    reached = _reached(stack, key=key)
    return far & {state.at for state, _ in reached if state.impression >= 0}


def _jumps_too_far(stack: Stack, at: int, *, key: bool) -> bool:
    entry = stack.entries[at]
    is_factor = entry.line.module_name in PASSWORD_MODULES or runs_the_hook(entry.line)
    for code in _codes(entry, stack.service, key=key):
        action = entry.actions.get(code)
        if not isinstance(action, int) or (is_factor and code not in ("success", "ignore")):
            continue
        if pam_dispatch.jump(stack.entries, at, action)[1]:
            return True
    return False


def _reached(
    stack: Stack,
    *,
    key: bool,
    refused: frozenset[str] = frozenset(),
    alternatives: frozenset[str] = frozenset(),
) -> Iterator[tuple[State, Progress]]:
    """Yield once each where libpam can stand, with what has happened; see pam_dispatch.ways."""
    return pam_dispatch.ways(
        stack,
        Progress(key=key),
        lambda entry: _codes(entry, stack.service, key=key, refused=refused),
        lambda known, at, following, code: _learn(
            known, stack, at, following, code, alternatives=alternatives
        ),
    )


def _codes(
    entry: Entry, service: str, *, key: bool, refused: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Yield one return code for each action and meaning that the module's codes can have."""
    if entry.begins_substack or (key and is_key_line(entry.line)):
        yield "success"
        return
    line = entry.line
    codes: tuple[str, ...] = _ALWAYS.get(line.module_name, RETURN_CODES)
    if line.module_name in refused:
        codes = (*_REFUSED, "ignore") if "nullok" in line.arguments else _REFUSED
    seen: set[tuple[str | int, str]] = set()
    for code in codes:
        meaning = code if code in (*_GRANTED, "ignore") else "refused"
        known = entry.actions[code], meaning
        if known not in seen and _can_return(line, code, service):
            seen.add(known)
            yield code


def _can_return(line: Line, code: str, service: str) -> bool:
    if code == "incomplete":  # asks the application to call again
        return False
    if code == "success":
        return not takes_both(line) and (service.startswith("sshd") or not is_key_line(line))
    if code == "new_authtok_reqd":
        return not runs_the_hook(line)
    if code == "ignore" and line.module_name in _DECIDES:
        return any(argument.startswith("ignore_") for argument in line.arguments)
    return True


def _learn(
    progress: Progress,
    stack: Stack,
    at: int,
    following: int,
    code: str,
    *,
    alternatives: frozenset[str] = frozenset(),
) -> Progress:
    """Return what has happened once entry ``at`` returned ``code`` and ``following`` is next."""
    entry = stack.entries[at]
    if entry.begins_substack:
        return progress
    line = entry.line
    if any(_concerns_codes(entry.line) for entry in stack.entries[at + 1 : following]):
        progress = progress._replace(blame=at)
    # Before the password it would be the only factor, and twice it is still one.
    is_second = progress.first or progress.key
    if code in _GRANTED and is_second and is_alternative(line, alternatives):
        progress = progress._replace(instead=progress.instead if progress.instead >= 0 else at)
    if takes_both(line):
        progress = progress._replace(blame=at)
        if code == "ignore":
            is_late = progress.tried or progress.both
            return progress._replace(both=TOO_LATE if is_late else KEPT)
    elif asks_for_a_code(line):
        if code not in ("success", "ignore"):
            return progress._replace(blame=at)
        if progress.code != "success":
            return progress._replace(code=code, code_at=at)
    elif code in _GRANTED and line.module_name in FIRST_FACTORS:
        proven = progress.proven or line.module_name in PASSWORD_MODULES
        first = progress.first or line.module_name not in alternatives - NO_SECOND_FACTORS
        return progress._replace(tried=True, passed=True, proven=proven, first=first)
    elif line.module_name in FIRST_FACTORS:
        return progress._replace(tried=True)
    elif code == "success" and is_key_line(line):
        return progress._replace(key=True)
    elif code == "success" and line.module_name == ROOTOK and stack.service in SET_UID:
        return progress._replace(root_at=at)
    return progress
