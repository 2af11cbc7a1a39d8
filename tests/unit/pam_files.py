"""PAM files for tests: those of the distributions, and logins on a stack without libpam.

How the walk compares with libpam's is tests/pam/test_judge_against_libpam.py's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pam_totp.stack import pam_dispatch, pam_stack, pam_ways
from pam_totp.stack.pam_dispatch import State
from pam_totp.stack.pam_lines import Line
from tests.support.place import ROOT

GOLDEN = ROOT / "tests" / "golden"
DISTRIBUTIONS = sorted(path.name for path in GOLDEN.iterdir() if (path / "sshd").exists())
Read = Callable[[str], str | None]

# What modules of the distributions' files return to an ordinary person in an ordinary hour.
ORDINARY = {
    "pam_env.so": "ignore",
    "pam_faildelay.so": "ignore",
    "pam_nologin.so": "success",
    "pam_listfile.so": "success",
    "pam_shells.so": "success",
    "pam_usertype.so": "success",
    "pam_localuser.so": "success",
    "pam_permit.so": "success",
    "pam_deny.so": "auth_err",
    "pam_cap.so": "ignore",
    "pam_group.so": "success",
    "pam_rootok.so": "auth_err",
    "pam_fprintd.so": "authinfo_unavail",
    "pam_systemd_home.so": "user_unknown",
    "pam_sss.so": "user_unknown",
}
FAILLOCK = {"preauth": "success", "authfail": "auth_err", "authsucc": "success"}


class Went(NamedTuple):
    """How a login went: whether it was granted, and how often the code was asked for."""

    granted: bool
    prompts: int


def distribution(name: str, **changed: str) -> Read:
    """Return a reader of the PAM files of one, ``changed`` ones by their names."""

    def read(file: str) -> str | None:
        path = GOLDEN / name / file
        if file in changed:
            return changed[file]
        return path.read_bytes().decode("utf-8") if path.exists() else None

    return read


def log_in(
    service: str,
    read: Read,
    *,
    password: str = "auth_err",
    code: str = "auth_err",
    key: bool = False,
    **modules: str,
) -> Went:
    """Go through the stack; ``password`` and ``code`` are what pam_unix and pam_totp return."""
    returns: Mapping[str, str] = {**ORDINARY, "pam_unix.so": password}
    returns = {**returns, **{f"{name}.so": result for name, result in modules.items()}}

    def result(line: Line) -> str:
        if pam_ways.is_key_line(line):
            return "success" if key else "ignore"
        if pam_ways.takes_both(line):
            return "ignore"
        if pam_ways.asks_for_a_code(line):
            return code
        if line.module_name == "pam_faillock.so" and "pam_faillock.so" not in returns:
            return FAILLOCK[line.arguments[0]]
        return returns[line.module_name]

    entries = pam_stack.auth_stack(service, read).entries
    state, prompts = State(), 0
    while state.at < len(entries):
        entry = entries[state.at]
        if entry.begins_substack:
            state = pam_dispatch.next_state(entries, state, "success")
            continue
        prompts += pam_ways.asks_for_a_code(entry.line)
        state = pam_dispatch.next_state(entries, state, result(entry.line))
    return Went(state.granted, prompts)
