"""The program that pam_totp.so asks: a worker for one login, or the service for many.

worker --connection 3      one login on an inherited socket: started by the module itself
worker --accepted 3        the same, started by systemd, in the unit's sandbox
worker --me 3              totpctl me, for one person: started by systemd, in a sandbox as well
worker --activated         the service, on a listening socket from systemd
worker --listen [PATH]     the service, where there is no systemd
"""

from __future__ import annotations

import _socket
import os
import resource
import sys

from ..system import audit
from ..system.errors import PamTotpError
from . import control_group, wire, worker

NAME = "pam_totp"
SOCKET = wire.SOCKET
INHERITED = 3  # the number of an inherited socket; SD_LISTEN_FDS_START
_USAGE = "usage: worker --connection 3 | --accepted 3 | --me 3 | --activated | --listen [PATH]\n"


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    make_ready()
    if arguments in (["--connection", str(INHERITED)], ["--accepted", str(INHERITED)]):
        connection = _socket.socket(fileno=INHERITED)
        peer = worker.peer_of(connection)
        if arguments[0] == "--accepted":
            worker.serve(connection, peer, is_sandboxed=True)
            return 0
        try:
            control_group.leave_if_not_roots()
        except control_group.CannotLeave as error:
            worker.refuse(connection, peer, str(error))
            return 1
        worker.serve(connection, peer)
        return 0
    if arguments == ["--me", str(INHERITED)]:
        from . import own_service  # with what no login loads

        connection = _socket.socket(fileno=INHERITED)
        own_service.serve(connection, worker.peer_of(connection), is_sandboxed=True)
        return 0
    if arguments != ["--activated"] and (arguments[:1] != ["--listen"] or len(arguments) > 2):
        sys.stderr.write(_USAGE)
        return 2
    from . import listening  # with the threads that a worker for one login spares

    try:
        if arguments == ["--activated"]:
            listening.serve_activated(INHERITED)
        else:
            control_group.leave_if_not_roots()
            listening.serve_at(*arguments[1:] or [SOCKET])
    except (PamTotpError, OSError) as error:
        worker.log_error(str(error))
        sys.stderr.write(f"worker: error: {error}\n")
        return 1
    return 0


def make_ready() -> None:
    """Prepare a process that holds secrets, once and for all of its threads."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    audit.program = NAME
    # Where core_pattern is a pipe, RLIMIT_CORE does not hold (core(5)): then let a dump be empty.
    for file, text in (("comm", NAME), ("coredump_filter", "0")):
        try:
            with open(f"/proc/self/{file}", "w", encoding="utf-8") as setting:
                setting.write(text)
        except OSError:
            pass
