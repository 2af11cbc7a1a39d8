"""Find other services that include a PAM file changed by enable, and what changes for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from pam_totp.stack import pam_lines, pam_stack
from pam_totp.stack.pam_lines import INCLUDE, Line
from pam_totp.system.errors import PamTotpError

from ..errors import CommandFailed
from ..host import login_programs, pam_blocks
from ..host.services import LOGINS, path_of, read_service, read_services
from . import blocks
from .trial import Change

_COMPANION_OF = {"sudo-i": "sudo", "su-l": "su"}  # enabled with it
_COMMON = ("common-auth", "system-auth", "base-auth")


def check(changes: Sequence[Change], services: Sequence[str]) -> list[str]:
    """Return a sentence on each other service that reaches a PAM file of ``changes``.

    Raises CommandFailed where nobody could get in by one of them any more.
    """
    sentences, both = [], _taking_both(changes)
    for name, ways in _reaching(changes, services).items():
        takes_both = login_programs.can_ask_for_both(name) and _service_of(ways[0].module) in both
        if login_programs.is_shut_out_by_a_code(name) and not takes_both:
            raise _shut_out(name, ways)
        sentences.append(f"also changes: {_what_becomes_of(name, ways)}")
    return sentences


def after_disable(changes: Sequence[Change], services: Sequence[str]) -> list[str]:
    """Return a sentence on each other service that no longer asks for a code by ``changes``."""
    return [
        f"also changes: {name}, which includes {_service_of(ways[0].module)}; "
        "it no longer asks for a code"
        for name, ways in _reaching(changes, services).items()
        if name not in login_programs.NEVER_AUTHENTICATE and not read_service(name).lines
    ]


def includes(changed: str, name: str) -> list[Line]:
    """Return the lines by which the auth part of ``name``'s file comes to ``changed``, each itself.

    Through other files as well. A file that cannot be read is one that includes nothing.
    """
    found, seen, waiting = [], {name}, [name]
    while waiting:
        for line in _include_lines(waiting.pop()):
            if _service_of(line.module) == changed:
                found.append(line)
            elif line.module not in seen:
                seen.add(line.module)
                waiting.append(line.module)
    return found


def logins_by_part(part: str, known: Iterable[str]) -> list[str]:
    """Return the services to enable where ``part`` was to ask, which enable refuses.

    Those that people log in through, and that can ask. ``known``: the names of the services.
    """
    by_part = [
        name
        for name in LOGINS
        if name in known and login_programs.why_no_code(name) is None and includes(part, name)
    ]
    return [name for name in by_part if _COMPANION_OF.get(name) not in by_part]


def _taking_both(changes: Sequence[Change]) -> set[str]:
    """Return the services that take password and code in one answer after ``changes``."""
    return {
        os.path.basename(change.path)
        for change in changes
        if blocks.keys_of(change.path, change.after) == pam_blocks.ONE_PROMPT
    }


def _reaching(changes: Sequence[Change], services: Sequence[str]) -> dict[str, list[Line]]:
    folders = pam_stack.PAM_FOLDERS
    changed = [os.path.basename(c.path) for c in changes if os.path.dirname(c.path) in folders]
    reaching: dict[str, list[Line]] = {}
    for name in read_services():
        ways = [line for goal in changed for line in includes(goal, name)]
        if ways and name not in (*changed, *services):
            reaching[name] = ways
    return reaching


def _include_lines(name: str) -> list[Line]:
    try:
        lines = list(pam_lines.lines(name, pam_stack.read_pam_file(name) or ""))
    except PamTotpError:
        return []
    return [line for line in lines if line.includes and line.type in ("auth", INCLUDE)]


def _service_of(module: str) -> str:
    """Return ``login`` for login, and for its path."""
    folder, name = os.path.split(module)
    return name if not folder or folder in pam_stack.PAM_FOLDERS else module


def _what_becomes_of(name: str, ways: Sequence[Line]) -> str:
    by = f"{name}, which includes {_service_of(ways[0].module)}"
    if name in login_programs.NEVER_AUTHENTICATE:
        return f"{by}; it never authenticates users, so nothing changes there"
    if name in LOGINS:  # as root, all of them
        return f"{by}; it also asks for a code"
    return (
        f"{by}; it also asks for a code. "
        "If it runs without root, everyone is denied there, unless you first set "
        "unprivileged = yes: man pam_totp.conf"
    )


def _shut_out(name: str, ways: Sequence[Line]) -> CommandFailed:
    changed = _service_of(ways[0].module)
    reason = f"{name} includes {changed}: {login_programs.why_no_code(name)}"
    return CommandFailed(reason, f"run first: {' && '.join(map(_fix, reversed(ways)))}")


def _fix(line: Line) -> str:
    """Return the command that has ``line`` include the password step itself."""
    path = path_of(line.file)
    common = next((name for name in _COMMON if pam_stack.pam_path(name)), _COMMON[0])
    instead = f"auth include {common}"
    if line.type == INCLUDE:
        account = common.replace("auth", "account")
        instead = f"@include {common}"
        if account != common and pam_stack.pam_path(account):
            instead += rf"\n@include {account}"
    lines = f"{line.number},{line.last}" if line.last > line.number else str(line.number)
    own = f"{pam_stack.PAM_FOLDERS[0]}/{os.path.basename(path)}"
    copy = "" if path == own else f"cp {path} {own} && "
    return f"{copy}sed -i '{lines}c {instead}' {own}"
