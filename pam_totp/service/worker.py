"""Serves one login to pam_totp.so, outside the application: docs/internals/protocol.md.

One login is one connection. The kernel tells which user asks (SO_PEERCRED, unix(7)): root may ask
for anybody; others only where pam_totp.conf says ``unprivileged = yes``, for themselves.
"""

from __future__ import annotations

import _socket
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from ..login import flow, identity
from ..system import audit, config, embedding
from ..system.errors import PamTotpError, Unavailable
from . import sandbox, wire
from .connection import Connection, request_of, texts_of

if TYPE_CHECKING:
    from ..login.driver import BlockingDriver

REQUEST_SECONDS = 10.0  # for a module to say what it wants
OTHERS_REQUEST_SECONDS = 2.0  # without root

# What an unprivileged program may ask of its own login: nothing that makes it easier.
HARMLESS_ARGUMENTS = (
    *(b"attempts", b"debug", b"echo", b"first_factor=password", b"language", b"one_prompt"),
    *(b"one_prompt_text", b"prompt", b"quiet"),
)


class Refused(PamTotpError):
    """This peer is not served, or not like this."""


class Peer(NamedTuple):
    """The process at the other end when it connected."""

    pid: int
    uid: int

    def is_trusted(self) -> bool:
        """Tell whether it may ask for anybody. The effective user: so that tests need no root."""
        return self.uid in (0, os.geteuid())

    def request_seconds(self) -> float:
        """Return how long a module may take to say what it wants."""
        return REQUEST_SECONDS if self.is_trusted() else OTHERS_REQUEST_SECONDS


def peer_of(connection: _socket.socket) -> Peer:
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, size)
    pid, uid, _ = struct.unpack("3i", credentials)
    return Peer(pid, uid)


def serve(connection: _socket.socket, peer: Peer, *, is_sandboxed: bool = False) -> None:
    """Serve one login from its request to its result. Never raises; closes ``connection``.

    ``is_sandboxed``: refuse a login whose files only another worker can see, and write.
    """
    try:
        try:
            asked = _receive(connection, peer, is_sandboxed=is_sandboxed)
            if asked is not None:
                _answer(connection, peer, asked)
        finally:
            connection.close()
    except BaseException as error:
        embedding.report("worker", error)


def _receive(
    connection: _socket.socket, peer: Peer, *, is_sandboxed: bool
) -> wire.RequestPacket | None:
    """Return what the peer asks, as far as it may; None: it asks nothing, or was refused."""
    try:
        connection.settimeout(peer.request_seconds())
        packet = connection.recv(wire.MAX_PACKET + 1)
    except OSError as error:
        log_of(peer, f"no request came: {error.strerror or 'timed out'}")
        return None
    if not packet:  # a login that was cut off
        return None
    try:
        request = wire.parse_request(packet)
        if is_sandboxed:
            sandbox.check_name_services()
        if not peer.is_trusted():
            request = admit(peer, request)
        if is_sandboxed:
            sandbox.check_files(texts_of(request.arguments))
    except PamTotpError as error:
        refuse(connection, peer, str(error), hint=error.hint)
        return None
    return request


def _answer(connection: _socket.socket, peer: Peer, asked: wire.RequestPacket) -> None:
    """Go through the login, and send its result: PAM_SERVICE_ERR for whatever nobody foresaw."""
    code, service = flow.PAM_SERVICE_ERR, "?"
    driver = Connection(connection, asked.processes)
    try:
        request = request_of(asked)
        service = request.service
        code = code_of(flow.authenticate(request, driver))
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: fail closed
        embedding.report(service, error)
    send_result(connection, peer, code)
    if code == flow.PAM_SUCCESS:
        connection.close()
        refresh_kit(driver)
    driver.disconnect()


def refresh_kit(driver: BlockingDriver) -> None:
    """Renew what this host keeps for an outage of its fleet; nobody waits for that."""
    try:
        driver.refresh_kit()
    except (Unavailable, OSError) as error:
        log_not_renewed(error)


def log_not_renewed(error: Unavailable | OSError) -> None:
    hint = error.hint if isinstance(error, Unavailable) else "look at: dmesg; df"
    log_error(f"the codes for an outage could not be renewed: {error}", hint=hint)


def code_of(found: object) -> int:
    """Return what a login came to. Raises TypeError for no PAM code: of False, success would be."""
    if type(found) is not int or found not in flow.CODES:
        raise TypeError("not a PAM code")
    return found


def send_result(connection: _socket.socket, peer: Peer, code: int) -> None:
    try:
        connection.send(wire.result(code))
    except OSError:
        if code == flow.PAM_SUCCESS:
            log_of(peer, "the application was gone before it heard that the code was right")


def refuse(
    connection: _socket.socket, peer: Peer, reason: str, *, hint: str = "", log: bool = True
) -> None:
    """Close ``connection`` with a reason; a module of root will start a worker of its own."""
    if log:
        log_of(peer, reason, hint)
    try:
        connection.settimeout(0)
        connection.send(wire.refused(reason))
        connection.recv(wire.MAX_PACKET)  # what is not read would overtake the reason
    except OSError:
        pass
    connection.close()


def admit(peer: Peer, request: wire.RequestPacket) -> wire.RequestPacket:
    """Return the request of an unprivileged peer without what only root may say. Raises Refused.

    Where it claims to come from, and under which service, would go to the log as if it were true.
    """
    if not config.load(config.DEFAULT_PATH).config.unprivileged:
        raise Refused("peer", "is not root, and pam_totp.conf does not say unprivileged = yes")
    entry = identity.passwd_entry((request.user or b"").decode("utf-8", "replace"))
    if entry is None or entry.pw_uid != peer.uid:
        raise Refused("peer", "is not root, and asks for somebody else")
    harmless = tuple(argument for argument in request.arguments if _is_harmless(argument))
    if harmless != request.arguments:
        log_of(peer, "arguments of a program without root are ignored: put them into pam_totp.conf")
    return request._replace(
        flags=request.flags & ~wire.PASSWORD_GIVEN,
        service=b"unprivileged." + (request.service or b""),
        rhost=None,
        ruser=str(peer.uid).encode("ascii"),
        ssh_auth_info=None,
        processes=None,
        arguments=harmless,
    )


def _is_harmless(argument: bytes) -> bool:
    return not {argument, argument.partition(b"=")[0]}.isdisjoint(HARMLESS_ARGUMENTS)


def log_error(reason: str, **fields: object) -> None:
    audit.record("error", audit.Source("worker"), reason=reason, **fields)


def log_of(peer: Peer, reason: str, hint: str = "") -> None:
    log_error(reason, peer_uid=peer.uid, peer_pid=peer.pid, hint=hint)
