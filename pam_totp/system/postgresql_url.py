"""The URL of a store in PostgreSQL: which servers, which database; never a name or a password.

Everybody can read pam_totp.conf, and options of libpq could turn TLS off: what is not in this
grammar is refused.

    postgresql://db1.example.com,db2.example.com:5433/pam_totp   TLS over TCP, in this order
    postgresql:///pam_totp?socket=/run/postgresql                a socket of this machine
"""

from __future__ import annotations

import os
from typing import NamedTuple

SCHEME = "postgresql"
DEFAULT_PORT = 5432
MAX_SERVERS = 16

_OF_HOSTS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
_OF_ADDRESSES = frozenset("0123456789abcdefABCDEF:.")
_OF_DATABASES = _OF_HOSTS | {"_"}
_OF_FOLDERS = _OF_DATABASES | {"/"}  # no comma: libpq takes a list


class Address(NamedTuple):
    """Where the database is. ``servers``: name or IP address, and port; or ``socket``, a folder."""

    database: str
    servers: tuple[tuple[str, int], ...] = ()
    socket: str = ""


def parse(url: str) -> Address:
    """Return what ``url`` says. Raises ValueError with what would be right."""
    scheme, separator, rest = url.partition("://")
    servers, slash, database = rest.partition("/")
    database, question, query = database.partition("?")
    is_sound = scheme == SCHEME and separator and slash and _is_one_of(database, _OF_DATABASES)
    if not is_sound or database.startswith("-") or len(database) > 63:
        raise ValueError(EXPECTED)
    if not servers:
        key, _, folder = query.partition("=")
        if key != "socket" or not os.path.isabs(folder) or not _OF_FOLDERS.issuperset(folder):
            raise ValueError(EXPECTED)
        return Address(database, socket=folder)
    named = servers.split(",")
    if question or len(named) > MAX_SERVERS:
        raise ValueError(EXPECTED)
    return Address(database, tuple(_server(text) for text in named))


def _server(text: str) -> tuple[str, int]:
    """Return the name and the port of one server; brackets are around an IPv6 address."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        is_sound = bool(bracket) and ":" in host and _is_one_of(host, _OF_ADDRESSES)
    else:
        host, colon, port = text.partition(":")
        port = colon + port
        is_sound = _is_one_of(host, _OF_HOSTS) and not host.startswith("-")
    if not is_sound or not (port == "" or port.startswith(":")):
        raise ValueError(EXPECTED)
    return host, _port(port[1:]) if port else DEFAULT_PORT


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 6 and 0 < int(text) < 65536):
        raise ValueError(EXPECTED)
    return int(text)


def _is_one_of(text: str, characters: frozenset[str]) -> bool:
    return bool(text) and characters.issuperset(text)


EXPECTED = (
    "an absolute path, or postgresql://HOST[:PORT],.../DATABASE without a user, password or options"
)
