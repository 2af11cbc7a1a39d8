"""Where the fleet's database is: ``postgresql://db1[:port],db2[:port]/database``.

A URL has no user, no password and no options: pam_totp.conf is readable by everybody.
``postgresql:///database?socket=/folder`` names a server of this machine, by its Unix socket.
"""

from __future__ import annotations

from typing import NamedTuple

DEFAULT_PORT = 5432
_SCHEME = "postgresql://"
_SOCKET = "socket="


class Address(NamedTuple):
    """``servers``: names or addresses, with their ports, in the order in which they are tried.

    ``socket``: the folder of a Unix socket; then there are no servers.
    """

    database: str
    servers: tuple[tuple[str, int], ...] = ()
    socket: str = ""


def parse(url: str) -> Address:
    """Return what ``url`` says. Raises ValueError with what would be right."""
    places, separator, rest = url.removeprefix(_SCHEME).partition("/")
    database, _, option = rest.partition("?")
    if not url.startswith(_SCHEME) or not separator or not _is_name(database):
        raise ValueError("postgresql://SERVER[:PORT],.../DATABASE")
    if not places:
        socket = option.removeprefix(_SOCKET)
        if socket == option or not socket.startswith("/") or not _is_plain(socket):
            raise ValueError("postgresql:///DATABASE?socket=/FOLDER, or a server's name")
        return Address(database, socket=socket)
    if option:
        raise ValueError("no options: TLS is always used, and everything else is in the identity")
    return Address(database, tuple(_server(place) for place in places.split(",")))


def _server(text: str) -> tuple[str, int]:
    if text.startswith("["):  # an IPv6 address
        host, bracket, port = text[1:].partition("]")
        is_sound = bool(bracket) and (not port or port.startswith(":"))
        port = port.removeprefix(":")
    else:
        host, separator, port = text.partition(":")
        is_sound = not separator or bool(port)
    if "@" in host:
        raise ValueError("no user and no password: everybody can read them here")
    if not is_sound or not _is_plain(host) or host.startswith("/"):
        raise ValueError("SERVER or SERVER:PORT, with commas between")
    if not port:
        return host, DEFAULT_PORT
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise ValueError("a port from 1 to 65535")
    return host, int(port)


def _is_name(text: str) -> bool:
    return _is_plain(text) and not set(text) & set("/=:,@")


def _is_plain(text: str) -> bool:
    """Tell whether there is text, and neither a blank, nor a quote, nor what is not ASCII."""
    return bool(text) and text.isascii() and text.isprintable() and not set(text) & set(" '\"\\,")
