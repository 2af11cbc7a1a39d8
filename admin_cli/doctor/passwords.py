"""Passwords that are none: where they are accepted, the code is the only factor."""

from __future__ import annotations

from collections.abc import Iterator

from pam_totp.stack import pam_stack
from pam_totp.stack.pam_lines import Line, NotUnderstood

from ..errors import CommandFailed
from ..host import accounts, directory, sshd
from ..host.services import path_of
from .facts import SSHD, Facts
from .finding import WRONG, Found, check

_ACCEPTS_EMPTY = {"nullok", "nullok_secure"}  # pam_unix(8)


@check(
    "empty-password",
    WRONG,
    "the code alone is enough, and strangers can use up guesses with su",
)
def empty_password(facts: Facts) -> Iterator[Found]:
    names = _without_password()
    if not names:
        return
    for service, judgement in facts.judged:
        line = _accepts_empty(service.name)
        if line is None or not judgement.asks or _refuses_empty(service.name):
            continue
        where = f"{path_of(line.file)}:{line.number}"
        for name in names:
            yield (
                f"{name} has an empty password, which {service.name} accepts ({where}: nullok)",
                f"run: passwd {name}",
            )


def _without_password() -> list[str]:
    """Return the accounts with a shell whose password is empty: not locked, but none at all."""
    names = []
    for name, line in accounts.read_shadow().items():
        if line.password == "":
            entry = directory.person(name)
            if entry is not None and accounts.has_shell(entry):
                names.append(name)
    return names


def _accepts_empty(service: str) -> Line | None:
    try:
        lines = [entry.line for entry in pam_stack.auth_stack(service).entries]
    except NotUnderstood:
        return None  # see pam-unclear
    for line in lines:
        if line.module_name == "pam_unix.so" and _ACCEPTS_EMPTY & {*line.arguments}:
            return line
    return None


def _refuses_empty(service: str) -> bool:
    """Return whether the service itself refuses them; only sshd does, by PermitEmptyPasswords."""
    if service != SSHD:
        return False
    try:
        return sshd.effective().get("permitemptypasswords") != "yes"
    except (CommandFailed, OSError):
        return True  # see sshd-refuses


CHECKS = (empty_password,)
