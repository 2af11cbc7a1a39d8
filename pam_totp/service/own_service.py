"""Serves one person who runs totpctl me, in a process of its own: docs/internals/protocol.md.

It has nothing to do with the service that logs people in, but for the code: another socket, other
processes, fewer of them. One user has one of these at a time.
"""

from __future__ import annotations

import _socket
import fcntl
import os
from typing import TYPE_CHECKING

from ..login import own_refusals, self_service, steps
from ..login.self_service import FAILED, UNAVAILABLE, Ended
from ..system import config, embedding
from ..system.errors import PamTotpError
from . import own_caller, own_wire, sandbox, wire
from .connection import Connection
from .worker import log_of

if TYPE_CHECKING:
    from ..system.config import Arguments
    from .own_wire import OwnRequest
    from .worker import Peer

REQUEST_SECONDS = 5.0
LOCK = "/run/pam_totp/me.lock"


class OwnConnection(Connection):
    """See Connection. Draws nothing for a terminal that cannot show it."""

    shows_pictures = False


def serve(
    connection: _socket.socket,
    peer: Peer,
    *,
    is_sandboxed: bool = False,
    arguments: Arguments | None = None,
    lock: str = LOCK,
) -> None:
    """Serve one request to its end. Never raises; closes ``connection``.

    ``arguments``: what names the configuration, if it is not the usual one.
    """
    try:
        named = arguments or config.Arguments()
        ended = _answer(connection, peer, named, lock, is_sandboxed=is_sandboxed)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: fail closed
        embedding.report("me", error)
        ended = Ended(FAILED, *own_refusals.UNFORESEEN)
    try:
        _send_end(connection, ended)
    except BaseException as error:
        embedding.report("me", error)
    finally:
        connection.close()


def _answer(
    connection: _socket.socket, peer: Peer, arguments: Arguments, lock: str, *, is_sandboxed: bool
) -> Ended:
    try:
        connection.settimeout(REQUEST_SECONDS)
        packet = connection.recv(wire.MAX_PACKET + 1)
    except OSError:  # whoever only connects is no news
        return Ended(FAILED, "no request came")
    try:
        asked = own_wire.parse_own_request(packet)
    except wire.ProtocolError as error:
        return Ended(FAILED, str(error), "compare releases: totpctl --version")
    try:
        if not config.load(arguments.path, arguments.settings).config.self_service:
            return Ended(FAILED, *own_refusals.IS_OFF)
        if is_sandboxed:
            sandbox.check_name_services()
            sandbox.check_files(())
    except PamTotpError as error:
        log_of(peer, str(error), error.hint)
        return Ended(UNAVAILABLE, *own_refusals.UNAVAILABLE)
    try:
        caller = own_caller.caller_of(peer)
    except PamTotpError as error:
        return Ended(FAILED, str(error), error.hint)
    with _Turn(peer.uid, lock) as turn:
        if not turn.is_ours:
            return Ended(FAILED, *own_refusals.BUSY)
        return _converse(connection, caller, asked, arguments)


def _converse(
    connection: _socket.socket,
    caller: self_service.Caller,
    asked: OwnRequest,
    arguments: Arguments,
) -> Ended:
    driver = OwnConnection(connection)
    driver.shows_pictures = asked.shows_pictures
    try:
        return steps.drive(self_service.serve(caller, asked.kind, asked.label, arguments), driver)
    finally:
        driver.disconnect()


def _send_end(connection: _socket.socket, ended: Ended) -> None:
    """Whoever is gone has heard enough: what was changed is told at the next login."""
    try:
        connection.settimeout(REQUEST_SECONDS)
        if ended.state is not None:
            import json  # no change of an enrollment loads it

            connection.send(own_wire.state(json.dumps(ended.state).encode("ascii")))
        connection.send(own_wire.ended(ended.exit_code, ended.problem, ended.hint))
    except OSError:
        pass


class _Turn:
    """One process of each user: a byte of one file, which root alone can open, is locked for it.

    So wrong codes of one user come one after the other, and nobody has all of the processes.
    """

    def __init__(self, uid: int, path: str) -> None:
        self.is_ours = False
        self._uid = uid
        self._path = path
        self._file = -1

    def __enter__(self) -> _Turn:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._uid)
            self.is_ours = True
        except BlockingIOError:
            pass
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
