"""The role that prepares the database: how commands name it, and how it logs in."""

from __future__ import annotations

import contextlib
import getpass
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from pam_totp.system.fleet_file import Identity

if TYPE_CHECKING:
    from pam_totp.store.postgresql.admin_connection import AdminConnection

as_option = click.option(
    "--as",
    "role",
    default="postgres",
    show_default=True,
    metavar="ROLE",
    help="Database role to connect as; its password is asked for.",
)
socket_option = click.option(
    "--socket",
    type=click.Path(),
    help="Connect through the Unix socket in this folder, as the account named like the role.",
)


@contextlib.contextmanager
def connected(url: str, role: str, socket: str, ca: str) -> Iterator[AdminConnection]:
    """Connect to the database ``url``, whose certificate is of ``ca``. Raises Unavailable.

    The password of ``role`` is asked for; with ``socket``, a folder, none is needed.
    """
    from pam_totp.store.postgresql.admin_connection import AdminConnection

    identity = Identity(user=role, password="" if socket else _password_of(role), ca=ca)
    opened = AdminConnection(url, identity, f"the database role {role}", socket=socket)
    with contextlib.closing(opened):
        yield opened


def _password_of(role: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"Password of the database role {role}: ", sys.stderr)
    return sys.stdin.readline().rstrip("\n")
