"""The modules that a login runs: those that are gone, and what denies everybody after the code."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator

from pam_totp.stack import pam_dispatch, pam_stack
from pam_totp.stack.pam_dispatch import Entry, Stack
from pam_totp.stack.pam_lines import Line, NotUnderstood
from pam_totp.stack.pam_ways import NATIVE_MODULE, PAM_PYTHON_MODULE
from pam_totp.system import reinstalling

from ..host.services import path_of, shown
from . import spelling
from .facts import Facts, module_path
from .finding import WRONG, Found, check

TYPES = ("auth", "account", "session")  # of each, one that fails denies the login
NOLOGIN = ("/etc/nologin", "/var/run/nologin")  # pam_nologin(8)
_ALWAYS_DENY = "pam_deny.so"
_DENIES = ("bad", "die", "ok", "done")  # with a code that is no success, the latter do too
_COULD_RETURN = ("success", "ignore", "perm_denied")


@check("pam-module-gone", WRONG, "PAM cannot run a missing module, and denies the login")
def module_gone(facts: Facts) -> Iterator[Found]:
    """Of a module that cannot be loaded, libpam takes PAM_MODULE_UNKNOWN for the result."""
    for name, _, stack in _stacks(facts):
        for entry in stack.entries:
            line = entry.line
            if entry.begins_substack or module_path(line.module) is not None:
                continue
            if entry.actions["module_unknown"] in _DENIES and not _is_ours(line):
                yield f"{name}: {shown(line)} is not installed", _how_to_get(line)


@check("pam-account", WRONG, "nobody can log in, even with the correct password and code")
def account(facts: Facts) -> Iterator[Found]:
    for name, kind, stack in _stacks(facts):
        if kind != "auth" and not _can_succeed(stack):
            lines = (e.line for e in stack.entries if e.line.module_name == _ALWAYS_DENY)
            yield (
                f"{name}: its {kind} lines deny everybody",
                f"look at: {', '.join(shown(line) for line in lines) or path_of(name)}",
            )


@check("nologin", WRONG, "PAM lets in only root while that file exists")
def nologin(facts: Facts) -> Iterator[Found]:
    stacks = [stack for _, _, stack in _stacks(facts)]
    modules = {entry.line.module_name for stack in stacks for entry in stack.entries}
    if "pam_nologin.so" in modules:
        for path in NOLOGIN:
            if os.path.lexists(path):
                yield (
                    f"{path} exists",
                    f"read it, as someone may be working here; then run: rm {path}",
                )
                return


def _stacks(facts: Facts) -> Iterator[tuple[str, str, Stack]]:
    """Yield service, type and stack of what a login runs where a code is asked for."""
    for service, judgement in facts.judged:
        if not judgement.asks:
            continue
        for kind in TYPES:
            try:
                yield service.name, kind, pam_stack.stack_of(kind, service.name)
            except NotUnderstood:
                continue  # see pam-unclear; or there is none of that type


def _can_succeed(stack: Stack) -> bool:
    """Return whether any results of the modules let somebody in; one that is gone has only one."""

    def codes(entry: Entry) -> Iterable[str]:
        return _codes(entry.line)

    reached = pam_dispatch.ways(stack, None, codes, lambda *_: None)
    return any(state.at >= len(stack.entries) and state.granted for state, _ in reached)


def _codes(line: Line) -> tuple[str, ...]:
    if module_path(line.module) is None:
        return ("module_unknown",)
    return ("perm_denied",) if line.module_name == _ALWAYS_DENY else _COULD_RETURN


def _is_ours(line: Line) -> bool:
    return line.module_name in (NATIVE_MODULE, PAM_PYTHON_MODULE)  # see module, pam-python


def _how_to_get(line: Line) -> str:
    """Name the Debian package that dpkg says the module is of, if it was one that is installed."""
    wanted = f"/security/{line.module_name}\n"
    for path in sorted(glob.glob(f"{reinstalling.DEBIAN_FILES}/*.list")):
        with open(path, encoding="utf-8", errors="replace") as file:
            if any(row.endswith(wanted) for row in file):
                package = os.path.basename(path).removesuffix(".list")
                return f"run: apt-get install --reinstall {package}"
    for misspelled in spelling.misspelled(pam_stack.read_pam_file(line.file) or ""):
        if misspelled.number == line.number:
            return spelling.fix_of(path_of(line.file), misspelled)
    place = f"line {line.number} from {path_of(line.file)}"
    return f"install the package that has {line.module_name}; or remove {place}"


CHECKS = (module_gone, account, nologin)
