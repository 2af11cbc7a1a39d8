"""Self-service: that it is on, and whether people reach it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from pam_totp.service.own_wire import SOCKET

from ..host import listeners, units
from .facts import Facts
from .finding import NOTE, Found, check

UNIT = "pam_totp-me.socket"


@check("self-service", NOTE, "people change their own authenticators, each time with a code")
def self_service(facts: Facts) -> Iterator[Found]:
    if facts.config.self_service:
        yield "self_service = yes", f"edit {facts.config_path}: remove self_service"


@check("self-service-socket", NOTE, "totpctl me works for nobody")
def own_socket(facts: Facts) -> Iterator[Found]:
    if not facts.config.self_service:
        return
    problem = _problem_of(SOCKET)
    if problem and facts.has_systemd:
        unmask = units.unmask(facts.units)
        yield problem, f"run: {unmask}systemctl enable {UNIT}; systemctl restart {UNIT}"
    elif problem:
        yield (
            f"{problem}; without systemd there is no self-service",
            f"edit {facts.config_path}: remove self_service",
        )


def _problem_of(path: str) -> str:
    """Return why nobody can ask at ``path``; "": everybody can."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return f"there is no {path}"
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != 0:
        return f"{path} is not a socket of root's"
    if not listeners.is_listening(path):
        return f"nobody listens on {path}"
    return "" if mode & 0o006 == 0o006 else f"{path} is not for everybody (mode {mode:04o})"


CHECKS = (self_service, own_socket)
